"""What the driver delivers from real servers: node-opcua and asyncua, each in another process."""

import asyncio
import math

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.plugin import Found, quality
from gateway.testing import eventually
from plugins.opcua import OpcUa
from plugins.opcua.session import session as session_module

from .conftest import NAMESPACE, make_device, node, streaming

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("patient")]  # the first run installs node-opcua

SCALARS = {
    "Boolean": ("bool", 1.0),
    "SByte": ("int8", -8.0),
    "Byte": ("uint8", 200.0),
    "Int16": ("int16", -3000.0),
    "UInt16": ("uint16", 60000.0),
    "Int32": ("int32", -2000000000.0),
    "UInt32": ("uint32", 4000000000.0),
    "Int64": ("int64", -4294967296000000.0),
    "UInt64": ("uint64", 9223372036854775807),
    "Float": ("float32", 1.5),
    "Double": ("float64", 2.25),
    "String": ("string", "grün"),
    "DateTime": ("string", "2024-02-29T12:00:00.123000Z"),
    "ByteString": ("bytes", b"\x00\x01\xff"),
    "LocalizedText": ("string", "offen"),
    "StatusCode": ("uint32", float(0x803C0000)),
}


async def test_every_scalar_type_arrives_with_its_type_value_and_good_quality(serve):
    peer = await serve()
    device = make_device(peer.url, list(SCALARS))
    async with streaming(device) as collector:
        found = await collector.driver.describe()
        assert {tag.name: what.type for tag, what in found.items()} == {
            name: kind for name, (kind, _) in SCALARS.items()
        }
        await collector.until(lambda: all(collector.rows(name) for name in SCALARS))
        for name, (_, value) in SCALARS.items():
            t_ns, got, code = collector.rows(name)[0]
            assert (got, code) == (value, quality.GOOD), name
            assert t_ns > 1_700_000_000 * 10**9, name


async def test_source_time_and_status_code_come_from_the_server_unchanged(serve):
    peer = await serve()
    async with streaming(make_device(peer.url, ["Float"])) as collector:
        await collector.until(lambda: collector.rows("Float"))
        await peer.set("Float", 7.5, time=1_700_000_000_123)
        await peer.set("Float", 8.5, status="UncertainInitialValue", time=1_700_000_001_000)
        await collector.until(lambda: collector.rows("Float")[-1][0] == 1_700_000_001_000_000_000)
        await peer.set("Float", 9.5, status="BadSensorFailure", time=1_700_000_002_000)
        await collector.until(lambda: collector.rows("Float")[-1][0] == 1_700_000_002_000_000_000)
        last = collector.rows("Float")
        assert math.isnan(last[-1][1])
        assert last[-1][2] == quality.BAD_SENSOR_FAILURE
        assert (1_700_000_001_000_000_000, 8.5, 0x40920000) in last
        await peer.set("Float", 1.5)


async def test_unit_and_description_are_learned_from_the_server(serve):
    peer = await serve()
    device = make_device(peer.url, ["Temperature", "Double"])
    driver = OpcUa([device])
    await driver.connect()
    found = await driver.describe()
    assert found[device.tags[0]] == Found("float64", "°C", "inlet air")
    assert found[device.tags[1]].unit == ""
    await driver.close()


async def test_a_bad_node_is_parked_and_its_neighbours_live(serve):
    peer = await serve()
    wrong_namespace = {"address": "nsu=http://elsewhere.example/;s=X"}
    device = make_device(peer.url, {"Count": {}, "Nothing": {}, "Lost": wrong_namespace, "Double": {}})
    async with streaming(device) as collector:
        await collector.until(lambda: len(collector.rows("Count")) > 2)
        for name in ("Nothing", "Lost"):
            ((_, value, code),) = collector.rows(name)
            assert math.isnan(value)
            assert code == quality.BAD_NODE_ID_UNKNOWN
        assert collector.values("Double") == [2.25]


async def test_an_array_is_a_list_and_a_structure_its_json(serve):
    peer = await serve()
    async with streaming(make_device(peer.url, ["Array", "Structure", "Double"])) as collector:
        await collector.until(lambda: all(collector.rows(name) for name in ("Array", "Structure", "Double")))
        assert [value for _, value, code in collector.rows("Array") if code == quality.GOOD] == [[1.0, 2.0, 3.0]]
        assert [value for _, value, _ in collector.rows("Structure")] == ['{"Low": 0.0, "High": 1.0}']
        assert collector.values("Double") == [2.25]


