"""The form of an audit record: one line of canonical JSON that names the hash of the one before it.

Canonical: UTF-8, keys sorted, no space between, no escapes but those JSON demands; a line has exactly one spelling, so that
any changed byte shows. `hash` is the SHA-256 over the same line without its `hash`; `prev` is the `hash` of the record
before, and `n` its number plus one. The first record is n = 1 with prev = 64 zeros. A program of twenty lines can check
all this without the gateway: docs/audit.md has one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.parsing import JsonObject, doubting, parse_json

LONGEST = 4 * 1024 * 1024
"""Bytes of a record's line."""
DAMAGED = "audit.damaged"
"""The action by which the trail itself says that something of it was missing or changed."""
ACKNOWLEDGED = "audit.acknowledged"
"""The action by which a person says that he has looked at damage."""
_TEXT, _ENTRIES = 65_536, 1000
"""What of a field is kept, so that no record becomes too long."""
_HIGHEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends."""

    n: int
    hash: str

    def __str__(self) -> str:
        return f"record {self.n} ({self.hash[:12]}…)"


START = Head(0, "0" * 64)


class BrokenRecordError(ValueError):
    """A line that is no record, or not the one that belongs there; the text says why."""


def seal(fields: Mapping[str, Any], before: Head) -> tuple[bytes, Head]:
    """The line of a record with these fields, and the new end of the chain. Raises TypeError or ValueError for what JSON
    cannot hold; text that is no Unicode, such as an odd file name, gets question marks."""
    plain = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode(errors="replace")
    record = {**_cut(json.loads(plain)), "n": before.n + 1, "prev": before.hash}
    end = Head(before.n + 1, _hash(record))
    line = canonical({**record, "hash": end.hash}) + b"\n"
    if len(line) > LONGEST:
        raise ValueError(f"an audit record has {LONGEST} bytes at most")
    return line, end


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _TEXT:
        return f"{value[:_TEXT]}… ({len(value)} characters)"
    if isinstance(value, list):
        more = [f"… ({len(value)} entries)"] if len(value) > _ENTRIES else []
        return [*map(_cut, value[:_ENTRIES]), *more]
    return {key: _cut(each) for key, each in value.items()} if isinstance(value, dict) else value


def read(line: bytes) -> JsonObject:
    """The record in a line, proven to be as it was written. Raises BrokenRecordError."""
    if not line.endswith(b"\n"):
        raise BrokenRecordError("the line is incomplete")
    with doubting(lambda _: BrokenRecordError("the line is no JSON")):
        record = parse_json(line, size=LONGEST)
        try:
            said = record.pop("hash")
            n, spelt, due = record["n"], canonical({**record, "hash": said}), _hash(record)
        except (AttributeError, KeyError, TypeError):
            raise BrokenRecordError("the line is no audit record") from None
    if said != due or spelt + b"\n" != line or type(n) is not int:
        raise BrokenRecordError("its content does not match its hash: it was changed")
    return {**record, "hash": said}


def head(data: bytes) -> Head:
    """What an anchor says. Raises BrokenRecordError."""
    with doubting(lambda _: BrokenRecordError("it is no anchor")):
        said = parse_json(data)
        found = Head(said["n"], said["hash"])
        if type(found.n) is not int or not 0 <= found.n < _HIGHEST or len(bytes.fromhex(found.hash)) != 32:
            raise BrokenRecordError("it is no anchor")
        return found


def follow(record: Mapping[str, Any], before: Head) -> Head:
    """The end of the chain after this record. Raises BrokenRecordError if it does not belong behind `before`."""
    n, first = record["n"], before.n + 1
    if n > first:
        raise BrokenRecordError(
            f"record {first} is missing" if n == first + 1 else f"records {first} to {n - 1} are missing"
        )
    if n < first:
        raise BrokenRecordError(f"record {n} stands where record {first} belongs: repeated or out of order")
    if record.get("prev") != before.hash:
        raise BrokenRecordError(f"it does not follow record {before.n}: one of the two was replaced")
    return Head(n, record["hash"])


def canonical(record: Mapping[str, Any]) -> bytes:
    """The one spelling of a record, without the end of the line."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _hash(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(record)).hexdigest()
