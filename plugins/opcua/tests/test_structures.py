"""Structures and enumerations of a server's own, and parts of values: from real servers, and from damaged bytes."""

import json

import pytest
from asyncua import ua
from asyncua.common.structures104 import new_struct_field
from asyncua.ua.ua_binary import pack_uatype
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin import DeviceError, quality
from plugins.opcua.address import check_range, parse_member
from plugins.opcua.values.plain import as_exact
from plugins.opcua.values.structures import Types
from plugins.opcua.values.value_part import NoSuchPartError, element_of, member_of

from .conftest import make_device, node, streaming

pytestmark = pytest.mark.timeout(120)  # the first run installs node-opcua

RECIPE = {
    "temperature": 66.5,
    "count": 2**63,
    "name": "grün",
    "zones": [
        {"setpoint": 21.5, "mode": "Heating", "note": "hot", "limit": {"number": 90, "text": None}},
        {"setpoint": 8.0, "mode": "Cooling", "note": None, "limit": {"number": None, "text": "none"}},
    ],
    "started": "2024-02-29T12:00:00.000000Z",
    "range": {"Low": 0.0, "High": 1.0},
    "running": True,
}
PARTS = {
    "temperature": ("Recipe", "temperature", "float64", 66.5),
    "count": ("Recipe", "count", "uint64", 2**63),
    "mode": ("Recipe", "zones[0].mode", "int32", 1.0),
    "limit": ("Recipe", "zones[0].limit.number", "int16", 90.0),
    "name": ("Recipe", "name", "string", "grün"),
    "running": ("Recipe", "running", "bool", 1.0),
    "low": ("Recipe", "range.Low", "float64", 0.0),
    "second": ("Recipes", "[1].zones[1].setpoint", "float32", 8.0),
    "standard": ("Structure", "High", "float64", 1.0),
}


async def test_a_structure_of_the_servers_own_arrives_as_json_and_its_members_as_tags(serve):
    peer = await serve("--structures")
    tags = {name: {"address": node(of), "field": field} for name, (of, field, _, _) in PARTS.items()}
    async with streaming(make_device(peer.url, {"Recipe": {}, **tags})) as collector:
        found = {tag.name: what.type for tag, what in (await collector.driver.describe()).items()}
        assert found == {"Recipe": "string", **{name: kind for name, (_, _, kind, _) in PARTS.items()}}
        await collector.until(lambda: all(collector.rows(name) for name in ["Recipe", *tags]))
        assert json.loads(str(collector.values("Recipe")[0])) == RECIPE
        assert {name: collector.values(name)[0] for name in PARTS} == {
            name: value for name, (_, _, _, value) in PARTS.items()
        }
        read = await collector.driver.read(collector.driver.devices[0].tags)
        assert json.loads(str(read.exact[0])) == RECIPE
        assert [read.exact.get(row, read.value[row]) for row in range(1, len(read))] == [
            value for _, _, _, value in PARTS.values()
        ]


async def test_an_enumeration_is_a_number_and_its_description_holds_the_names(serve):
    peer = await serve("--structures")
    async with streaming(make_device(peer.url, ["Mode"])) as collector:
        (found,) = (await collector.driver.describe()).values()
        assert found.type == "int32"
        assert found.description.endswith("(0 Idle, 1 Heating, 2 Cooling)")
        await collector.until(lambda: collector.values("Mode") == [1.0])


async def test_a_part_that_is_not_there_is_bad_with_the_reason_and_its_neighbours_live(serve):
    peer = await serve("--structures")
    tags = {
        "wrong": {"address": node("Recipe"), "field": "temprature"},
        "absent": {"address": node("Recipe"), "field": "zones[1].note"},
        "beyond": {"address": node("Recipe"), "field": "zones[2].note"},
        "far": {"address": node("Temps"), "index_range": "9"},
        "Temps": {},
    }
    async with streaming(make_device(peer.url, tags)) as collector:
        await collector.until(lambda: all(collector.rows(name) for name in tags))
        codes = {name: collector.rows(name)[0][2] for name in tags}
    assert codes.pop("far") >= quality.BAD
    assert codes == {
        "wrong": quality.BAD_CONFIGURATION,
        "absent": 0x809B_0000,
        "beyond": quality.BAD_CONFIGURATION,
        "Temps": quality.GOOD,
    }


async def test_one_element_of_an_array_or_matrix_is_a_tag(serve):
    peer = await serve("--structures")
    tags = {
        "fourth": {"address": node("Temps"), "index_range": "3"},
        "m12": {"address": node("Matrix"), "index_range": "1,2"},
    }
    async with streaming(make_device(peer.url, tags)) as collector:
        found = {tag.name: what.type for tag, what in (await collector.driver.describe()).items()}
        assert found == {"fourth": "float64", "m12": "int32"}
        await collector.until(lambda: collector.values("fourth") == [23.5] and collector.values("m12") == [6.0])


