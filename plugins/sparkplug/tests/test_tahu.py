"""What Eclipse Tahu's decoder, which is not ours, makes of our payloads."""

from pathlib import Path
from typing import Any

import pytest

from gateway.core.quality import HISTORICAL, STALE
from gateway.core.record import Kind
from gateway.testing import eventually, records
from plugins.sparkplug.tests.plant import Ears, Plant, block, connected, device, record
from tests.peers.broker import Broker
from tests.peers.sparkplug_payload import decoded

pytestmark = pytest.mark.timeout(120)

ALL = device(
    "all",
    b="bool", i8="int8", u8="uint8", i16="int16", u16="uint16", i32="int32", u32="uint32", i64="int64", u64="uint64",
    f="float32", d="float64", s="string", raw="bytes",
)  # fmt: skip
VALUES: list[Any] = [1, -128, 255, -32768, 65535, -(2**31), 2**32 - 1, -(2**53), 2**53, 1.5, -2.25, "Öl", b"\0\xff"]
WIDE = device("wide", first_id=500, **{f"t{n}": "float64" for n in range(100)})


async def heard(folder: Path, **options: Any) -> list[bytes]:
    """All that a node says in a session with values of each type."""
    host = Plant([ALL, WIDE], live={"all": block(ALL, 1, VALUES)})
    with Broker(folder) as broker, Ears(broker) as ears:
        async with connected(broker.port, host, **options) as sink:
            sink.send(
                [
                    record(block(ALL, 2, VALUES), 1),
                    record(block(ALL, 3, VALUES, quality=STALE), 2),
                    record(block(WIDE, 2, [float(n) for n in range(100)]), 3),
                    record(block(WIDE, 3, [float(n) for n in range(100)], quality=HISTORICAL), 4),
                    *records(ALL, 1, kind=Kind.EVENT),
                ]
            )
            await eventually(lambda: len(host.taken) == 5, 60)
        said = await ears.hear(9)
        return [each.payload.SerializeToString() for each in said]


async def test_tahu_reads_every_type_of_a_birth(tmp_path: Path) -> None:
    payloads = decoded(await heard(tmp_path, uint32_as_long=True))
    assert [each["whole"].get("seq") for each in payloads[:8]] == list(range(8))
    birth = {metric["name"]: metric for metric in payloads[1]["whole"]["metrics"]}
    kinds = [
        "Boolean",
        "Int8",
        "UInt8",
        "Int16",
        "UInt16",
        "Int32",
        "UInt32",
        "Int64",
        "UInt64",
        "Float",
        "Double",
        "String",
        "Bytes",
    ]
    assert [metric["type"] for metric in birth.values()] == kinds
    assert [metric["value"] for metric in birth.values()] == [True, *VALUES[1:12], "00ff"]
    assert birth["d"]["properties"]["Quality"] == {"type": "Int32", "value": 192}
    assert birth["d"]["properties"]["engUnit"] == {"type": "String", "value": "°C"}
    node = {metric["name"]: metric for metric in payloads[0]["whole"]["metrics"]}
    assert (node["bdSeq"]["type"], node["bdSeq"]["value"]) == ("Int64", 0)
    assert (node["Node Control/Rebirth"]["type"], node["Node Control/Rebirth"]["value"]) == ("Boolean", False)


async def test_tahu_reads_data_by_alias_also_where_many_are_written_at_once(tmp_path: Path) -> None:
    payloads = decoded(await heard(tmp_path))
    names = {
        metric["alias"]: metric["name"]
        for each in payloads[:3]
        for metric in each["raw"]["metrics"]
        if "alias" in metric
    }
    live, late = (payloads[at]["raw"]["metrics"] for at in (5, 6))
    assert {names[metric["alias"]]: metric["doubleValue"] for metric in live} == {f"t{n}": float(n) for n in range(100)}
    assert not any("isHistorical" in metric for metric in live)
    assert all(metric["isHistorical"] for metric in late)
    assert {metric["timestamp"] for metric in live} == {"1800000002000"}
    stale = payloads[4]["raw"]["metrics"]
    assert all(metric["properties"]["values"][0]["intValue"] == 500 for metric in stale)


async def test_tahu_reads_templates(tmp_path: Path) -> None:
    payloads = decoded(await heard(tmp_path, templates={"Wide": ["wide"], "All": ["all"]}))
    node = {metric["name"]: metric for metric in payloads[0]["whole"]["metrics"]}
    assert node["Wide"]["type"] == "Template"
    assert node["Wide"]["value"]["isDefinition"] is True
    (instance,) = payloads[2]["whole"]["metrics"]
    assert (instance["name"], instance["type"], instance["value"]["templateRef"]) == ("wide", "Template", "Wide")
    assert [metric["name"] for metric in instance["value"]["metrics"]] == [f"t{n}" for n in range(100)]
    (live,) = payloads[5]["raw"]["metrics"]
    members = {member["name"]: member["doubleValue"] for member in live["templateValue"]["metrics"]}
    assert members == {f"t{n}": float(n) for n in range(100)}
