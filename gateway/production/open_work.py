"""What is open, and the file that keeps it from one start to the next."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.core.context import WORK
from gateway.core.parsing import doubting, parse_json
from gateway.core.text import encodable
from gateway.core.times import EARLIEST, LATEST
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

log = structlog.get_logger()

FORMAT = 1
ENDED = 500
"""Batches that are over, and are remembered."""
_SIZE = 64 * 1024 * 1024
"""Bytes."""


@dataclass(frozen=True, slots=True)
class OpenPart:
    """One part of a device's work, such as its batch."""

    value: str
    by: str
    """The rule, or who asked for it."""
    rule: bool
    """Whether a rule did, and so may close it again."""
    since_ns: int
    """When it was opened, or is said to have begun; ns since 1970."""


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """A batch that a device worked for."""

    batch: str
    device: str
    from_ns: int
    to_ns: int


Open = dict[str, dict[str, OpenPart]]
"""By device, and by part."""


def write(path: Path, data: bytes) -> bool:
    """Replace the file. What the disk does not take is told in the log. Whether it has taken it."""
    try:
        write_whole(path, data)
    except OSError as error:
        log.error("what devices work for is not kept for the next start", file=str(path), error=str(error))
        return False
    return True


def content(open_parts: Mapping[str, Mapping[str, OpenPart]], ended: Iterable[EndedBatch]) -> bytes:
    """What the file holds."""
    parts = {device: {part: asdict(each) for part, each in of.items()} for device, of in open_parts.items()}
    return orjson.dumps({"format": FORMAT, "open": parts, "ended": [asdict(each) for each in ended]})


def read(path: Path) -> tuple[Open, list[EndedBatch]]:
    """What was kept. A file that cannot be read is set aside: then nothing is open, and the log says so."""
    try:
        data = read_regular(path, _SIZE)
        with doubting(ValueError):
            body = parse_json(data, size=_SIZE)
            if body["format"] != FORMAT:
                raise ValueError(f"it has format {body['format']}")
            found = {str(device): _parts(of) for device, of in body["open"].items()}
            return found, [_ended(each) for each in body["ended"]]
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        log.error("what devices worked for is not known: its file cannot be read", file=str(path), error=str(error))
        _set_aside(path)
        return {}, []


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        log.warning("it cannot be set aside", file=str(path), error=str(error))


def _parts(body: Mapping[str, Any]) -> dict[str, OpenPart]:
    return {part: _part(part, each) for part, each in body.items()}


def _part(name: str, body: Mapping[str, Any]) -> OpenPart:
    part = OpenPart(**body)
    texts = (part.value, part.by)
    if name not in WORK or not all(type(each) is str and each and encodable(each) == each for each in texts):
        raise ValueError("it says what is no part of a context")
    if type(part.rule) is not bool:
        raise ValueError("it does not say who has opened it")
    _check_time(part.since_ns)
    return part


def _ended(body: Mapping[str, Any]) -> EndedBatch:
    ended = EndedBatch(**body)
    if not all(type(each) is str for each in (ended.batch, ended.device)):
        raise ValueError("a batch has no name")
    _check_time(ended.from_ns)
    _check_time(ended.to_ns)
    return ended


def _check_time(value: Any) -> None:
    if type(value) is not int or not EARLIEST <= value <= LATEST:
        raise ValueError("a time is out of all bounds")
