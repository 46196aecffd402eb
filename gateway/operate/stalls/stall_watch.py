"""A watch on the event loop: a call that blocks it stops all devices and sinks; a thread sees which one it is, and says so.

It writes down what blocks, before systemd's watchdog kills the gateway over it: the next start leaves that part alone
(`barred`), until the plugin's file has changed, or somebody reloads.
"""

import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import structlog

from gateway.core.amounts import format_duration
from gateway.core.parsing import parse_json
from gateway.core.text import cleaned
from gateway.operate.stalls.last_stack import LastStack, last_stack
from gateway.places.durable import write_whole
from gateway.plugin.driver import Driver
from gateway.plugin.loading import PACKAGE
from gateway.plugin.service import Service
from gateway.plugin.sink import Sink
from gateway.plugin.watch import Watch
from gateway.status import StallStatus

LIMIT = 1.0
"""Seconds without a turn of the loop from which it counts as blocked."""
GRAVE = 5.0
"""Seconds after which it is written down, in case that this is the end."""
LOOK = 0.25
BEAT = 0.4
"""How often the loop says that it turns; it does so on a turn of the wheel, without a wake-up of its own."""
RECENT = 900.0
"""Seconds for which a call that blocked is among the things to look at."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where the loop stands."""

    plugin: str
    """Empty for the gateway's own code."""
    part: str
    """The device or sink it was called for, such as "device press-1"; empty where that is not known."""
    at: str
    """file:line in the plugin, else in whatever code it is."""
    within: str
    """The innermost function of Python, which may be a library's."""

    def __str__(self) -> str:
        whose = f"plugin {self.plugin}" if self.plugin else "the gateway's own code"
        return f"{whose}{f' ({self.part})' if self.part else ''} at {self.at}, in {self.within}"


@dataclass(slots=True)
class _Seen:
    times: int = 0
    longest: float = 0.0
    last: float = 0.0


class KnownPlugins(Protocol):
    """What there is to know of plugins."""

    def hash_of(self, name: str) -> str:
        """Of a plugin's files; empty for one that is not there."""
        ...

    def of(self, file: str) -> str:
        """The name of the plugin that a file of code belongs to, or nothing."""
        ...