async def test_an_element_is_written_and_the_others_stay(serve, kind):
    if kind == "asyncua":
        pytest.skip("the asyncua server does not know parts of arrays")
    peer = await serve("--structures", fresh=True)
    tags = {
        "second": {"address": node("Temps"), "index_range": "1"},
        "some": {"address": node("Temps"), "index_range": "1:2"},
    }
    device = make_device(peer.url, {**tags, "Temps": {}, "name": {"address": node("Recipe"), "field": "name"}})
    named = {tag.name: tag for tag in device.tags}
    async with streaming(device) as collector:
        await collector.until(lambda: collector.values("Temps"))
        await collector.driver.write(named["second"], 99.5)
        await collector.until(lambda: [20.5, 99.5, 22.5, 23.5] in collector.values("Temps"))
        await collector.until(lambda: 99.5 in collector.values("second") and [99.5, 22.5] in collector.values("some"))
        with pytest.raises(DeviceError, match="members of structures are not written"):
            await collector.driver.write(named["name"], "x")
        with pytest.raises(DeviceError, match="index_range makes a tag of one element"):
            await collector.driver.write(named["some"], 1.0)


async def test_a_structure_that_the_server_does_not_explain_arrives_as_bytes_of_bad_decoding(serve, kind):
    if kind == "node-opcua":
        pytest.skip("the node-opcua server explains all its types")
    peer = await serve("--structures")
    async with streaming(make_device(peer.url, ["Secret", "Double"])) as collector:
        await collector.until(lambda: collector.rows("Secret") and collector.rows("Double"))
        assert collector.rows("Secret")[0][1:] == (b"\x07\x00\x00\x00", quality.BAD_DECODING)
        assert collector.values("Double") == [2.25]


OUTER, INNER, ENCODING = ua.NodeId(1, 2), ua.NodeId(2, 2), ua.NodeId(3, 2)


def types(*kinds: ua.VariantType) -> Types:
    """A server with a structure of these members and a list of itself, which is read under ENCODING."""
    made = Types()
    members = [new_struct_field(f"m{number}", kind) for number, kind in enumerate(kinds)]
    again = new_struct_field("again", OUTER, array=True)
    made.structures[OUTER] = ua.StructureDefinition(StructureType=ua.StructureType.Structure, Fields=[*members, again])
    made.encodings[ENCODING] = OUTER
    return made


def test_two_servers_with_the_same_ids_have_types_of_their_own():
    body = pack_uatype(ua.VariantType.Int32, 7) + pack_uatype(ua.VariantType.Int32, 0)
    value = ua.ExtensionObject(TypeId=ENCODING, Body=body)
    assert types(ua.VariantType.Int32).members(value) == {"m0": 7, "again": []}
    assert types(ua.VariantType.UInt16, ua.VariantType.UInt16).members(value) == {"m0": 7, "m1": 0, "again": []}


@given(st.binary(max_size=200))
def test_damaged_bytes_are_no_structure_or_one_made_of_all_of_them(body):
    made = types(ua.VariantType.Double, ua.VariantType.String, ua.VariantType.Variant)
    found = made.members(ua.ExtensionObject(TypeId=ENCODING, Body=body))
    if found is not None:
        assert set(found) == {"m0", "m1", "m2", "again"}
        json.loads(str(as_exact(found)))


@given(st.integers(0, 2**31 - 1))
def test_a_list_longer_than_its_bytes_is_refused(count):
    body = pack_uatype(ua.VariantType.Int32, count)
    found = types().members(ua.ExtensionObject(TypeId=ENCODING, Body=body))
    assert found == ({"again": []} if count == 0 else None)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("a", ["a"]), ("a.b", ["a", "b"]), ("a[2].b", ["a", 2, "b"]), ("[1].a[0][3]", [1, "a", 0, 3]), ("grün", ["grün"])],
)
def test_a_member_is_written_as_a_path(text, steps):
    assert parse_member(text) == steps


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[", "a[x]", "a[1]b", "a[-1]", "a]"])
def test_what_is_no_path_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="zones"):
        parse_member(text)


@pytest.mark.parametrize("text", ["", "a", "3:1", "2:2", "1,", "-1", "1:2:3", "٣"])
def test_what_is_no_part_of_an_array_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="0:9"):
        check_range(text)


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_path_through_any_value_ends_at_a_part_or_says_what_is_missing(value):
    for call in (lambda: member_of(value, ["a", 0]), lambda: element_of(value, (1, 0))):
        try:
            call()
        except NoSuchPartError as error:
            assert str(error).startswith(("field: ", "index_range: "))
