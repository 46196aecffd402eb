"""Reading and writing against the C++ server of snap7, which is not ours."""

import struct
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DeviceError, LinkError
from gateway.testing import read_all
from gateway.testing.campaign import bent
from plugins.s7.frames import S7Framing
from plugins.s7.tests.simulated import connected, cpu, make_device

VALUES: dict[str, tuple[bytes, Any]] = {
    "BYTE": (b"\xfe", 254),
    "USINT": (b"\x07", 7),
    "SINT": (b"\xfe", -2),
    "CHAR": (b"A", "A"),
    "WORD": (b"\x12\x34", 0x1234),
    "INT": (b"\xff\xf9", -7),
    "UINT": (b"\xff\xf9", 65529),
    "DWORD": (b"\xde\xad\xbe\xef", 0xDEADBEEF),
    "DINT": (struct.pack(">i", -70000), -70000),
    "UDINT": (struct.pack(">I", 4_000_000_000), 4_000_000_000),
    "REAL": (struct.pack(">f", 1.5), 1.5),
    "LREAL": (struct.pack(">d", -2.25), -2.25),
    "LINT": (struct.pack(">q", -(1 << 60) - 1), -(1 << 60) - 1),
    "ULINT": (struct.pack(">Q", (1 << 63) + 1), (1 << 63) + 1),
    "TIME": (struct.pack(">i", 90_500), 90_500),
    "S5TIME": (b"\x21\x23", 123_000),
    "DATE": (struct.pack(">H", 13483), "2026-12-01"),
    "TIME_OF_DAY": (struct.pack(">I", 45_296_789), "12:34:56.789"),
    "DATE_AND_TIME": (bytes.fromhex("2611301415161233"), "2026-11-30T14:15:16.123"),
    "DTL": (struct.pack(">HBBBBBBI", 2026, 11, 30, 2, 14, 15, 16, 123456789), "2026-11-30T14:15:16.123456789"),
    "LDT": (struct.pack(">q", 1_796_000_000_000_000_001), "2026-11-30T00:53:20.000000001"),
    "LTIME_OF_DAY": (struct.pack(">Q", 45_296_000_000_009), "12:34:56.000000009"),
    "STRING[10]": (b"\x0a\x05LOT-7" + b"x" * 5, "LOT-7"),
    "WSTRING[6]": (struct.pack(">HH", 6, 3) + "µ°C".encode("utf-16-be") + b"\0" * 6, "µ°C"),
    "BYTES[3]": (b"\1\2\3", b"\1\2\3"),
    "INT[3]": (struct.pack(">3h", 1, -2, 3), [1, -2, 3]),
    "REAL[2]": (struct.pack(">2f", 0.5, -0.5), [0.5, -0.5]),
    "BOOL[10]": (b"\x05\x02", [True, False, True, False, False, False, False, False, False, True]),
}


