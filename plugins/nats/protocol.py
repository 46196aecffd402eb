"""The NATS client protocol: lines, some of them followed by a payload (docs.nats.io, "Client Protocol"). Pure."""

import re
from dataclasses import dataclass
from typing import Any

from gateway.plugin import cleaned, parse_json

LONGEST = 256 * 1024
"""Bytes of a frame, at most. Servers answer in a few hundred; what a stream says of itself has some thousand."""
LINE = 64 * 1024
"""Bytes of a line; INFO names all servers of a cluster."""
CONTROL_LINE = 4096
"""Bytes of a line that a server takes, unless it is told otherwise (max_control_line)."""
LEAST_PAYLOAD = 1024
"""Bytes; a server that takes no message of this size takes none of ours."""

PING, PONG = b"PING\r\n", b"PONG\r\n"

_DENIED = re.compile(r'permissions violation for (publish|subscription)[^"]*"([^"]*)', re.IGNORECASE)


class NatsFraming:
    """Where a frame ends: at the end of its line, or of the payload whose size the line tells."""

    longest = LONGEST

    def size(self, data: bytes | bytearray, searched: int) -> int:
        end = data.find(b"\r\n", 0, LINE)
        if end < 0:
            if len(data) >= LINE:
                raise ValueError(f"{LINE} bytes and no end of a line")
            return 0
        if data[:4] not in (b"MSG ", b"HMSG"):
            return end + 2
        told = data[:end].rsplit(None, 1)[-1]
        if not told.isdigit() or len(told) > 9:
            raise ValueError(f"a message of {cleaned(bytes(told[:20]))} bytes")
        return end + 2 + int(told) + 2


@dataclass(frozen=True, slots=True)
class Info:
    """What the server says of itself."""

    version: str
    max_payload: int
    headers: bool
    nonce: str
    """To be signed by who logs in with a key."""
    tls_required: bool
    tls_available: bool


def parse_info(line: bytes) -> Info:
    """Of the line INFO {…}. Raises ValueError for one that makes no sense."""
    if not line.startswith(b"INFO "):
        raise ValueError("it does not greet as a NATS server does")
    said = parse_json(line[5:], size=LINE, depth=8)
    if not isinstance(said, dict):
        raise ValueError("its greeting is no object")
    payload = said.get("max_payload")
    if not isinstance(payload, int) or payload < LEAST_PAYLOAD:
        raise ValueError(f"it takes messages of {cleaned(payload)} bytes, and nothing of ours fits")
    return Info(
        cleaned(said.get("version", "?"), 40),
        payload,
        said.get("headers") is True,
        str(said.get("nonce", ""))[:1000],
        said.get("tls_required") is True,
        said.get("tls_available") is True,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that came to our inbox."""

    number: int
    """Of what it answers, as the last part of its subject tells."""
    status: bytes
    """Of its headers, such as b"503": nobody listens to the subject. Empty without."""
    payload: bytes


def parse_answer(frame: bytes, prefix: int) -> Answer:
    """A MSG or HMSG. `prefix`: bytes of the inbox, before the number. Raises ValueError."""
    end = frame.index(b"\r\n")
    words = frame[:end].split()
    number = int(words[1][prefix:])
    body = end + 2
    if frame[0] != 0x48:  # M: no headers
        return Answer(number, b"", frame[body:-2])
    if len(words) < 5:
        raise ValueError("a message with headers that tells no sizes")
    headers = int(words[-2])
    status = frame[body : body + headers].split(None, 2)[1:2]
    return Answer(number, status[0] if status else b"", frame[body + headers : -2])


def parse_error(line: bytes) -> str:
    """The words of -ERR 'words'."""
    return cleaned(line[5:].strip().strip(b"'").decode(errors="replace"), 300)


def parse_denied(error: str) -> tuple[str, str] | None:
    """What is not allowed, "publish" or "subscription", and on which subject."""
    found = _DENIED.match(error)
    return (found[1].lower(), found[2]) if found else None


def message(subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> bytes:
    """A message with headers, which end in an empty line, to be answered to `reply`."""
    size = len(headers)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, size, size + len(payload), headers, payload)


def asking(subject: bytes, reply: bytes, payload: bytes) -> bytes:
    """A message without headers."""
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


_TOKENS: dict[int, Any] = {ord("/"): ".", **dict.fromkeys(map(ord, ". \t*>\u0085\u2028\u2029"), "_")}


def subject_of(topic: str) -> str:
    """A topic as a subject: its levels are tokens, and what would end a token, or stand for others, becomes "_"."""
    return topic.translate(_TOKENS)
