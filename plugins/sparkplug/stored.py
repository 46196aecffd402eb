"""What outlives the gateway, in the sink's folder: the aliases of all metrics, and the number of the last session."""

from pathlib import Path

import structlog

from gateway.plugin import parse_json, read_regular, to_json, write_whole

from .payload.stride import FIRST_ALIAS

ALIASES, SESSION = "aliases.json", "bdseq.json"
LARGEST = 256 * 1024 * 1024
"""Bytes of the file of aliases: some millions."""
SESSIONS = 256
"""Numbers of sessions; 255 is followed by 0."""


class Aliases:
    """Which number stands for which metric of the node. A metric keeps its number for ever, and none is given twice: hosts
    file what they heard under it. `save` before one is used that `of` has just given."""

    def __init__(self, folder: Path, log: structlog.stdlib.BoundLogger) -> None:
        self._path = folder / ALIASES
        self._known: dict[str, int] = {}
        self._next = FIRST_ALIAS
        self.unsaved = False
        try:
            self._known, self._next = _checked(parse_json(read_regular(self._path, LARGEST), size=LARGEST))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("the aliases of metrics are lost, and given anew", file=str(self._path), reason=str(error))

    def of(self, device: str, metric: str) -> int:
        """The number of a device's metric, or of the node's where `device` is empty."""
        key = f"{device}/{metric}"  # the name of a device holds no "/"
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = self._next
            self._next += 1
            self.unsaved = True
        return number

    def save(self) -> None:
        """Make durable what was given. Blocks; raises OSError."""
        content = to_json({"next": self._next, "aliases": dict(self._known)})
        write_whole(self._path, content)
        self.unsaved = False


def _checked(content: object) -> tuple[dict[str, int], int]:
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    known, following = content.get("aliases"), content.get("next")
    if not isinstance(known, dict) or not isinstance(following, int):
        raise ValueError("it has no aliases")
    numbers = list(known.values())
    if not all(_is_alias(each) for each in (following, *numbers)):
        raise ValueError("it holds what is no alias")
    if len(set(numbers)) != len(numbers) or max(numbers, default=0) >= following:
        raise ValueError("it gives an alias twice")
    return known, following


def _is_alias(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and FIRST_ALIAS <= number < 1 << 62


def next_session(folder: Path, log: structlog.stdlib.BoundLogger) -> int:
    """The number (bdSeq) of the session that begins now, one more than that of the last attempt; durable when it is
    returned. Blocks; raises OSError."""
    path, last = folder / SESSION, -1
    try:
        said = parse_json(read_regular(path, 4096))
        last = said["bdSeq"]
        if not _is_session(last):
            raise ValueError("it holds no number of a session")
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("the number of the last session is lost; it begins anew", file=str(path), reason=str(error))
        last = -1
    number = (last + 1) % SESSIONS
    write_whole(path, to_json({"bdSeq": number}))
    return number


def _is_session(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < SESSIONS
