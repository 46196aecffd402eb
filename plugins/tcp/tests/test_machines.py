"""Machines as their public manuals describe them: a Mettler Toledo scale (MT-SICS), a Sartorius scale that prints by itself
(SBI), a Zebra printer (ZPL II, ~HS), a Datalogic reader (STX, ETX), and a warehouse's binary telegrams."""

import asyncio
import contextlib
import math
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.plugin import Device, DeviceError, LinkError, quality
from gateway.testing import build_device
from plugins.tcp.driver import TcpTelegrams

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def machine(talk: Talk, tags: dict[str, Any], **options: Any) -> AsyncIterator[tuple[TcpTelegrams, Device]]:
    """A driver that is connected to a machine in this process."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        device = build_device(TcpTelegrams, {"host": "127.0.0.1", "port": port} | options, tags)
        driver = TcpTelegrams([device])
        await driver.connect()
        try:
            yield driver, device
        finally:
            await driver.close()


def answering(answers: dict[bytes, bytes], end: bytes = b"\r\n") -> Talk:
    """Answers each request, and cuts its answers into pieces."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(end)
            for byte in answers.get(request.removesuffix(end), b"ES\r\n"):
                writer.write(bytes([byte]))
                await writer.drain()

    return talk


def pushing(*pieces: bytes) -> Talk:
    """Sends these pieces, and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return talk


async def read(driver: TcpTelegrams, device: Device) -> list[tuple[Any, int]]:
    """Value and quality of each tag."""
    found = await driver.read(device.tags)
    return [
        (found.exact.get(row, value), int(code))
        for row, (value, code) in enumerate(zip(found.value.tolist(), found.quality.tolist(), strict=True))
    ]


async def pushed(driver: TcpTelegrams, device: Device) -> list[dict[str, tuple[Any, int]]]:
    """What comes until the machine closes."""
    names = {tag.id: tag.name for tag in device.tags}
    seen = []
    with pytest.raises(LinkError):
        async for found in driver.stream():
            rows = zip(found.tag.tolist(), found.value.tolist(), found.quality.tolist(), strict=True)
            seen.append({names[tag]: (found.exact.get(row, v), int(q)) for row, (tag, v, q) in enumerate(rows)})
    return seen


@pytest.mark.parametrize(
    ("answer", "value", "code"),
    [
        (b"S S     100.00 g\r\n", 100.0, quality.GOOD),
        (b"S S -     3.5 g\r\n", -3.5, quality.GOOD),
        (b"S D     101.20 g\r\n", 101.2, quality.UNCERTAIN),
        (b"S I\r\n", None, quality.BAD_DEVICE_FAILURE),
        (b"S +\r\n", None, quality.BAD_DEVICE_FAILURE),
        (b"ES\r\n", None, quality.BAD_DATA_UNAVAILABLE),
        (b"S S     1x0.00 g\r\n", None, quality.BAD_DATA_UNAVAILABLE),
    ],
)
async def test_a_mettler_toledo_scale(answer: bytes, value: float | None, code: int) -> None:
    tags = {"weight": {"pattern": r"^S [SD] +(-? *[\d.]+) g", "type": "float64", "unit": "g"}}
    options = {"ask": "SI\r\n", "bad": "^S [-I+]$", "uncertain": "^S D"}
    async with machine(answering({b"SI": answer}), tags, **options) as (driver, device):
        ((found, told),) = await read(driver, device)
    assert told == code
    assert value is None or found == value


async def test_a_sartorius_scale_that_prints_by_itself() -> None:
    tags = {
        "net": {"pattern": r"^N +([-+] *[\d.]+) kg", "type": "float64"},
        "tare": {"pattern": r"^T +([-+] *[\d.]+) kg", "type": "float64"},
    }
    pieces = (b"N     +   12", b"3.4 kg  \r\nT     +     1.5 kg  \r\nStat\r\n", b"N     -   0.2 kg  \r\n")
    async with machine(pushing(*pieces), tags, pushed=True) as (driver, device):
        seen = await pushed(driver, device)
    assert seen == [{"net": (123.4, 0)}, {"tare": (1.5, 0)}, {"net": (-0.2, 0)}]


async def test_a_machine_that_says_by_itself_that_it_has_no_value_is_believed() -> None:
    tags = {"net": {"pattern": r"^N +([-+] *[\d.]+) kg", "type": "float64"}}
    pieces = (b"N     +   1.5 kg\r\n", b"ERR 54\r\n", b"N     +   1.7 kg\r\n")
    async with machine(pushing(*pieces), tags, pushed=True, bad="^ERR") as (driver, device):
        seen = await pushed(driver, device)
    assert [each["net"][1] for each in seen] == [0, quality.BAD_DEVICE_FAILURE, 0]


async def test_a_zebra_printer_says_whether_paper_is_out() -> None:
    answer = b"\x02030,1,0,1245,000,0,0,0,000,0,0,0\x03\r\n"
    tags = {
        "paper_out": {"pattern": r"^\d+,(\d)", "type": "bool"},
        "paused": {"pattern": r"^\d+,\d,(\d)", "type": "bool"},
        "labels": {"pattern": r"^\d+,\d,\d,(\d+)", "type": "int64"},
        "settings": {"at": 0, "length": 3},
    }
    options = {"ask": "~HS\r\n", "frame": {"start": "\x02", "end": "\x03"}}
    async with machine(answering({b"~HS": answer}), tags, **options) as (driver, device):
        assert await read(driver, device) == [(1.0, 0), (0.0, 0), (1245.0, 0), ("030", 0)]
        assert await read(driver, device) == [(1.0, 0), (0.0, 0), (1245.0, 0), ("030", 0)], (
            "what is behind ETX harms nothing"
        )


async def test_a_reader_whose_telegrams_are_cut_or_begin_in_the_middle() -> None:
    tags = {"code": {"at": 0}}
    pieces = (b"4711\x03", b"\x02870", b"123\x03\x02", b"\x02LOT\x1d42\x03", b"\x02half")
    async with machine(pushing(*pieces), tags, pushed=True, frame={"start": "\x02", "end": "\x03"}) as (driver, device):
        assert [each["code"] for each in await pushed(driver, device)] == [("870123", 0), ("LOT\x1d42", 0)]


async def test_binary_telegrams_with_their_length_before_them() -> None:
    def telegram(place: int, weight: float, name: bytes) -> bytes:
        body = struct.pack("<HfB", place, weight, len(name)) + name
        return struct.pack(">HH", 0xAA55, len(body)) + body

    tags = {
        "place": {"at": 4, "type": "uint16", "binary": True, "order": "little"},
        "weight": {"at": 6, "type": "float32", "binary": True, "order": "little"},
        "name": {"at": 11},
        "last": {"at": -1, "length": 1, "type": "bytes"},
    }
    both = telegram(7, 1.5, b"A1") + telegram(300, -2.0, b"B22")
    frame = {"length": {"at": 2, "bytes": 2, "more": 4}}
    async with machine(pushing(both[:9], both[9:]), tags, pushed=True, frame=frame) as (driver, device):
        seen = await pushed(driver, device)
    assert seen == [
        {"place": (7, 0), "weight": (1.5, 0), "name": ("A1", 0), "last": (b"1", 0)},
        {"place": (300, 0), "weight": (-2.0, 0), "name": ("B22", 0), "last": (b"2", 0)},
    ]


async def test_telegrams_of_one_size() -> None:
    tags = {"a": {"at": 0, "length": 2, "type": "int64"}, "b": {"at": 2, "length": 9}}
    async with machine(pushing(b"12AB", b"xyCD"), tags, pushed=True, frame={"size": 4}) as (driver, device):
        assert await pushed(driver, device) == [
            {"a": (12, 0)}, {"a": (pytest.approx(float("nan"), nan_ok=True), quality.BAD_DECODING)},
        ]  # fmt: skip


async def test_writing_says_what_the_machine_answered() -> None:
    tags = {
        "limit": {
            "ask": "L\r\n",
            "at": 0,
            "type": "float64",
            "send": "L {value:.1f}\r\n",
            "expect": "^OK",
        },
    }
    answers = {b"L": b"1,5\r\n", b"L 2.5": b"OK\r\n", b"L 9.0": b"ERR limit\r\n"}
    tags["limit"]["decimal"] = ","
    async with machine(answering(answers), tags) as (driver, device):
        assert await read(driver, device) == [(1.5, 0)]
        await driver.write(device.tags[0], 2.5)
        with pytest.raises(DeviceError, match="answers 'ERR limit'"):
            await driver.write(device.tags[0], 9.0)


async def test_a_telegram_without_an_end_ends_the_line_and_not_the_memory() -> None:
    tags = {"code": {"at": 0}}
    async with machine(pushing(b"x" * 5000), tags, pushed=True) as (driver, _):
        with pytest.raises(LinkError, match="no end of a frame"):
            await driver._stream.frame()


async def test_a_pattern_without_an_end_makes_its_tag_bad_and_stops_nobody() -> None:
    tags = {
        "endless": {"pattern": "^(a+)+$"},
        "rest": {"pattern": "b$"},
    }
    async with machine(answering({b"?": b"a" * 500 + b"b\r\n"}), tags, ask="?\r\n") as (driver, device):
        before = time.process_time()
        assert await read(driver, device) == [
            (pytest.approx(math.nan, nan_ok=True), quality.BAD_CONFIGURATION),
            ("b", 0),
        ]
        assert time.process_time() - before < 5, "Python alone takes longer than the sun has left"
        (told,) = driver.remarks
        assert '"endless"' in told
        tried = time.process_time()
        for _ in range(100):
            assert (await read(driver, device))[1] == ("b", 0)
        assert time.process_time() - tried < 5, "it rests"


async def test_a_machine_whose_every_telegram_meets_an_endless_pattern_leaves_others_their_turn() -> None:
    tags = {"endless": {"pattern": "x"}}
    endless = pushing(*[b"a" * 500 + b"b\r\n"] * 200)
    async with machine(endless, tags, pushed=True, bad="^(a+)+$", uncertain="(.*)*z") as (driver, device):
        before = time.process_time()
        assert {found["endless"][1] for found in await pushed(driver, device)} == {quality.BAD_CONFIGURATION}
        assert time.process_time() - before < 5
