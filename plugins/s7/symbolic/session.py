"""A session with a CPU, by the library s7commplus, of which this is all that is used for requests. It is made to verify as
`tls` says, to keep secrets off the disk, to dial only when it is told to, and to bear what may come.

The library's own names with an underscore are pinned by the version, and a test looks whether they are there."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from s7commplus.async_client import S7CommPlusAsyncClient
from s7commplus.client import (
    _build_explore_request,
    _build_multi_symbolic_read_payload,
    _build_multi_symbolic_write_payload,
)
from s7commplus.codec import parse_or_raise_for_return_value
from s7commplus.connection import _S7_CIPHERS, _derive_oms_secret, _set_s7_groups
from s7commplus.error import S7Error
from s7commplus.protocol import DataType, FunctionCode, Ids
from s7commplus.typeinfo import extract_type_info_objects

from gateway.kit import shown, tls_options, why_no_tls
from gateway.plugin import LinkError, RefusedError, Tls, cleaned, doubting

from .answers import Wire, check_written, parse
from .layout import Block, Layout, Place

T = TypeVar("T")

_LARGEST = 4 * 1024 * 1024
"""Bytes of an answer: what a CPU tells of its types takes 30 for a member."""

_MOST_REPEATED = 50
_DATA, _GOODBYE = 0xF0, 0x80
"""Kinds of data units (ISO 8073)."""

_LEVELS = {
    0: "no protection", 1: "full access", 2: "read access", 3: "access for panels (HMI)",
    4: "no access without a password",
}  # fmt: skip


class Session(S7CommPlusAsyncClient):
    """One connection, for one device."""

    _MAX_REASSEMBLED_BYTES = _LARGEST

    def __init__(self, host: str, port: int, tls: Tls | bool, context: ssl.SSLContext | None, patience: float) -> None:
        super().__init__()
        self.patience = patience
        """Seconds that a request may take."""
        self.host, self.port = host, port
        self._tls, self._context = tls, context
        self._keeps_secret = False
        self._cut = False
        """Whether a request was given up half way, after which no answer is believed."""
        self._heard: set[bytes] = set()
        """Frames while it is being opened, when answers have no numbers yet; one that comes again is left out."""

    async def open(self, password: str | None) -> None:
        """Connect, and show the password if there is one. Raises LinkError or RefusedError, and leaves nothing open then."""
        self._keeps_secret = password is not None
        try:
            with doubting(LinkError):
                await super().connect(
                    self.host,
                    self.port,
                    use_tls=self._context is not None,
                    password=password,
                    allow_legacy_key_fallback=False,
                )
        except BaseException as error:
            self.abort()
            if isinstance(error, LinkError) and error.__cause__ is not None and not isinstance(error, RefusedError):
                raise self._in_words(error.__cause__) from error
            raise
        self._heard.clear()
        self._close_with_the_far_side()

    def _close_with_the_far_side(self) -> None:
        """asyncio's streams keep a connection half open when the far side has closed it."""
        reader, writer = self._reader, self._writer
        assert reader is not None
        assert writer is not None

        def closed() -> bool:
            reader.feed_eof()
            return False

        writer.transport.get_protocol().eof_received = closed  # type: ignore[attr-defined]

    def _in_words(self, error: BaseException) -> LinkError:
        where = f"cannot connect to {shown(self.host, self.port)}"
        if isinstance(error, ConnectionRefusedError):
            return LinkError(
                f"{where}: connection refused; is this the CPU's address, and is port 102 open on the way?"
            )
        if isinstance(error, EOFError):
            return LinkError(f"{where}: it closes the connection; {self._suspected()}")
        if isinstance(error, S7Error | OSError):
            said = cleaned(error)
            kind = RefusedError if "password was refused" in said or "requires use_tls" in said else LinkError
            return kind(f"{where}: {said}")
        return LinkError(f"{where}: the answer is no S7CommPlus ({cleaned(error)}); {self._suspected()}")

    def _suspected(self) -> str:
        if self._context is None:
            return "from FW 2.9 of an S7-1500 and 4.3 of a 1200 on it wants tls"
        return "is it an S7-1200 from FW 4.3, or a 1500 from 2.9? An older one has no TLS: tls = false"

    # What the library does, done otherwise

    async def _activate_tls(self, *_: Any, **__: Any) -> None:
        context = self._context
        assert context is not None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_S7_CIPHERS)
        _set_s7_groups(context)
        context.options |= ssl.OP_NO_TICKET
        self._incoming_bio, self._outgoing_bio = ssl.MemoryBIO(), ssl.MemoryBIO()
        with _key_log(context) if self._keeps_secret else nullcontext() as log:
            try:
                self._ssl_object = context.wrap_bio(
                    self._incoming_bio, self._outgoing_bio, server_side=False, server_hostname=self.host
                )
                await self._do_tls_handshake()
            except ssl.SSLError as error:
                why = why_no_tls(error, tls_options(self._tls), self.host, "the CPU")
                raise RefusedError(f"cannot connect to {shown(self.host, self.port)}: {why}") from error
            self._tls_active = True
            self._oms_secret = _derive_oms_secret(self._ssl_object, log) if log else None

    async def _with_reconnect(self, op: Callable[[], Awaitable[T]]) -> T:
        return await op()

    async def _send_request(self, *args: Any, **kwargs: Any) -> bytes:
        if self._cut:
            raise LinkError(f"{self.host}: a request was given up before its answer had come")
        self._cut = True
        try:
            async with asyncio.timeout(self.patience):
                answer = await super()._send_request(*args, **kwargs)
        except TimeoutError:
            raise LinkError(f"{self.host}: the CPU does not answer within {self.patience:g} s") from None
        self._cut = False
        return answer

    async def _recv_cotp_raw(self) -> bytes:
        assert self._reader is not None
        for _ in range(_MOST_REPEATED):
            head = await self._reader.readexactly(4)
            size = int.from_bytes(head[2:], "big")
            if head[:2] != b"\x03\x00" or size < 7:
                raise LinkError(
                    f"{self.host}: the answer is no S7 communication (RFC 1006); is this port 102 of the CPU?"
                )
            frame = await self._reader.readexactly(size - 4)
            if frame[1] == _GOODBYE:
                raise LinkError(f"{self.host}: the CPU ends the connection; has it one left?")
            if self._session_ready:
                return frame[3:]
            if frame[1] == _DATA and frame not in self._heard:
                self._heard.add(frame)
                return frame[3:]
        raise LinkError(f"{self.host}: the CPU repeats itself")

    # What is asked

    def groups(self, places: Sequence[Place]) -> list[int]:
        """Of how many places each request may be."""
        items = [(place.area, list(place.path)) for place in places]
        version = self.object_qualifier_version
        planned = self._plan_requests(items, lambda some: _build_multi_symbolic_read_payload(some, version))
        return [len(some) for some, _ in planned]

    def request(self, places: Sequence[Place]) -> bytes:
        """What asks for the values at these places."""
        items = [(place.area, list(place.path)) for place in places]
        return _build_multi_symbolic_read_payload(items, self.object_qualifier_version)

    async def values(self, request: bytes, count: int) -> list[Wire | int]:
        """The answer to a request for so many values. Raises LinkError, and what `answers.parse` raises."""
        with doubting(LinkError):
            answer = await self._send_request(FunctionCode.GET_MULTI_VARIABLES, request)
        return parse(answer, count)

    async def put(self, place: Place, wire: int, data: bytes) -> None:
        """Write a value. Raises LinkError, and what `answers.check_written` raises."""
        item = (place.area, list(place.path), data, 0, DataType(wire))
        with doubting(LinkError):
            payload = _build_multi_symbolic_write_payload([item], self.object_qualifier_version)
            answer = await self._send_request(FunctionCode.SET_MULTI_VARIABLES, payload)
        check_written(answer)

    async def blocks(self) -> dict[str, int]:
        """The areas of the data blocks, by name."""
        with doubting(LinkError):
            return {each["name"]: each["rid"] for each in await self.list_datablocks() if each["number"] > 0}

    async def described_by(self, areas: Sequence[int]) -> list[int]:
        """The numbers of the types that describe data blocks now; 0 where there is none."""
        found: list[int] = []
        places = [Place(area, (1,)) for area in areas]
        for count in self.groups(places):
            some, places = places[:count], places[count:]
            with doubting(LinkError):
                answers = await self.values(self.request(some), count)
            found += [int.from_bytes(each.data, "big") if isinstance(each, Wire) else 0 for each in answers]
        return found

    async def changed_at(self, types: Sequence[int]) -> list[bytes | None]:
        """When each of these types was changed, as the CPU writes it."""
        with doubting(LinkError):
            return [await self._read_type_info_time(each) for each in types]

    async def layout(self, blocks: Mapping[str, int]) -> Layout:
        """All that the CPU tells of names and types."""
        described = await self.described_by(list(blocks.values()))
        with doubting(LinkError):
            request = _build_explore_request(Ids.OBJECT_OMS_TYPE_INFO_CONTAINER, [])
            answer = await self._send_request(FunctionCode.EXPLORE, request, integrity_tail=5, reassemble=True)
            parse_or_raise_for_return_value(answer, "the CPU's list of types")
            types = await asyncio.to_thread(extract_type_info_objects, answer)
        found = {name: Block(area, type_) for (name, area), type_ in zip(blocks.items(), described, strict=True)}
        return Layout(found, types)

    # What is to be known of it

    @property
    def level(self) -> str:
        """What the CPU lets us do, in words."""
        level = self.protection_level
        return "not told" if level is None else _LEVELS.get(level, f"level {level}")

    @property
    def ended(self) -> bool:
        """Whether the far side has closed it."""
        return self._reader is None or self._reader.at_eof()

    def abort(self) -> None:
        """Let go of the socket at once."""
        self._stop_session_key_refresh()
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = self._reader = None

    async def shut(self) -> None:
        """Say goodbye, so that the CPU frees the connection, if that is quick; then let go."""
        writer = self._writer
        with suppress(Exception):
            if not self._cut and not self.ended:
                async with asyncio.timeout(1):
                    await self._delete_session()
        self.abort()
        with suppress(Exception):
            if writer is not None:
                await writer.wait_closed()


@contextmanager
def _key_log(context: ssl.SSLContext) -> Iterator[str]:
    """Where OpenSSL writes the session's secrets while it shakes hands, which the proof of a password needs and Python does
    not give otherwise: a file without a place on any disk."""
    log = os.memfd_create("tls")
    try:
        context.keylog_filename = path = f"/proc/self/fd/{log}"
        yield path
    finally:
        context.keylog_filename = None  # type: ignore[assignment]  # None ends it
        os.close(log)
