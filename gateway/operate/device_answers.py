"""What the running gateway answers to `status`, `tags` and `read`: plain JSON values, the shapes that scripts rely on."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import numpy as np
import structlog

from gateway.acquire.absurd import doubt
from gateway.acquire.device import AcquiredDevice
from gateway.core.clock import Clock
from gateway.core.live import LiveDevice
from gateway.core.plain import plain
from gateway.core.quality import describe, is_good
from gateway.core.readings import Readings
from gateway.core.text import cleaned
from gateway.status import DeviceStatus

log = structlog.get_logger()


class ReadAnswer(TypedDict):
    """A tag as it was read now."""

    device: str
    tag: str
    value: Any
    """As JSON has it; null for none."""
    unit: str
    type: str
    quality: str
    good: bool
    ts: int
    """Source time, milliseconds since 1970."""
    address: str


class TagAnswer(TypedDict):
    """A tag as it was last heard of."""

    device: str
    tag: str
    value: Any
    unit: str
    type: str
    quality: str
    good: bool
    ts: int | None
    age_s: float | None
    """Since the device last confirmed it."""
    source_age_s: float | None


class GuessAnswer(TypedDict):
    """What a place of a device may mean."""

    options: Mapping[str, str | int]
    """As the configuration writes a tag that means it."""
    value: Any


_logged: set[tuple[str, str]] = set()
"""Devices and reasons whose traceback stands in the log."""


def devices(
    sources: Iterable[AcquiredDevice], said_of: Callable[[str], list[str]] = lambda part: []
) -> list[DeviceStatus]:
    """State and counters of each device; `said_of` tells what else there is to say of a part, such as "device press-1"."""
    return [_row(source, said_of) for source in sources]


def _row(source: AcquiredDevice, said_of: Callable[[str], list[str]]) -> DeviceStatus:
    """One device; of a bug over it, the others' are told all the same."""
    try:
        return _told(source, said_of)
    except Exception as error:
        reason = cleaned(f"its state cannot be told: {type(error).__name__}: {error}")
        if (source.name, reason) not in _logged:
            _logged.add((source.name, reason))
            log.error("the state of a device cannot be told", device=source.name, exc_info=error)
        return DeviceStatus(
            name=source.name,
            driver=source.spec.config.driver,
            state="faulted",
            reason=reason,
            since_s=0,
            next_attempt_s=None,
            tags=0,
            good=0,
            polls=0,
            skipped=0,
            errors=0,
            line={},
            clock_offset_s=None,
            clock="",
            doubt="",
            connection={},
            process=None,
            remarks=[],
        )


def _told(source: AcquiredDevice, said_of: Callable[[str], list[str]]) -> DeviceStatus:
    return DeviceStatus(
        name=source.name,
        driver=source.spec.config.driver,
        state=source.health.state,
        reason=source.health.reason,
        since_s=round(source.health.age, 1),
        next_attempt_s=_next_attempt(source),
        tags=len(source.device.tags),
        good=int(np.count_nonzero(is_good(source.live.quality))),
        polls=source.polls,
        skipped=sum(scan.skipped for scan in source.scans),
        errors=source.errors,
        line=dict(source.line.counts()),
        clock_offset_s=None if source.clock.offset is None else round(source.clock.offset, 3),
        clock=source.clock.words() if source.clock.is_off else "",
        doubt=doubt(source.live),
        connection=dict(source.line.facts()),
        process=source.line.process(),
        remarks=[*source.line.remarks(), *said_of(f"device {source.name}")],
    )


def _next_attempt(source: AcquiredDevice) -> float | None:
    """Seconds until a device that does not answer is asked again: by itself, or with its line."""
    waits = [health.next_attempt for health in (source.health, source.line.health)]
    known = [wait for wait in waits if wait is not None]
    return round(max(known), 1) if known and source.health.state != "up" else None


def tags(live: LiveDevice, clock: Clock) -> list[TagAnswer]:
    """The last value of each tag of a device, with its age since the device last confirmed it."""
    now, boot = clock.wall_ns(), clock.boot_ns()
    return [
        {
            "device": each.tag.device,
            "tag": each.tag.name,
            "value": plain(each.value, each.tag.type),
            "unit": each.tag.unit,
            "type": each.tag.type,
            "quality": describe(each.quality),
            "good": each.quality < 0x4000_0000,
            "ts": each.t_ns // 1_000_000 if each.t_ns else None,
            "age_s": round((boot - each.seen_ns) / 1e9, 3) if each.seen_ns else None,
            "source_age_s": round((now - each.t_ns) / 1e9, 3) if each.t_ns else None,
        }
        for each in live
    ]


def readings(block: Readings) -> list[ReadAnswer]:
    """A block that was read on request."""
    by_id = {tag.id: tag for tag in block.device.tags}
    answer: list[ReadAnswer] = []
    for row, (number, t_ns, value, quality) in enumerate(
        zip(block.tag.tolist(), block.t_ns.tolist(), block.value.tolist(), block.quality.tolist(), strict=True)
    ):
        tag = by_id[number]
        answer.append(
            {
                "device": tag.device,
                "tag": tag.name,
                "value": plain(block.exact.get(row, value), tag.type),
                "unit": tag.unit,
                "type": tag.type,
                "quality": describe(quality),
                "good": quality < 0x4000_0000,
                "ts": t_ns // 1_000_000,
                "address": str(getattr(tag.config, "address", "")),
            }
        )
    return answer
