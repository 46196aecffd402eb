"""A schema registry of Confluent's kind (also Apicurio's, Karapace, Redpanda's): under which id a schema is known."""

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from gateway.kit import Route, dial
from gateway.plugin import LinkError, RefusedError, cleaned, doubting, parse_json, resolve

from .config import RegistryConfig
from .values import Form

PATIENCE = 10.0
"""Seconds for a question and its answer."""
LONGEST = 256 * 1024
"""Bytes of an answer."""
_INCOMPATIBLE = 409
_NOT_THERE = 404


class UnknownSchemaError(RefusedError):
    """The registry does not have our schema under this subject."""


class SchemaRegistry:
    """Asked once for each subject."""

    def __init__(self, config: RegistryConfig, form: Form, way: Route) -> None:
        self._config = config
        self._form = form
        self._way = way
        self._where = f"schema registry {config.url}"

    async def id_of(self, topic: str, register: bool) -> int:
        """The id of our schema for a topic's values (TopicNameStrategy), registered if need be and `register`. Raises
        LinkError, RefusedError with what to do."""
        subject = f"{topic}-value"
        question = {"schema": self._form.schema, "schemaType": self._form.schema_type}
        path = f"/subjects/{quote(subject, safe='')}"
        status, told = await self._ask(path + ("/versions" if register else ""), question)
        number = told.get("id") if isinstance(told, Mapping) else None
        if status == 200 and isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31:
            return number
        said = cleaned(told.get("message") or "") if isinstance(told, Mapping) else ""
        raise self._refusal(status, subject, said)

    def _refusal(self, status: int, subject: str, said: str) -> LinkError:
        because = f": {said}" if said else ""
        if status == _INCOMPATIBLE:
            return RefusedError(
                f"{self._where} finds our schema incompatible with what subject {subject} has{because}; take"
                " another topic, or set the subject's compatibility to NONE"
            )
        if status == _NOT_THERE:
            return UnknownSchemaError(
                f"{self._where} does not know our schema as {subject}{because}; register it"
                " there, or set schema_registry = { must_exist = false }"
            )
        if status in (401, 403):
            return RefusedError(f"{self._where} refuses us (HTTP {status}){because}; are user and password right?")
        if 400 <= status < 500:
            return RefusedError(f"{self._where} refuses our schema for {subject} (HTTP {status}){because}")
        return LinkError(f"{self._where} has trouble (HTTP {status}){because}")

    async def _ask(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        parts = urlsplit(self._config.url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        tls = (self._config.tls or True) if secure else False
        data = orjson.dumps(body)
        head = [
            f"POST {parts.path.rstrip('/')}{path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Accept: application/vnd.schemaregistry.v1+json",
            "Content-Type: application/vnd.schemaregistry.v1+json",
            f"Content-Length: {len(data)}",
            "User-Agent: edge-gateway",
            "Connection: close",
        ]
        if self._config.password is not None:
            login = f"{self._config.user}:{resolve(self._config.password)}".encode()
            head.append(f"Authorization: Basic {base64.b64encode(login).decode()}")
        request = "\r\n".join(head).encode() + b"\r\n\r\n" + data
        try:
            async with asyncio.timeout(PATIENCE):
                with doubting(lambda reason: LinkError(f"{self._where}: {reason}")):
                    answer = await dial(_Answer, host, port, tls=tls, route=self._way, look_at="is a registry there?")
                    try:
                        raw = await answer.to(request)
                    finally:
                        answer.close()
                    status, text = _read(raw)
                    return status, parse_json(text, size=LONGEST, depth=16) if text.strip() else {}
        except TimeoutError as error:
            raise LinkError(f"{self._where} does not answer within {PATIENCE:g} s") from error


class _Answer(asyncio.Protocol):
    """All that comes until the far side closes, or has said as much as it announced."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport: Any = None

    async def to(self, request: bytes) -> bytes:
        """The answer to the request."""
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        """Close at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > LONGEST and not self._done.done():
            self._done.set_exception(LinkError(f"the answer is longer than {LONGEST} bytes"))
            self._transport.abort()
        elif _is_whole(self._held) and not self._done.done():
            self._done.set_result(bytes(self._held))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(bytes(self._held))
        elif not self._done.cancelled():
            self._done.exception()


_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n(.*?\r\n)?\r\n", re.DOTALL)


def _is_whole(data: bytes | bytearray) -> bool:
    if (head := _HEAD.match(data)) is None:
        return False
    length = _length(head[2] or b"")
    if length is not None:
        return len(data) >= head.end() + length
    return data.endswith(b"0\r\n\r\n")


def _length(head: bytes) -> int | None:
    found = re.search(rb"(?im)^content-length:[ \t]*(\d{1,9})[ \t]*\r$", head)
    return int(found[1]) if found else None


def _read(data: bytes) -> tuple[int, bytes]:
    """Status and body of an answer. Raises ValueError for what is none, or is not whole."""
    head = _HEAD.match(data)
    if head is None:
        raise ValueError("what answers there does not speak HTTP/1.1")
    body, length = data[head.end() :], _length(head[2] or b"")
    if re.search(rb"(?im)^transfer-encoding:[ \t]*chunked", head[2] or b""):
        body = _unchunked(body)
    elif length is not None and len(body) < length:
        raise ValueError("the connection ended within the answer")
    return int(head[1]), body if length is None else body[:length]


def _unchunked(data: bytes) -> bytes:
    """RFC 9112 section 7.1."""
    out, at = bytearray(), 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end].partition(b";")[0], 16)
        if not size:
            return bytes(out)
        if size < 0 or end + 2 + size > len(data):
            raise ValueError("the connection ended within the answer")
        out += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
