"""The file that keeps the alarms from one start to the next."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from gateway.core.event import Event
from gateway.detect.alarm import Alarm, load_alarm
from gateway.detect.evidence import Evidence, EvidenceStore
from gateway.outbox.identity import write_whole

FORMAT = 1

log = structlog.get_logger()


def read(path: Path) -> list[Alarm]:
    """What was kept; nothing where there is no file. One that cannot be read is set aside, and the log says so."""
    try:
        body = orjson.loads(path.read_bytes())
        if body["format"] != FORMAT:
            raise ValueError(f"it has format {body['format']}")
        return [load_alarm(entry) for entry in body["alarms"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("the alarms of before are not known: their file cannot be read", file=str(path), error=str(error))
        with suppress(OSError):
            path.replace(path.with_name(f"{path.name}.damaged"))
        return []


def content(alarms: Iterable[Alarm]) -> bytes:
    """What the file holds for these."""
    return orjson.dumps({"format": FORMAT, "alarms": [alarm.dump() for alarm in alarms]})


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
