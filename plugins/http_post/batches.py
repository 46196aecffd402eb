"""What goes in one request: records as they were encoded, so that what is in doubt can be sent again as it was. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from gateway.plugin import Message, Record

CONTENT_TYPES = {"json": "application/json", "ndjson": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, and the JSON objects that each of them became."""

    records: Sequence[Record]
    parts: Sequence[Sequence[bytes]]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its records."""
        return tuple(record.id for record in self.records)

    @property
    def key(self) -> str:
        """By which the server knows it again: the id of a single record, else a hash of what is in it."""
        if len(self.records) == 1:
            return self.records[0].id
        return hashlib.sha256(b"\n".join(each for part in self.parts for each in part)).hexdigest()[:32]

    def body(self, form: str) -> bytes:
        """Of the request: "json" or "ndjson"."""
        return joined([each for part in self.parts for each in part], form)

    def halves(self) -> "tuple[Batch, Batch]":
        """Its first and its second half."""
        at = len(self.records) // 2
        return Batch(self.records[:at], self.parts[:at]), Batch(self.records[at:], self.parts[at:])


def joined(objects: Iterable[bytes], form: str) -> bytes:
    """JSON objects as one body."""
    return b"[%b]" % b",".join(objects) if form == "json" else b"".join(b"%b\n" % each for each in objects)


def with_topic(message: Message) -> bytes:
    """The JSON object of a message, its topic in it."""
    rest = message.payload[1:]
    return b'{"topic":%b%b%b' % (orjson.dumps(message.topic), b"" if rest == b"}" else b",", rest)
