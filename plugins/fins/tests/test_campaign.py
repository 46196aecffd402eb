"""A PLC that misbehaves in one way at a time: nothing that is wrong is ever good, neighbours stay, and what was repaired is
read again. Waiting is by scans, and each scan may fail, so that a slow machine fails nothing."""

import asyncio
import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest

from gateway.plugin import Device, DeviceError, LinkError, quality
from plugins.fins.driver import Fins
from plugins.fins.tests.fakes import Bend, FinsPlc, make_device

BENT = 50
"""The word of D that some manners are about."""

WORDS = (6, 7, BENT, 51, 300)


def about_one(bend: Bend) -> Bend:
    """Only what reads the bent word is answered so."""

    def answer(request: bytes, right: bytes) -> list[bytes]:
        start, count = struct.unpack(">HxH", request[13:18])
        return bend(request, right) if start <= BENT < start + count else [right]

    return answer


def refused(code: int) -> Bend:
    return lambda _, right: [right[:12] + code.to_bytes(2, "big")]


def late() -> Bend:
    """Each answer comes once more, after the next one was asked for."""
    before: list[bytes] = []

    def answer(_: bytes, right: bytes) -> list[bytes]:
        sent = [*before, right]
        before[:] = [right]
        return sent

    return answer


def now_and_then(bend: Bend) -> Bend:
    turn = itertools.count()
    return lambda request, right: bend(request, right) if next(turn) % 3 == 2 else [right]


MANNERS: dict[str, tuple[Callable[[], Bend], str]] = {
    "answers come twice": (lambda: lambda _, right: [right, right], "good"),
    "answers come again late": (late, "good"),
    "flags of a CPU error": (lambda: lambda _, right: [right[:12] + b"\x80\xc0" + right[14:]], "good"),
    "a request of its own before": (
        lambda: lambda request, right: [b"\x80" + right[1:10] + b"\1\2" + request[12:] + b"\0\1", right],
        "good",
    ),
    "answers by another number before": (
        lambda: lambda _, right: [right[:9] + bytes([right[9] ^ 0x40]) + bytes(len(right) - 10), right],
        "good",
    ),
    "busy now and then": (lambda: now_and_then(refused(0x0204)), "mostly good"),
    "lost now and then": (lambda: now_and_then(lambda *_: []), "mostly good"),
    "half a frame now and then": (lambda: now_and_then(lambda _, right: [right[:7]]), "mostly good"),
    "silence about one word": (lambda: about_one(lambda *_: []), "bent"),
    "one word refused": (lambda: about_one(refused(0x1103)), "bent"),
    "one word refused by a code of nobody's": (lambda: about_one(refused(0x7A11)), "bent"),
    "one word answered short": (lambda: about_one(lambda _, right: [right[:-1]]), "bent"),
    "one word answered with surplus": (lambda: about_one(lambda _, right: [right + b"\0\0"]), "bent"),
    "one word answered without data": (lambda: about_one(lambda _, right: [right[:14]]), "bent"),
    "silence": (lambda: lambda *_: [], "down"),
    "numbers of nobody's": (lambda: lambda _, right: [right[:9] + bytes([right[9] ^ 0x40]) + right[10:]], "down"),
    "another command": (lambda: lambda _, right: [right[:10] + b"\1\4" + right[12:]], "down"),
    "halves": (lambda: lambda _, right: [right[:7]], "down"),
    "zeros": (lambda: lambda _, right: [bytes(len(right))], "down"),
    "not in the network": (lambda: refused(0x0201), "down"),
    "another device holds it": (lambda: refused(0x3001), "down"),
}


class Reader:
    """Reads as the gateway does: an error of the line makes a new one."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._driver: Fins | None = None

    async def scan(self) -> set[int]:
        """The words that are good. What is good must be right."""
        try:
            if self._driver is None:
                driver = Fins([self.device])
                await driver.connect()
                self._driver = driver
            values: Any = await self._driver.read(self.device.tags)
        except DeviceError:
            return set()
        except (LinkError, OSError, TimeoutError):
            await self.close()
            return set()
        found, good = (
            (values.value, values.quality == quality.GOOD)
            if hasattr(values, "quality")
            else (values, [True] * len(WORDS))
        )
        for word, value, is_good in zip(WORDS, found, good, strict=True):
            assert not is_good or value == word, f"D{word} is good and wrong"
        return {word for word, is_good in zip(WORDS, good, strict=True) if is_good}

    async def until(self, *wanted: set[int]) -> None:
        while await self.scan() not in wanted:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("manner", MANNERS)
async def test_a_manner_costs_what_it_must_and_is_over_when_it_is_repaired(
    manner: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.kit.blocks.plan.PROBE_AFTER", 0.1)
    make_bend, kind = MANNERS[manner]
    every = set(WORDS)
    plc = FinsPlc(make_bend())
    async with getattr(plc, transport)() as port:
        options = {"transport": transport, "timeout": "1s", "request_timeout": "100ms", "max_gap": 100}
        reader = Reader(make_device({f"d{word}": f"D{word}" for word in WORDS}, port, **options))
        try:
            wanted = {"good": every, "mostly good": every, "bent": every - {BENT}, "down": set()}[kind]
            for _ in range(3):
                await reader.until(wanted)
            plc.bend = lambda _, right: [right]
            await reader.until(every)
        finally:
            await reader.close()
