"""Devices with manners of their own, which are no faults: they are read, and what is no value is not believed."""

import pytest

from gateway.plugin import LinkError, Readings, quality
from gateway.testing import eventually
from plugins.modbus.tests.fakes import RawDevice, connected, make_device, registers


@pytest.mark.parametrize(
    ("type_", "wire", "said"),
    [
        ("int32", "80000000", "sunspec"),
        ("uint32", "FFFFFFFF", "sma"),
        ("uint32", "00FFFFFD", "sma"),
        ("int16", "8000", "sunspec"),
        ("uint64", "FFFFFFFFFFFFFFFF", "sunspec"),
        ("int64", "8000000000000000", "sunspec"),
        ("uint16", "270F", [9999]),
        ("float32", "C61C3C00", [-9999]),
        ("bcd16", "9999", [9999]),
    ],
)
@pytest.mark.parametrize("where", ["tag", "device"])
async def test_what_stands_for_no_value_is_bad_and_its_neighbour_is_good(
    type_: str, wire: str, said: object, where: str
) -> None:
    words = [int(wire[at : at + 4], 16) for at in range(0, len(wire), 4)]
    async with RawDevice(lambda request: registers(request, lambda at: words[at] if at < len(words) else at)) as raw:
        tag = {"address": "hr:0", "type": type_, "scale": 0.1} | ({"not_available": said} if where == "tag" else {})
        options = {"not_available": said} if where == "device" else {}
        device = make_device({"value": tag, "beside": {"address": "hr:9", "type": "uint16"}}, port=raw.port, **options)
        async with connected(device) as driver:
            for _ in range(2):
                readings = await driver.read(device.tags)
                assert isinstance(readings, Readings)
                assert readings.quality.tolist() == [quality.BAD_DATA_UNAVAILABLE, 0]
                assert readings.value[1] == 9
            words[:] = [1] * len(words)
            assert not isinstance(await driver.read(device.tags), Readings) or type_ in ("uint64", "int64")
            guesses = await driver.guesses(device, "hr:0", len(words))
            assert not any("not_available" in guess.options for guess in guesses)


async def test_probe_says_that_registers_may_stand_for_no_value() -> None:
    async with RawDevice(lambda request: registers(request, lambda at: 0x8000 if at == 0 else 0)) as raw:
        device = make_device({"value": {"address": "hr:0", "type": "int32"}}, port=raw.port)
        async with connected(device) as driver:
            marked = [
                guess.options["type"]
                for guess in await driver.guesses(device, "hr:0", 2)
                if guess.options.get("not_available") == "sunspec"
            ]
            assert set(marked) == {"int16", "int32"}


@pytest.mark.parametrize(
    "padding", [b"\xff" * 4, b"\0" * 4, b"    ", b"\0\xff\xff\xff", b"\xff\xff\0\0", b" \xff\xff\xff"]
)
async def test_the_padding_of_a_text_is_no_part_of_it(padding: bytes) -> None:
    wire = b"ACME" + padding
    async with RawDevice(lambda request: registers(request, lambda at: wire[2 * at] << 8 | wire[2 * at + 1])) as raw:
        device = make_device({"name": {"address": "hr:0", "type": "string", "length": 8}}, port=raw.port)
        async with connected(device) as driver:
            found = await driver.read(device.tags)
            assert isinstance(found, Readings)
            assert (found.exact, found.quality.tolist()) == ({0: "ACME"}, [0])


async def test_a_connection_that_the_device_closes_when_idle_is_dialled_for_the_next_scan_and_remarked() -> None:
    async with RawDevice(registers) as raw:
        device = make_device({"value": {"address": "hr:7", "type": "uint16"}}, port=raw.port)
        async with connected(device) as driver:
            for n in range(1, 4):
                assert list(await driver.read(device.tags)) == [7]  # type: ignore[arg-type]
                assert raw.connections == n
                raw.writers[-1].close()
                await eventually(lambda: driver._line.closed_idle)
            assert driver.counts["idle_closes"] == 2
            assert "closes a connection on which nothing is asked" in driver.remarks[0]


async def test_a_device_that_closes_before_it_ever_answered_is_lost() -> None:
    async with RawDevice(registers) as raw:
        device = make_device({"value": {"address": "hr:7", "type": "uint16"}}, port=raw.port)
        async with connected(device) as driver:
            await eventually(lambda: raw.writers)
            raw.writers[-1].close()
            with pytest.raises(LinkError):
                await driver.read(device.tags)
            assert raw.connections == 1
