"""Each callback of a plugin raises whatever there is, in the whole gateway, with an honest device and an honest sink beside
it: the gateway lives, says which part it is and why, the others go on, and the part is back when it raises no more."""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.cli.config.check import check
from gateway.plugin.loading import load_plugin
from gateway.supervise import backoff
from tests.app.plant import Site, device, sink


class OddCancelledError(asyncio.CancelledError):
    """What asyncua's wait raises on Python 3.11 when its time-out and the answer come in one turn."""


class OddError(BaseException):
    """Of a library that means well."""


KINDS: tuple[type[BaseException], ...] = (
    RecursionError,
    MemoryError,
    TypeError,
    struct.error,
    UnicodeError,
    asyncio.CancelledError,
    OddCancelledError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    OddError,
)
WORDS = {asyncio.CancelledError: "cancelled, though nobody asked", OddCancelledError: "cancelled, though nobody asked"}


class Trouble:
    """What a plugin is to raise, and where."""

    def __init__(self) -> None:
        self.streams = False
        self.cut = False
        """Whether the connection breaks at the next chance; a new one mends that, unless what raises is said to last."""
        self.lasts = False
        self.sent = 0
        self.hits = 0
        self._place = ""
        self._kind: type[BaseException] = Exception

    def begin(self, place: str, kind: type[BaseException]) -> None:
        """From now on, each time this callback is called."""
        self._place, self._kind, self.hits = place, kind, 0

    def end(self) -> None:
        """No more."""
        self._place, self.cut = "", False

    def at(self, place: str) -> None:
        """Called by the plugin in each callback."""
        if place == self._place:
            self.hits += 1
            raise self._kind("odd")


def words(kind: type[BaseException]) -> str:
    """What a person reads of it."""
    return WORDS.get(kind, kind.__name__)


@pytest.fixture
def trouble(site: Site, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    trouble = Trouble()
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.01)
    for name in ("odd", "odd_sink"):
        monkeypatch.setattr(load_plugin(site.path / "plugins" / f"{name}.py"), "trouble", trouble)
    return trouble


HONEST = device("honest").replace("50ms", "20ms")
ODD = device("odd").replace('"lab"', '"odd"')


