"""The kit for PLCs, by the driver that docs/plugins.md prints: what it promises holds for a protocol that nobody knows."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.kit import BlockDriver
from gateway.plugin import Device, DeviceError, LinkError
from gateway.testing import build_device, load_plugin

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"
Answerer = Callable[[int, int, int], bytes | None]
"""Takes id, first word and count; gives the frame to send back, or None for silence."""


@pytest.fixture(scope="session")
def driver_class(tmp_path_factory: pytest.TempPathFactory) -> type[BlockDriver[Any, Any]]:
    (source,) = [each for each in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "AcmePlc(" in each]
    file = tmp_path_factory.mktemp("plugin") / "acme_plc.py"
    file.write_text(source)
    loaded: Any = load_plugin(file)
    return loaded


def words(number: int, start: int, count: int) -> bytes:
    """The right answer: each word holds its own number."""
    data = b"".join(struct.pack(">h", start + n) for n in range(count))
    return struct.pack(">HBB", number, 0, len(data)) + data


def refusal(number: int, code: int = 2) -> bytes:
    return struct.pack(">HBB", number, code, 0)


@asynccontextmanager
async def plc(answer: Answerer) -> AsyncIterator[tuple[int, list[tuple[int, int]]]]:
    """A PLC in this process: its port, and what it was asked for."""
    asked: list[tuple[int, int]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                number, start, count = struct.unpack(">HHB", await reader.readexactly(5))
                asked.append((start, count))
                if (frame := answer(number, start, count)) is not None:
                    writer.write(frame)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


@asynccontextmanager
async def connected(
    cls: type[BlockDriver[Any, Any]], answer: Answerer, *at: int, **options: Any
) -> AsyncIterator[tuple[BlockDriver[Any, Any], Device, list[tuple[int, int]]]]:
    """A line to a device with a tag at each of these words."""
    async with plc(answer) as (port, asked):
        tags = {f"w{word}": {"word": word} for word in at}
        device = build_device(cls, {"host": "127.0.0.1", "port": port, "timeout": "25s"} | options, tags)
        driver = cls([device])
        await driver.connect()
        try:
            yield driver, device, asked
        finally:
            await driver.close()


async def test_neighbours_are_read_together_and_gaps_read_over(driver_class: type[BlockDriver[Any, Any]]) -> None:
    async with connected(driver_class, words, 5, 1, 2, 17, 500) as (driver, device, asked):
        assert list(await driver.read(device.tags)) == [5, 1, 2, 17, 500]  # type: ignore[arg-type]
        assert asked == [(1, 17), (500, 1)]


async def test_a_word_that_the_device_lacks_costs_its_own_tag_and_is_named(
    driver_class: type[BlockDriver[Any, Any]],
) -> None:
    def lacks_7(number: int, start: int, count: int) -> bytes:
        return refusal(number) if start <= 7 < start + count else words(number, start, count)

    async with connected(driver_class, lacks_7, 5, 6, 7, 8) as (driver, device, asked):
        with capture_logs() as logs:
            readings: Any = await driver.read(device.tags)
        assert [bool(good) for good in readings.quality == 0] == [True, True, False, True]
        assert readings.value[[0, 1, 3]].tolist() == [5, 6, 8]
        (told,) = [log for log in logs if log["event"] == "the device refuses addresses"]
        assert told["addresses"] == "W7"
        assert told["reason"] == "there are no such words in this PLC (code 2)"
        asked.clear()
        await driver.read(device.tags)
        assert asked == [(5, 2), (8, 1)], "what is parked is not asked for at each scan"


@pytest.mark.parametrize(
    "odd",
    [
        lambda number, start, count: words(number, start, count)[:-2],
        lambda number, start, count: struct.pack(">HBB", number, 0, 2 * count + 4) + bytes(2 * count + 4),
    ],
    ids=["half a frame", "surplus bytes"],
)
async def test_an_answer_of_another_size_about_one_word_leaves_the_others_good(
    driver_class: type[BlockDriver[Any, Any]], odd: Answerer
) -> None:
    def answer(number: int, start: int, count: int) -> bytes | None:
        if not start <= 7 < start + count:
            return words(number, start, count)
        wrong = odd(number, start, count)
        assert wrong is not None
        return wrong[:3] + bytes([len(wrong) - 4]) + wrong[4:]

    async with connected(driver_class, answer, 5, 6, 7, 8) as (driver, device, _):
        readings: Any = await driver.read(device.tags)
        assert [bool(good) for good in readings.quality == 0] == [True, True, False, True]


async def test_answers_that_come_twice_or_late_are_no_answers(driver_class: type[BlockDriver[Any, Any]]) -> None:
    def twice(number: int, start: int, count: int) -> bytes:
        return (
            words(number, start + 1000, count)[:4] + words(number, start, count)[4:] + words(number, start + 9, count)
        )

    async with connected(driver_class, twice, 5) as (driver, device, _):
        for _ in range(3):
            assert list(await driver.read(device.tags)) == [5]  # type: ignore[arg-type]
        assert driver.counts["stray"] >= 2


async def test_a_device_that_refuses_all_is_told_in_words(driver_class: type[BlockDriver[Any, Any]]) -> None:
    async with connected(driver_class, lambda number, *_: refusal(number), 5) as (driver, device, _):
        readings: Any = await driver.read(device.tags)
        assert readings.quality[0] != 0
        with pytest.raises(DeviceError, match="there are no such words in this PLC"):
            await driver.ask(driver.reading(device.config).request(Words(), 5, 1), device.config)


async def test_silence_about_all_is_an_error_and_about_one_word_costs_that_one(
    driver_class: type[BlockDriver[Any, Any]],
) -> None:
    async with connected(driver_class, lambda *_: None, 5, timeout="300ms") as (driver, device, _):
        with pytest.raises((TimeoutError, LinkError)):
            await driver.read(device.tags)


def test_check_tells_the_requests(driver_class: type[BlockDriver[Any, Any]]) -> None:
    tags = {f"w{word}": {"word": word} for word in (1, 2, 5, 500)}
    device = build_device(driver_class, {"host": "127.0.0.1"}, tags)
    assert driver_class.plan(device) == [
        "every 1 s: 2 requests for 4 tags",
        "  W1-W5: 5 words, 3 tags, 2 of them unused",
        "  W500: 1 word, 1 tag",
    ]


class Words:
    """An area, for a request that no tag makes."""

    rank, word = 0, "word"

    def size(self, count: int) -> int:
        return 2 * count

    def printed(self, offset: int) -> str:
        return f"W{offset}"
