"""Warns before a certificate ends: in the log, as an event, and in status."""

import asyncio
import datetime
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.config.base import Section
from gateway.config.kinds import CONNECTED
from gateway.config.model import Config
from gateway.core.event import Event
from gateway.core.parsing import parse_json
from gateway.dial import Dated, dated_in, forget_far_sides, of_far_sides
from gateway.operate.running_parts import RunningParts
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular
from gateway.status import CertificateStatus

log = structlog.get_logger()

SOON = 60.0
"""Seconds after the start; by then far sides have shown theirs."""
EVERY = 3600.0
_LARGEST = 1024 * 1024
_SEVERITY = {60: "advisory", 30: "warning", 7: "alarm", 1: "warning", 0: "alarm"}
"""Of an event, by the days that are left at most."""


class CertificateWatch:
    """Looks at a start, and then each hour, at all certificates that the running configuration uses. What it has told of
    each, so that it tells it once, outlives a restart in `certificates.json`."""

    def __init__(self, parts: RunningParts, directory: Path) -> None:
        self._parts = parts
        self._file = directory / "certificates.json"
        self._known: list[Dated] = []
        """The soonest end first."""
        self._told: Mapping[str, int] = {}
        """By the hash of what ends: the fewest days that were told."""

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        forget_far_sides()
        self._told = await asyncio.to_thread(self._remembered)
        for pause in itertools.chain((SOON,), itertools.repeat(EVERY)):
            self._known = await asyncio.to_thread(_used_by, self._parts.config)
            if self._tell():
                await asyncio.to_thread(self._remember)
            await asyncio.sleep(pause)

    def statuses(self) -> list[CertificateStatus]:
        """All that are known, the soonest end first."""
        now = self._now()
        return [
            CertificateStatus(
                each.where,
                each.name,
                round(each.ends.timestamp() * 1000),
                round(each.days_left(now) * 86_400),
                each.due(now) is not None,
            )
            for each in self._known
        ]

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._parts.clock.wall_ns() / 1e9, datetime.UTC)

    def _tell(self) -> bool:
        """Whether there is something new."""
        now, told = self._now(), dict(self._told)
        for each in self._known:
            days = each.due(now)
            if days is None or days >= told.get(each.print, 1 << 30):
                continue
            told[each.print] = days
            log.warning("a certificate ends", reason=each.words(now))
            wall_ns = self._parts.clock.wall_ns()
            state, detail = "expired" if days == 0 else "expires", {"name": each.name, "ends": f"{each.ends:%FT%TZ}"}
            self._parts.outbox.append_event(
                Event(f"certificate-{each.print[:16]}-{days}", "certificate", state, "", wall_ns, each.words(now),
                      _SEVERITY[days], detail)
            )  # fmt: skip
        there = {each.print for each in self._known}
        news = told != self._told
        self._told = {print_: days for print_, days in told.items() if print_ in there} if news else self._told
        return news

    def _remembered(self) -> dict[str, int]:
        with suppress(OSError, ValueError):
            said = parse_json(read_regular(self._file, _LARGEST))
            if isinstance(said, dict):
                return {key: days for key, days in said.items() if isinstance(days, int)}
        return {}

    def _remember(self) -> None:
        try:
            write_whole(self._file, json.dumps(dict(self._told)).encode())
        except OSError as error:
            log.warning("what was told of certificates is not kept", reason=f"{self._file}: {error.strerror}")


def _used_by(config: Config) -> list[Dated]:
    """All of them, the soonest end first. Blocking."""
    found: dict[tuple[str, str], Dated] = {}
    texts: set[str] = set()
    for kind in CONNECTED:
        for part in config.of_kind(kind):
            found |= {(each.where, each.print): each for each in dated_in(part)}
            texts.update(_texts(part))
    found |= {(each.where, each.print): each for each in of_far_sides(texts)}
    return sorted(found.values(), key=lambda each: each.ends)


def _texts(options: Iterable[tuple[str, object]]) -> Iterator[str]:
    for _, value in options:
        if isinstance(value, Section):
            yield from _texts(value)
        else:
            yield from (each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str))
