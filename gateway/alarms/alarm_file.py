"""The file that keeps the alarms from one start to the next."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import orjson
import structlog

from gateway.alarms.alarm import Alarm, Key, load_alarm
from gateway.alarms.evidence import Evidence, EvidenceStore
from gateway.core.event import Event
from gateway.core.parsing import doubting, parse_json
from gateway.core.text import encodable
from gateway.core.times import EARLIEST, LATEST
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

FORMAT = 1
_SIZE = 64 * 1024 * 1024
"""Bytes."""

log = structlog.get_logger()


def read(path: Path) -> list[Alarm]:
    """What was kept; nothing where there is no file. One that cannot be read, or of which only some alarms can, is set aside,
    and the log says so."""
    try:
        data = read_regular(path, _SIZE)
        with doubting(ValueError):
            body = parse_json(data, size=_SIZE)
            if body["format"] != FORMAT:
                raise ValueError(f"it has format {body['format']}")
            entries = list(body["alarms"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        log.error("the alarms of before are not known: their file cannot be read", file=str(path), error=str(error))
        _set_aside(path)
        return []
    return _alarms(path, data, entries)


def _alarms(path: Path, data: bytes, entries: Sequence[Any]) -> list[Alarm]:
    found: dict[Key, Alarm] = {}
    why = ""
    for entry in entries:
        try:
            with doubting(ValueError):
                alarm = load_alarm(entry)
                _check(alarm)
            found[alarm.key] = alarm
        except ValueError as error:
            why = str(error)
    if why:
        lost = len(entries) - len(found)
        log.error("some alarms of before are not known: they cannot be read", file=str(path), alarms=lost, error=why)
        with suppress(OSError):
            write_whole(_damaged(path), data)
    return list(found.values())


def _check(part: Any) -> None:
    """Raises ValueError unless every field has its type, and numbers could be times. Looks into the parts of parts."""
    for name, hint in get_type_hints(type(part)).items():
        value = getattr(part, name)
        if type(value) not in (get_args(hint) or (hint,)):
            raise ValueError(f"{name} cannot be {value!r}"[:100])
        if isinstance(value, int) and not EARLIEST <= value <= LATEST:
            raise ValueError(f"{name} is out of all bounds")
        if is_dataclass(value):
            _check(value)


def _set_aside(path: Path) -> None:
    for name in (_damaged(path), path.with_name(f"{path.name}.damaged-{os.urandom(4).hex()}")):
        with suppress(OSError):
            path.replace(name)
            return


def _damaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def content(alarms: Iterable[Alarm]) -> bytes:
    """What the file holds for these."""
    return b'{"format":%d,"alarms":[%s]}' % (FORMAT, b",".join(map(_entry, alarms)))


def _entry(alarm: Alarm) -> bytes:
    try:
        return orjson.dumps(alarm)  # three times as fast as by `asdict`, for this is done on the event loop
    except TypeError:  # half a character in a text of somebody's
        return encodable(json.dumps(asdict(alarm), ensure_ascii=False)).encode()


def write(path: Path, alarms: bytes, store: EvidenceStore | None, unkept: Sequence[tuple[Event, Evidence]]) -> None:
    """Add to the evidence, then replace the file: an alarm that is known after a kill has its evidence. What the disk does
    not take is told in the log."""
    if store is not None:
        _keep(store, unkept)
    try:
        write_whole(path, alarms)
    except OSError as error:
        log.error("alarms are not kept for the next start", file=str(path), error=str(error))


def _keep(store: EvidenceStore, unkept: Sequence[tuple[Event, Evidence]]) -> None:
    for event, evidence in unkept:
        try:
            store.keep(event, evidence)
        except OSError as error:
            log.error("the window of an event is not kept", event_id=event.id, file=error.filename, error=str(error))
