"""Reading and writing against a simulator that is not ours."""

import dataclasses
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import DeviceError, RefusedError
from gateway.testing import read_all
from plugins.melsec.tests.simulated import WAYS, connected, make_device, plc, testing


def commands(simulator: Any) -> list[int]:
    """The command of each request in binary 3E frames."""
    asked = [record.data for record in simulator.transcript if record.direction == "rx"]
    return [int.from_bytes(data[11:13], "little") for data in asked]


def put(simulator: Any, device: str, index: int, wire: bytes) -> None:
    """Hold words that are given as their bytes go over the wire."""
    simulator.memory.write_words(device, index, struct.unpack(f"<{len(wire) // 2}H", wire))


@pytest.mark.parametrize("way", WAYS)
async def test_every_type_and_kind_of_device_by_every_way(way: str) -> None:
    async with plc() as simulator:
        put(simulator, "D", 100, struct.pack("<fhq", 1.5, -7, 0x778899AABBCCDDEE - (1 << 63)))
        put(simulator, "D", 110, b"LOT-4711\0\0")
        put(simulator, "W", 0x1A, struct.pack("<H", 0x1234))
        put(simulator, "W", 0x300, struct.pack("<d", 2.25))
        put(simulator, "SD", 210, struct.pack("<H", 9))
        put(simulator, "TN", 5, struct.pack("<H", 55))
        simulator.memory.write_bits("X", 0x1F, [True])
        simulator.memory.write_bits("M", 100, [True, False, True, True])
        simulator.memory.write_bits("B", 0x20, [True] * 16)
        simulator.memory.write_bits("L", 32, [True, True])
        tags = {
            "real": {"address": "D100", "type": "REAL"},
            "int": {"address": "D102", "type": "INT"},
            "big": {"address": "D103", "type": "LINT"},
            "text": {"address": "D110", "type": "STRING", "length": 10},
            "bcd": {"address": "W1A", "type": "bcd16"},
            "double": {"address": "W300", "type": "LREAL"},
            "special": "SD210",
            "timer": "T5",
            "input": "X1F",
            "bit": "M100",
            "other": "M101",
            "nibble": {"address": "K1M100"},
            "sixteen": {"address": "K4B20", "type": "uint16"},
            "thirty-two": {"address": "K8L32", "type": "uint32"},
            "bit of a word": "D102.F",
            "some bits": {"address": "D102.0-3"},
        }
        device = make_device(tags, simulator, way)
        async with connected(device) as driver:
            found = await read_all(driver, device)
    assert found == [
        1.5, -7, 0x778899AABBCCDDEE - (1 << 63), "LOT-4711", 1234, 2.25, 9, 55, 1, 1, 0, 0b1101, 0xFFFF, 3, 1, 9,
    ]  # fmt: skip


async def test_scattered_words_and_bits_go_in_one_request() -> None:
    async with plc() as simulator:
        device = make_device({f"d{n}": f"D{n}" for n in range(0, 1900, 100)} | {"m": "M5", "x": "X0"}, simulator)
        async with connected(device) as driver:
            assert (await read_all(driver, device))[:19] == list(range(0, 1900, 100))
        assert commands(simulator) == [0x0406]


async def test_a_plc_without_that_command_is_asked_place_by_place_from_then_on() -> None:
    async with plc(_without_blocks()) as simulator:
        device = make_device({f"d{n}": f"D{n}" for n in range(0, 300, 100)}, simulator)
        async with connected(device) as driver:
            for _ in range(3):
                assert await read_all(driver, device) == [0, 100, 200]
        assert commands(simulator) == [0x0406, *[0x0401] * 9]


def _without_blocks() -> Any:
    return dataclasses.replace(testing.PEDANTIC, block_access=False)


async def test_a_device_that_the_plc_lacks_costs_its_own_tag() -> None:
    async with plc() as simulator:
        device = make_device({"a": "D6", "b": "D9000000", "c": "D800", "d": "M1"}, simulator)
        async with connected(device) as driver:
            for _ in range(2):
                assert await read_all(driver, device) == [6, None, 800, 0]