class StallWatch:
    """`beat` and `running` are for the loop's thread; the looking happens in a thread of its own."""

    def __init__(self, directory: Path, plugins: KnownPlugins) -> None:
        """Notes are kept in `directory`."""
        self._note = directory / "blocked.json"
        self._stack = directory / "blocked.stack"
        self._last_stack = LastStack(self._stack, GRAVE)
        self._barring = directory / "barred.json"
        self._plugins = plugins
        self._loop_thread = 0
        self._schedule = -1
        """Descriptor of the file that tells of the loop's thread; kept open, since opening it costs more than the look."""
        self._beat = 0.0
        self._seen: dict[Culprit, _Seen] = {}
        self._barred: dict[str, str] = {}
        """Part, or plugin → why it is left alone."""
        self._ended = threading.Event()

    # What died of it.

    def recall(self) -> None:
        """Once, before the parts start: what blocked the gateway until its end is barred."""
        try:
            if not self._note.exists():
                self._note_from_stack()
            if self._note.exists():
                self._note.replace(self._barring)
            noted = parse_json(self._barring.read_bytes(), size=64 * 1024)
            plugin, part, at = (str(noted[key]) for key in ("plugin", "part", "at"))
            unchanged = bool(plugin) and noted["hash"] == self._plugins.hash_of(plugin)
            seconds = float(noted["seconds"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("what blocked the gateway before its end cannot be read", reason=cleaned(error))
            return
        if not unchanged:
            self.pardon()
            return
        why = (
            f"left alone: at {cleaned(at)} its plugin {cleaned(plugin)} blocked the whole gateway for more than "
            f"{seconds:.0f} s, until it was killed; mend the plugin, or try it again with edge-gateway reload"
        )
        self._barred[part or plugin] = why
        log.error("a part is left alone", part=part or plugin, reason=why)

    def _note_from_stack(self) -> None:
        """The watching thread has written nothing, as when the call that blocked kept Python's lock; its stack may tell.
        Raises OSError."""
        frames = last_stack(self._stack)
        own = ((self._plugins.of(file), f"{file}:{line}") for file, line, _ in frames)
        plugin, at = next((each for each in own if each[0]), ("", ""))
        if plugin:
            self._write(Culprit(plugin, "", at, frames[0][2]), GRAVE)

    def barred(self, part: str, plugin: str) -> str:
        """Why a part, such as "device press-1", must not be started; empty when it may."""
        return self._barred.get(part) or self._barred.get(plugin, "")

    def pardon(self) -> None:
        """Start what was barred: somebody wants to try it again."""
        self._barred.clear()
        self._barring.unlink(missing_ok=True)

    # What happens now.

    def beat(self) -> None:
        """The loop turns."""
        self._beat = time.monotonic()
        self._last_stack.keep()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the loop that this is entered in, until it is left."""
        self._loop_thread = threading.get_ident()
        with suppress(OSError):  # not everywhere
            path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
            self._schedule = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._last_stack.begin()
        self.beat()
        threading.Thread(target=self._run, name="stall-watch", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()
            self._last_stack.end()

    def said_of(self, part: str) -> list[str]:
        """What a part has done to the others lately, in words."""
        return [_words(each) for each in self.listed() if each.part == part and each.recent]

    def listed(self) -> list[StallStatus]:
        """What has blocked the loop since the start."""
        now = time.monotonic()
        return [
            StallStatus(
                plugin=culprit.plugin,
                part=culprit.part,
                at=culprit.at,
                within=culprit.within,
                times=seen.times,
                longest_s=round(seen.longest, 1),
                last_s=round(now - seen.last, 1),
                recent=now - seen.last < RECENT,
            )
            for culprit, seen in list(self._seen.items())
        ]

    def _run(self) -> None:
        try:
            self._watch()
        finally:
            if self._schedule >= 0:
                os.close(self._schedule)

    def _watch(self) -> None:
        stalled: tuple[Culprit, float] | None = None
        noted = False
        seen = self._beat
        before = since = time.monotonic()
        waited = self._waited()
        pause = LOOK
        while not self._ended.wait(pause):
            now, last = time.monotonic(), self._beat
            slept, before = now - before > pause + LOOK + LIMIT, now
            pause = max(LOOK, last + LIMIT + BEAT - now)  # no look is needed before it may be blocked
            if slept:
                continue  # the whole process stood still, as in a virtual machine that was paused
            if stalled and last > stalled[1]:
                self._over(*stalled, until=last, noted=noted)
                stalled, noted = None, False
            if last != seen:
                seen, since, waited = last, now, self._waited()
                continue
            if now - last <= LIMIT + BEAT:
                continue
            if self._waited() - waited > (now - since) / 2:
                continue  # the machine has too few processors for all that it does, and no call blocks
            if stalled is None:
                stalled = (self._look(), last)
                log.error(
                    "the event loop is blocked, nothing else goes on", by=str(stalled[0]), seconds=round(now - last, 1)
                )
            if not noted and now - last > GRAVE:
                noted = True
                self._write(stalled[0], now - last)

    def _waited(self) -> float:
        """Seconds for which the loop's thread has waited for a processor; 0 where the system does not tell."""
        try:
            return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def _look(self) -> Culprit:
        frame = sys._current_frames().get(self._loop_thread)
        return culprit(frame)

    def _over(self, who: Culprit, since: float, *, until: float, noted: bool) -> None:
        seen = self._seen.setdefault(who, _Seen())
        seen.times += 1
        seen.longest = max(seen.longest, until - since)
        seen.last = until
        while len(self._seen) > 100:
            del self._seen[next(iter(self._seen))]
        if noted:
            self._note.unlink(missing_ok=True)
        log.warning("the event loop was blocked and turns again", by=str(who), seconds=round(until - since, 1))

    def _write(self, who: Culprit, seconds: float) -> None:
        try:
            body = {
                **asdict(who),
                "hash": self._plugins.hash_of(who.plugin) if who.plugin else "",
                "seconds": round(seconds, 1),
            }
            write_whole(self._note, json.dumps(body).encode())
        except (OSError, ValueError) as error:
            log.warning("what blocks the gateway cannot be written down", reason=cleaned(error))


def _words(stall: StallStatus) -> str:
    times = f", {stall.times} times" if stall.times > 1 else ""
    return (
        f"it blocked the whole gateway for {format_duration(stall.longest_s)} at {stall.at}, in "
        f"{stall.within}{times}: nothing else went on meanwhile; the plugin must await, or use in_thread"
    )


def culprit(frame: FrameType | None) -> Culprit:
    """Whose code a thread is in."""
    frames = list(_outwards(frame))
    owner = next((each for each in map(_self_of, frames) if isinstance(each, Driver | Sink | Service | Watch)), None)
    of_plugin = next((each for each in frames if _module(each).startswith(f"{PACKAGE}.")), None)
    if of_plugin is None and owner is not None:
        package = type(owner).__module__.partition(".")[0]
        of_plugin = next((each for each in frames if _module(each).partition(".")[0] == package), None)
    innermost = frames[0] if frames else None
    place = of_plugin or innermost
    return Culprit(
        _plugin(owner, of_plugin),
        _part(owner),
        f"{place.f_code.co_filename}:{place.f_lineno}" if place else "?",
        innermost.f_code.co_qualname if innermost else "?",
    )


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _self_of(frame: FrameType) -> Any:
    return frame.f_locals.get("self")


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _plugin(owner: Any, frame: FrameType | None) -> str:
    if isinstance(owner, Driver):
        return str(owner.config.driver)
    if isinstance(owner, Sink | Service | Watch):
        return str(owner.config.plugin)
    return _module(frame).removeprefix(f"{PACKAGE}.").partition(".")[0] if frame else ""


def _part(owner: Any) -> str:
    if isinstance(owner, Driver):
        return f"device {owner.config.name}"
    if isinstance(owner, Service):
        return f"service {owner.config.name}"
    if isinstance(owner, Watch):
        return f"alarm {owner.config.name}"
    return f"sink {owner.config.name}" if isinstance(owner, Sink) else ""