async def reply(site: Site, command: str, **arguments: Any) -> dict[str, Any]:
    """What the control socket answers, be it a refusal."""
    reader, writer = await asyncio.open_unix_connection(site.socket)
    writer.write(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


async def honest_flows(site: Site) -> None:
    await site.heard("north/honest", since=len(site.far.story))


async def part(site: Site, table: str, name: str) -> dict[str, Any]:
    status = await site.ask("status")
    gone = {"state": "gone"}  # for a moment, while it moves to another line
    return next((each for each in status[table] if each["name"] == name), gone)


async def until_part(site: Site, table: str, name: str, check: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Wait until status says so of a part."""
    try:
        async with asyncio.timeout(60):
            while not check(found := await part(site, table, name)):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {found}") from None
    return found


def is_up(part: dict[str, Any]) -> bool:
    return bool(part["state"] == "up")


@pytest.mark.parametrize("place", ["__init__", "connect", "describe", "read", "stream", "release"])
async def test_a_driver_that_raises_where_it_connects_or_reads(site: Site, trouble: Trouble, place: str) -> None:
    trouble.streams = place == "stream"
    trouble.lasts = place == "release"
    site.write(sink(), HONEST, ODD)
    async with site.running():
        for kind in KINDS:
            await until_part(site, "devices", "odd", is_up)
            trouble.begin(place, kind)
            trouble.cut = place not in ("read", "stream")
            found = await until_part(site, "devices", "odd", lambda part: part["state"] == "faulted")
            assert words(kind) in found["reason"]
            await honest_flows(site)
            trouble.end()
        await until_part(site, "devices", "odd", is_up)


@pytest.mark.parametrize("place", ["counts", "facts", "remarks"])
async def test_a_driver_that_cannot_tell_of_itself(site: Site, trouble: Trouble, place: str) -> None:
    site.write(sink(), HONEST, ODD)
    async with site.running():
        for kind in KINDS:
            await until_part(site, "devices", "odd", is_up)
            trouble.begin(place, kind)
            (remark,) = (await part(site, "devices", "odd"))["remarks"] or (await part(site, "devices", "odd"))[
                "remarks"
            ]
            assert f"cannot tell its {place}: " in remark and words(kind) in remark
            trouble.end()
            await part(site, "devices", "odd")
            assert (await part(site, "devices", "odd"))["remarks"] == []
        await honest_flows(site)


@pytest.mark.parametrize("place", ["close"])
async def test_a_driver_that_raises_where_it_ends(site: Site, trouble: Trouble, place: str) -> None:
    site.write(sink(), HONEST, ODD)
    async with site.running():
        for kind in KINDS:
            await until_part(site, "devices", "odd", is_up)
            trouble.begin(place, kind)
            trouble.cut = True
            await site.until(lambda: trouble.hits)
            await until_part(site, "devices", "odd", is_up)
            await honest_flows(site)
        trouble.end()


ASKED: dict[str, Callable[[Site], Awaitable[dict[str, Any]]]] = {
    "write": lambda site: reply(site, "write", device="odd", tag="speed", value=1, reason="test"),
    "call": lambda site: reply(site, "call", device="odd", target="oven", method="heat", arguments=[], reason="test"),
    "methods": lambda site: reply(
        site, "call", device="odd", target="oven", method="heat", arguments=[], reason="test"
    ),
    "browse": lambda site: reply(site, "browse", device="odd"),
    "guesses": lambda site: reply(site, "probe", device="odd", address="1", count=1),
}


@pytest.mark.parametrize("place", [*ASKED])
async def test_a_driver_that_raises_where_a_person_asks_it(site: Site, trouble: Trouble, place: str) -> None:
    site.gateway_line = "writes = true"
    site.write(
        sink(),
        HONEST,
        device("odd", tags="[device.tags]\nspeed = { write = true, min = 0, max = 9, max_rate = '6000/min' }").replace(
            '"lab"', '"odd"'
        ),
    )
    async with site.running():
        for kind in KINDS:
            await until_part(site, "devices", "odd", is_up)
            trouble.begin(place, kind)
            answer = await ASKED[place](site)
            assert trouble.hits, answer
            assert words(kind) in answer["error"]
            await honest_flows(site)
            trouble.end()
        await until_part(site, "devices", "odd", is_up)


@pytest.mark.parametrize("place", ["line_key", "subscribes"])
@pytest.mark.parametrize("kind", [TypeError, OddCancelledError, SystemExit, GeneratorExit])
async def test_a_driver_that_cannot_tell_its_line_is_down_alone_and_joins_when_it_can(
    site: Site, trouble: Trouble, place: str, kind: type[BaseException]
) -> None:
    site.write(sink(), HONEST, ODD)
    trouble.begin(place, kind)
    async with site.running():
        found = await until_part(site, "devices", "odd", lambda part: part["state"] == "faulted")
        assert words(kind) in found["reason"]
        await honest_flows(site)
        trouble.end()
        await until_part(site, "devices", "odd", is_up)


@pytest.mark.parametrize("place", ["__init__", "connect", "serve", "send", "device_changed", "window"])
async def test_a_sink_that_raises_where_it_connects_or_sends(site: Site, trouble: Trouble, place: str) -> None:
    site.write(sink(), sink("odd").replace('"memory"', '"odd_sink"'), HONEST)
    async with site.running():
        for kind in KINDS:
            before = trouble.sent
            await site.until(lambda before=before: trouble.sent > before, "what is sent")
            trouble.begin(place, kind)
            trouble.cut = place not in ("serve", "send")
            # What was sent last may have been sent before the last fault was told: then that one is still to be seen.
            await until_part(
                site,
                "sinks",
                "odd",
                lambda part, kind=kind: part["state"] == "faulted" and words(kind) in part["reason"],
            )
            await honest_flows(site)
            trouble.end()
        before = trouble.sent
        await site.until(lambda: trouble.sent > before, "what is sent")


@pytest.mark.parametrize("place", ["promise", "close"])
async def test_a_sink_that_raises_where_it_tells_of_itself_or_ends(site: Site, trouble: Trouble, place: str) -> None:
    site.write(sink(), sink("odd").replace('"memory"', '"odd_sink"'), HONEST)
    async with site.running():
        for kind in KINDS:
            trouble.begin(place, kind)
            trouble.cut = True
            await site.until(lambda: trouble.hits)
            await until_part(site, "sinks", "odd", is_up)
            await honest_flows(site)
        trouble.end()
        before = trouble.sent
        await site.until(lambda: trouble.sent > before, "what is sent")


@pytest.mark.parametrize("kind", KINDS)
def test_check_tells_of_a_driver_that_cannot_tell_how_it_reads(
    site: Site, trouble: Trouble, kind: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(sink(), HONEST, ODD)
    for place, what in (("plan", "tell its plan"), ("doubts", "tell its doubts"), ("line_key", "tell the line")):
        trouble.begin(place, kind)
        assert check(site.config) == 0
        said = capsys.readouterr().out
        assert f"cannot {what}" in said and words(kind) in said
        assert "honest" in said