async def test_every_type_wherever_it_begins() -> None:
    async with cpu() as plc:
        tags, at = {}, 1
        for name, (wire, _) in VALUES.items():
            await plc.put("DB", at, wire, 1)
            tags[name] = {"address": f"DB1.{at}", "type": name}
            at += len(wire) + 2
        device = make_device(tags, plc.port)
        async with connected(device) as driver:
            assert dict(zip(VALUES, await read_all(driver, device), strict=True)) == {
                name: value for name, (_, value) in VALUES.items()
            }


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("STRING[10]", b"\x0a\x0bLOT-7"),
        ("WSTRING[6]", b"\0\6\0\7"),
        ("DATE_AND_TIME", bytes.fromhex("2613301415161233")),
        ("DATE_AND_TIME", bytes.fromhex("26ab301415161233")),
        ("DTL", bytes(12)),
        ("S5TIME", b"\x2a\xbc"),
        ("TIME_OF_DAY", b"\xff\xff\xff\xff"),
    ],
)
async def test_bytes_that_are_no_value_of_their_type_are_bad_alone(name: str, wire: bytes) -> None:
    async with cpu() as plc:
        await plc.put("DB", 10, wire, 1)
        device = make_device({"odd": {"address": "DB1.10", "type": name}, "next": "DB2.DBW20"}, plc.port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == [None, 10]


async def test_every_area() -> None:
    async with cpu() as plc:
        await plc.put("PE", 4, b"\x12\x34")
        await plc.put("PA", 1, b"\x80")
        await plc.put("MK", 0, b"\x02\x00\x01\x00")
        await plc.put("TM", 0, b"\x01\x23")
        await plc.put("CT", 0, b"\x01\x23")
        tags = {"in": "IW4", "german": "EW4", "out": "Q1.7", "m": "M0.1", "mw": "MW2", "timer": "T0", "count": "Z0"}
        device = make_device(tags, plc.port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == [0x1234, 0x1234, 1, 1, 256, 1230, 123]


async def test_scattered_values_go_in_one_message_and_many_in_few() -> None:
    asked: list[bytes] = []

    def look(request: bytes, right: bytes) -> list[bytes]:
        if request[17:18] == b"\x04":
            asked.append(request)
        return [right]

    async with cpu() as plc, bent(plc.port, S7Framing(), S7Framing(), look) as relay:
        tags = {f"w{n}": f"DB2.DBW{2 * n}" for n in range(0, 1000, 100)} | {"m": "M0.1", "b": "DB1.DBB3"}
        device = make_device(tags, relay.port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == [*range(0, 1000, 100), 0, 0]
        assert [request[18] for request in asked] == [12]
        asked.clear()
        device = make_device({f"w{n}": f"DB2.DBW{2 * n}" for n in range(1200)}, relay.port, pdu=480)
        async with connected(device) as driver:
            assert await read_all(driver, device) == list(range(1200))
        assert len(asked) == 6


async def test_blocks_are_made_anew_when_the_cpu_grants_smaller_messages() -> None:
    grants = iter((960, 240, 480))

    def grant(request: bytes, right: bytes) -> list[bytes]:
        setup = request[5] == 0xF0 and request[17] == 0xF0
        return [right[:-2] + next(grants).to_bytes(2, "big")] if setup else [right]

    async with cpu() as plc, bent(plc.port, S7Framing(), S7Framing(), grant) as relay:
        device = make_device({f"w{n}": f"DB2.DBW{2 * n}" for n in range(1200)}, relay.port)
        for _ in range(3):
            async with connected(device) as driver:
                assert await read_all(driver, device) == list(range(1200))


async def test_what_the_cpu_does_not_have_costs_its_own_tag_which_is_named() -> None:
    async with cpu() as plc:
        tags = {"a": "DB2.DBW12", "gone": "DB9.DBW0", "beyond": "DB7.DBW90", "c": "DB2.DBW800"}
        device = make_device(tags, plc.port)
        async with connected(device) as driver:
            with capture_logs() as logs:
                for _ in range(2):
                    assert await read_all(driver, device) == [6, None, None, 400]
    told = {log["tags"]: log["reason"] for log in logs if log["event"] == "the device refuses addresses"}
    assert "Optimized block access" in told["gone"]
    assert "beyond the end" in told["beyond"]


async def test_what_is_written_is_read_back_and_nothing_beside_it_changes() -> None:
    tags: dict[str, Any] = {
        "real": {"address": "DB1.DBD100", "type": "REAL"},
        "byte": "DB1.DBB105",
        "bit": "M3.5",
        "text": {"address": "DB1.200", "type": "STRING[10]"},
        "wide": {"address": "DB1.230", "type": "WSTRING[6]"},
        "long": {"address": "DB1.300", "type": "LINT"},
    }
    values = (-2.25, 7, 1, "LOT-7", "µ°C", -(1 << 60) - 1)
    async with cpu() as plc:
        await plc.put("DB", 104, b"\xaa\xbb\xcc", 1)
        await plc.put("DB", 200, b"\x0a\x00", 1)
        await plc.put("DB", 230, b"\x00\x06\x00\x00", 1)
        await plc.put("MK", 3, b"\x82")
        device = make_device(tags, plc.port)
        async with connected(device) as driver:
            for tag, value in zip(device.tags, values, strict=True):
                await driver.write(tag, value)
            assert await read_all(driver, device) == list(values)
        assert (await plc.put("DB", 104, b"", 1))[:3] == b"\xaa\x07\xcc"
        assert (await plc.put("DB", 200, b"", 1))[:7] == b"\x0a\x05LOT-7"
        assert (await plc.put("MK", 3, b""))[:1] == b"\xa2"


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ({"address": "DB1.DBW0"}, 70000, "does not fit"),
        ({"address": "M0.0"}, 7, "neither true nor false"),
        ({"address": "DB1.0", "type": "STRING[3]"}, "LOT-7", "room for 3"),
        ({"address": "DB1.0", "type": "STRING[3]"}, 5, "no text"),
        ({"address": "DB1.0", "type": "CHAR"}, "ab", "not one character"),
        ({"address": "DB1.0", "type": "DTL"}, "2026-11-30", "not written"),
        ({"address": "T5"}, 5, "have the program set it"),
        ({"address": "DB9.DBW0"}, 5, "code 000A"),
    ],
)
async def test_what_cannot_be_written_says_why(tag: dict[str, Any], value: Any, said: str) -> None:
    async with cpu() as plc:
        device = make_device({"a": tag}, plc.port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=said):
                await driver.write(device.tags[0], value)


async def test_a_cpu_that_forbids_put_and_get_says_what_to_change() -> None:
    def forbid(request: bytes, right: bytes) -> list[bytes]:
        return [right[:17] + b"\x81\x04" + right[19:]] if request[17:18] == b"\x04" else [right]

    async with cpu() as plc, bent(plc.port, S7Framing(), S7Framing(), forbid) as relay:
        device = make_device({"a": "DB2.DBW12"}, relay.port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="PUT/GET communication from remote partner"):
                await driver.read(device.tags)


async def test_a_wrong_rack_or_slot_is_a_connection_that_the_cpu_does_not_take() -> None:
    def refuse(request: bytes, right: bytes) -> list[bytes]:
        return [b"\x03\x00\x00\x0b\x06\x80" + right[6:10] + b"\x00"] if request[5] == 0xE0 else [right]

    async with cpu() as plc, bent(plc.port, S7Framing(), S7Framing(), refuse) as relay:
        with pytest.raises(LinkError, match="rack and slot"):
            async with connected(make_device({"a": "M0.0"}, relay.port)):
                pass