async def test_values_between_two_scans_are_not_missed_with_a_shorter_sampling(serve):
    peer = await serve("--tick", "20")
    device = make_device(peer.url, ["Count"], scan="400ms", sampling="10ms", queue_size=10_000)
    async with streaming(device) as collector:
        await collector.until(lambda: len(collector.values("Count")) >= 60)
        if peer.kind == "node-opcua":  # it samples no faster than 50 ms, but keeps what it sampled
            await collector.until(lambda: any(len(block) > 3 for block in collector.blocks[1:]))
        else:
            assert (np.diff(np.array(collector.values("Count"))) == 1).all()


async def test_a_deadband_at_the_server_leaves_small_changes_there(serve):
    peer = await serve()
    device = make_device(peer.url, {"Float": {"server_deadband": 1.0}, "Count": {}})
    async with streaming(device) as collector:
        await collector.until(lambda: collector.rows("Float") and collector.rows("Count"))
        for value in (1.75, 2.25, 5.0):
            await peer.set("Float", value)
            seen = collector.values("Count")[-1]
            await collector.until(lambda seen=seen: collector.values("Count")[-1] > seen + 3)
        await collector.until(lambda: 5.0 in collector.values("Float"))
        assert 1.75 not in collector.values("Float")
        await peer.set("Float", 1.5)


async def test_a_deadband_that_the_server_cannot_apply_is_told_and_every_change_comes(serve):
    peer = await serve()
    device = make_device(peer.url, {"Boolean": {"server_deadband": 1.0}, "String": {"server_deadband": "5%"}})
    with capture_logs() as logs:
        async with streaming(device) as collector:
            await collector.until(lambda: collector.values("Boolean") and collector.values("String"))
    if peer.kind == "node-opcua":  # the other takes any filter
        assert sum("server_deadband" in entry["event"] for entry in logs) == 2


async def test_a_tag_may_have_a_sampling_and_a_queue_of_its_own(serve):
    peer = await serve("--tick", "20")
    device = make_device(peer.url, {"Count": {"sampling": "10ms", "queue_size": 7}, "Double": {}}, scan="400ms")
    with capture_logs() as logs:
        async with streaming(device) as collector:
            await collector.until(lambda: any(len(block) >= 2 for block in collector.blocks[1:]))
    assert max(len(block) for block in collector.blocks[1:]) in range(2, 9)
    if peer.kind == "node-opcua":
        told = next(entry for entry in logs if entry["event"] == "the server looks less often")
        assert (told["wished"], told["tags"]) == (0.01, 1)


async def test_operation_limits_of_the_server_are_kept(serve):
    peer = await serve("--limit", "5")
    async with streaming(make_device(peer.url, list(SCALARS))) as collector:
        await collector.until(lambda: all(collector.rows(name) for name in SCALARS))
        assert all(collector.rows(name)[0][2] == quality.GOOD for name in SCALARS)


async def test_tags_with_a_scan_of_their_own_get_a_subscription_of_their_own(serve):
    peer = await serve(fresh=True)
    async with streaming(make_device(peer.url, {"Count": {}, "Double": {"scan": "300ms"}})) as collector:
        await collector.until(lambda: collector.rows("Count") and collector.rows("Double"))
        assert (await peer.sessions())["subscriptions"] == 2


async def test_read_answers_in_the_order_of_the_tags(serve):
    peer = await serve()
    device = make_device(peer.url, ["Double", "Nothing", "String", "Int16"])
    driver = OpcUa([device])
    await driver.connect()
    readings = await driver.read(device.tags)
    assert readings.tag.tolist() == device.tags.ids.tolist()
    assert readings.value[[0, 3]].tolist() == [2.25, -3000.0]
    assert readings.exact == {2: "grün"}
    assert readings.quality.tolist() == [0, quality.BAD_NODE_ID_UNKNOWN, 0, 0]
    await driver.close()