async def test_more_words_than_one_request_gives_are_read_in_several() -> None:
    for way in ("tcp-binary-3E", "tcp-ascii-3E"):
        async with plc(testing.FX5U_32MT_DS, pathology=testing.HEALTHY) as simulator:
            device = make_device({f"d{n}": f"D{n}" for n in range(1500)}, simulator, way)
            async with connected(device) as driver:
                assert await read_all(driver, device) == list(range(1500))


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_written_is_read_back_and_nothing_beside_it_changes(way: str) -> None:
    tags: dict[str, Any] = {
        "real": {"address": "D100", "type": "float32"},
        "bit": "M101",
        "part": {"address": "K2M104"},
        "text": {"address": "W20", "type": "string", "length": 5},
        "long": {"address": "K8M160", "type": "uint32"},
    }
    async with plc() as simulator:
        device = make_device(tags, simulator, way)
        async with connected(device) as driver:
            for tag, value in zip(device.tags, (-2.25, 1, 0xA5, "LOT-7", 0xDEADBEEF), strict=True):
                await driver.write(tag, value)
            assert await read_all(driver, device) == [-2.25, 1, 0xA5, "LOT-7", 0xDEADBEEF]
        assert [*simulator.memory.read_bits("M", 96, 16)] == [bool(0xA520 >> n & 1) for n in range(16)]
        assert simulator.memory.get_f32("D", 100) == -2.25
        assert simulator.memory.read_words("D", 102, 1) == (102,)


async def test_a_bit_of_a_word_is_not_written_since_its_neighbours_would_be_too() -> None:
    async with plc() as simulator:
        device = make_device({"bit": "D100.3"}, simulator)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="take it from an M"):
                await driver.write(device.tags[0], 1)


async def test_octal_numbers_of_an_iq_f_are_those_of_its_program() -> None:
    async with plc() as simulator:
        simulator.memory.write_bits("X", 0o17, [True])
        device = make_device({"a": {"address": "X17", "octal": True}, "b": {"address": "X17"}}, simulator)
        async with connected(device) as driver:
            assert await read_all(driver, device) == [1, 0]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("tcp-binary-3E", "tcp-binary-4E", "frame"),
        ("tcp-ascii-3E", "tcp-binary-3E", "code"),
        ("tcp-binary-3E", "tcp-ascii-3E", "code"),
    ],
)
async def test_the_wrong_frame_or_code_is_told_or_to_be_looked_at(right: str, wrong: str, said: str) -> None:
    async with plc() as simulator:
        device = make_device({"a": "D6"}, simulator, wrong, port=simulator.address(right)[1], timeout="500ms")
        with pytest.raises(Exception, match=said) as raised:
            async with connected(device) as driver:
                for _ in range(5):
                    try:
                        await driver.read(device.tags)
                    except TimeoutError:
                        continue
        assert not isinstance(raised.value, AssertionError)


async def test_a_remote_password_unlocks_the_port_and_a_wrong_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    target = dataclasses.replace(testing.PEDANTIC, password="s3cret")
    async with plc(target) as simulator:
        for password, good in (("s3cret", True), ("wrong", False)):
            (tmp_path / "plc").write_text(password)
            device = make_device({"a": "D6"}, simulator, password={"credential": "plc"})
            if good:
                async with connected(device) as driver:
                    assert await read_all(driver, device) == [6]
            else:
                with pytest.raises(RefusedError, match="remote password"):
                    async with connected(device):
                        pass


@pytest.mark.parametrize("way", WAYS)
async def test_it_says_what_it_is(way: str) -> None:
    async with plc() as simulator:
        device = make_device({"word": "D1"}, simulator, way)
        async with connected(device) as driver:
            assert (await driver.identify(device)).startswith("Mitsubishi ")