async def test_a_polled_server_answers_all_tags_at_each_scan(serve):
    peer = await serve("--limit", "3", "--tick", "20")
    device = make_device(peer.url, {name: {} for name in [*SCALARS, "Nothing", "Count"]}, acquisition="poll")
    async with streaming(device) as collector:
        await collector.until(lambda: len(collector.blocks) >= 4 and len(set(collector.values("Count"))) > 1)
        assert all(len(block) == len(device.tags) for block in collector.blocks)
        for name, (_, value) in SCALARS.items():
            assert {(got, code) for _, got, code in collector.rows(name)} == {(value, quality.GOOD)}, name
        assert {code for _, _, code in collector.rows("Nothing")} == {quality.BAD_NODE_ID_UNKNOWN}


async def test_a_tag_with_a_scan_of_its_own_is_polled_on_its_own(serve):
    peer = await serve()
    device = make_device(peer.url, {"Count": {}, "Double": {"scan": "500ms"}}, acquisition="poll")
    async with streaming(device) as collector:
        await collector.until(lambda: len(collector.rows("Count")) > len(collector.rows("Double")) >= 3)


@pytest.mark.parametrize("inside", [set(), {"_gone"}], ids=["the short way", "the long way"])
async def test_a_read_takes_the_long_way_where_the_librarys_inside_has_changed(serve, monkeypatch, inside):
    monkeypatch.setattr(session_module, "_INTERNALS", session_module._INTERNALS | inside)
    peer = await serve()
    device = make_device(peer.url, ["Double", "Int16"])
    driver = OpcUa([device])
    await driver.connect()
    sent = []
    protocol = driver._session._protocol()
    monkeypatch.setattr(type(protocol), "send_request", counted(type(protocol).send_request, sent))
    assert (await driver.read(device.tags)).value.tolist() == [2.25, -3000.0]
    assert len(sent) == len(inside)  # with the pinned version of the library it is the short way
    await driver.close()


def counted(method, calls):
    async def wrapper(protocol, request, *more, **options):
        calls.append(request)
        return await method(protocol, request, *more, **options)

    return wrapper


async def test_browse_finds_the_variables_by_addresses_that_the_config_takes(serve):
    peer = await serve()
    driver = OpcUa([make_device(peer.url, ["Double"])])
    await driver.connect()
    found = {address: what async for address, what in driver.browse()}
    await driver.close()
    assert found[node("Temperature")] == Found("float64", "°C", "inlet air")
    assert {node(name) for name in SCALARS} <= set(found)
    assert found[node("Array")].type == ""
    assert found[node("Temperature")].path == "Plant/Temperature"


async def test_a_quiet_server_gives_signs_of_life_and_no_readings(serve):
    peer = await serve()
    signs = asyncio.Event()
    device = make_device(peer.url, ["Double"], stale_after="1s")
    async with streaming(device, signs.set) as collector:
        await collector.until(lambda: collector.rows("Double"))
        for _ in range(3):
            signs.clear()
            await asyncio.wait_for(signs.wait(), 40)
        assert len(collector.rows("Double")) == 1


async def test_closing_leaves_no_session_behind(serve):
    peer = await serve(fresh=True)
    async with streaming(make_device(peer.url, ["Count"])) as collector:
        await collector.until(lambda: collector.rows("Count"))
        assert await peer.sessions() == {"sessions": 1, "subscriptions": 1}
    await eventually(lambda: peer.has(0, 0))


async def test_refused_tags_are_told_with_the_reason_and_once_for_each_reason(serve):
    peer = await serve()
    elsewhere = {name: {"address": f"nsu=http://peer.example/plannt;s={name}"} for name in ("Float", "Int16")}
    device = make_device(peer.url, {"Double": {}, "Nowhere": {}, **elsewhere})
    with capture_logs() as logs:
        async with streaming(device) as collector:
            await collector.until(lambda: collector.values("Double") and collector.rows("Nowhere"))
    told = {entry["tags"].partition(" ")[0]: entry["reason"] for entry in logs if entry["log_level"] == "warning"}
    assert told.keys() == {"Nowhere", "Float"}
    assert "no such node" in told["Nowhere"]
    assert told["Float"].startswith("the server has no namespace http://peer.example/plannt; it has: ")
    assert NAMESPACE in told["Float"]
