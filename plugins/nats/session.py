"""One connection to one server: greeting, login, then messages out and their answers back."""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import orjson

from gateway.kit import Receiver, Route, dial, encrypt, shown, tls_options, why_no_tls
from gateway.plugin import LinkError, RefusedError, Tls, UnreachableError, cleaned, parse_json

from . import protocol
from .protocol import Answer, Info

PING_EVERY = 10.0
"""Seconds. Who says nothing from one ping to the next but one is gone."""
ASKED = 5.0
"""Seconds for the answer to a request."""
HIGH = 256 * 1024
"""Bytes that wait for the network, from which on nothing more is handed to it."""
NO_STREAM = 503
"""The status of what nobody listens to, NATS' "no responders"."""
NOT_ALLOWED = 403

_PERSON_MUST_ACT = ("auth", "tls required", "no matching account", "maximum account", "revoked", "permission")
"""What stands in errors of a server that another attempt will not mend."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message or a request was not taken."""

    code: int
    """JetStream's err_code, NO_STREAM or NOT_ALLOWED."""
    reason: str
    """In the server's words."""
    stream: str = ""


class ServerRefusalError(LinkError):
    """A request was answered with an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Outgoing(NamedTuple):
    """One message for a stream."""

    subject: bytes
    headers: bytes
    payload: bytes
    token: Any
    """Comes back with the answer."""


class NatsSession(Receiver):
    """`open` it once; then `ended` is set to the reason when the connection ends."""

    def __init__(
        self,
        host: str,
        port: int,
        inbox: str,
        on_taken: Callable[[list[Any]], None],
        on_refused: Callable[[Any, Refusal], None],
        way: Route | None = None,
    ) -> None:
        super().__init__(protocol.NatsFraming())
        self.name = shown(host, port)
        self.encryption = "none"
        self.repeats = 0
        """Messages that the server had already."""
        self.full = False
        """Whether the network takes nothing more for now."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when it takes more again."""
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.info: Info | None = None
        self._tls: Tls | bool = False
        self._host, self._port, self._way = host, port, way or Route()
        self._on_taken, self._on_refused = on_taken, on_refused
        self._inbox = f"{inbox}.{secrets.token_hex(11)}.".encode()
        self._loop = asyncio.get_running_loop()
        self._greeting: asyncio.Future[Info] = self._loop.create_future()
        self._welcome: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, tuple[bytes, Any]] = {}
        """What has no answer yet: its subject and token."""
        self._number = 0
        self._taken: list[Any] = []
        self._all_answered = asyncio.Event()
        self._pinged = False
        self._quiet = 0
        self._tick: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """How many messages have no answer yet."""
        return len(self._open)

    # Begin and end

    async def begin(self, tls: Tls | bool, first: bool, login: Callable[[str], Mapping[str, str]], name: str) -> None:
        """Dial, be greeted, log in. `first`: encrypt before the greeting; `login` gives the members of CONNECT that prove who
        we are. Raises LinkError, and then leaves nothing open."""
        self._tls = tls
        try:
            try:
                await dial(
                    lambda: self,
                    self._host,
                    self._port,
                    tls=tls if first else False,
                    look_at="is it a NATS server?",
                    route=self._way,
                )
            except RefusedError:
                raise
            except LinkError as error:
                raise UnreachableError(str(error)) from error
            info = await self._told(self._greeting)
            if tls and not first:
                await self._encrypt(tls, info)
            elif info.tls_required and not tls:
                raise RefusedError(
                    f"server {self.name} takes encrypted connections only: set tls = true, or a table with ca"
                )
            if tls:
                self.encryption = self._cipher()
            if not info.headers:
                raise RefusedError(
                    f"server {self.name} (NATS {info.version}) takes no headers, so it cannot drop repeats"
                )
            self._write(self._connect(info, login, name))
            await self._told(self._welcome)
        except BaseException:
            await self.abort()
            raise
        self._beat()

    async def _told(self, what: "asyncio.Future[Any]") -> Any:
        await asyncio.wait([what, self.ended], return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            raise self.ended.result()
        return what.result()

    async def _encrypt(self, tls: Tls | bool, info: Info) -> None:
        if not (info.tls_required or info.tls_available):
            raise RefusedError(f"server {self.name} offers no TLS: switch it on there, or leave tls out")
        if (
            self.unfinished or self._transport is None
        ):  # else somebody on the way could put words into the server's mouth
            raise LinkError(f"server {self.name} says more than its greeting before it is encrypted")
        plain = self._transport
        try:
            self._transport = self.flow = await encrypt(self, plain, self._host, self._port, tls)
        except BaseException:  # asyncio tells us of no end, where the peer has gone in the middle
            plain.abort()
            self._gone.cancel()
            raise

    def _cipher(self) -> str:
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        return cleaned(found.version()) if found else "TLS"

    def _connect(self, info: Info, login: Callable[[str], Mapping[str, str]], name: str) -> bytes:
        said = {
            "verbose": False, "pedantic": False, "echo": False, "headers": True, "no_responders": True, "protocol": 1,
            "lang": "python", "version": "1", "name": name, "tls_required": self.encryption != "none", **login(info.nonce),
        }  # fmt: skip
        return b"CONNECT %b\r\nSUB %b* 1\r\n%b" % (orjson.dumps(said), self._inbox, protocol.PING)

    async def abort(self) -> None:
        """Close at once, and wait until the socket is gone."""
        self._end(LinkError("the connection was closed"))
        if self._transport is not None:
            await asyncio.wait([self._gone])

    def _end(self, error: Exception) -> None:
        if self.ended.done():
            return
        self.ended.set_result(error)
        self.stop()
        if self._tick is not None:
            self._tick.cancel()
        for _, token in self._open.values():
            if isinstance(token, asyncio.Future) and not token.done():
                token.cancel()
        if self._transport is not None:
            self._transport.abort()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self.flow = cast(asyncio.Transport, transport)  # uvloop's are no such thing, and act as one
        self._transport.set_write_buffer_limits(HIGH)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._why(exc))
        if not self._gone.done():
            self._gone.set_result(None)

    def _why(self, exc: Exception | None) -> LinkError:
        if isinstance(exc, ssl.SSLError):
            return RefusedError(f"server {self.name}: {why_no_tls(exc, tls_options(self._tls), self._host)}")
        if not self._greeting.done():
            return UnreachableError(f"server {self.name} takes the connection and ends it: is it a NATS server?")
        return LinkError(f"server {self.name} {f'is lost: {cleaned(exc)}' if exc else 'has closed the connection'}")

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.on_room()

    def data_received(self, data: bytes) -> None:
        self._quiet = 0
        super().data_received(data)
        if not self.waiting:
            self.frames_received()

    def frames_received(self) -> None:
        if self._pinged and not self.full:
            self._pinged = False
            self._write(protocol.PONG)
        if self._taken:
            taken, self._taken = self._taken, []
            self._on_taken(taken)

    def nonsense_received(self, reason: str) -> None:
        self._end(LinkError(f"server {self.name} sends what is no NATS: {reason}"))

    def frame_received(self, frame: bytes) -> None:
        try:
            self._understand(frame)
        except (ValueError, IndexError) as error:
            self.nonsense_received(cleaned(error))

    def _understand(self, frame: bytes) -> None:
        if frame.startswith((b"MSG ", b"HMSG ")):
            self._answered(protocol.parse_answer(frame, len(self._inbox)))
        elif frame == protocol.PING:
            self._pinged = True
        elif frame == protocol.PONG:
            if not self._welcome.done():
                self._welcome.set_result(None)
        elif frame.startswith(b"-ERR"):
            self._failed(protocol.parse_error(frame))
        elif frame.startswith(b"INFO ") or not self._greeting.done():
            self.info = protocol.parse_info(frame)
            if not self._greeting.done():
                self._greeting.set_result(self.info)
        elif not frame.startswith(b"+OK"):
            raise ValueError(cleaned(frame[:40]))

    def _failed(self, error: str) -> None:
        """What the server says by -ERR. It goes on after a denial, and hangs up after all else."""
        denied = protocol.parse_denied(error)
        if denied is not None and denied[0] == "publish":
            subject = denied[1].encode()
            refusal = Refusal(NOT_ALLOWED, f'not allowed to publish to "{cleaned(denied[1])}"')
            for number in [number for number, (open_, _) in self._open.items() if open_ == subject]:
                self._refuse(self._open.pop(number)[1], refusal)
        elif denied is not None:
            self._end(
                RefusedError(
                    f"server {self.name} does not let us hear its answers: let the user subscribe to"
                    f' "{denied[1]}", or set inbox to what he may'
                )
            )
        elif "invalid publish subject" not in error.lower():
            kind = RefusedError if any(word in error.lower() for word in _PERSON_MUST_ACT) else LinkError
            self._end(kind(f"server {self.name} says: {error}{_advice(error)}"))

    def _answered(self, answer: Answer) -> None:
        found = self._open.pop(answer.number, None)
        if not self._open:
            self._all_answered.set()
        if found is None:  # refused before, or asked for by nobody
            return
        _, token = found
        if isinstance(token, asyncio.Future):
            if not token.done():
                token.set_result(answer)
        elif refusal := self._refusal(answer):
            self._refuse(token, refusal)
        else:
            self._taken.append(token)

    def _refusal(self, answer: Answer) -> Refusal | None:
        """None: the stream has it. Raises ValueError for what is no answer of a stream."""
        if answer.status:
            return Refusal(
                NO_STREAM if answer.status == b"503" else 0, f"status {cleaned(answer.status.decode('latin-1'))}"
            )
        said = orjson.loads(answer.payload)
        if not isinstance(said, dict):
            raise ValueError("an answer of a stream that is no object")
        if "error" in said:
            return _refused(said)
        if not (isinstance(said.get("seq"), int) and said["seq"] > 0 and isinstance(said.get("stream"), str)):
            raise ValueError("an answer of a stream without the number of the message there")
        self.repeats += said.get("duplicate") is True
        return None

    def _refuse(self, token: Any, refusal: Refusal) -> None:
        if not isinstance(token, asyncio.Future):
            self._on_refused(token, refusal)
        elif not token.done():
            token.set_exception(ServerRefusalError(refusal))

    # What we say

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send messages, in one write."""
        number, inbox, data = self._number, self._inbox, []
        for subject, headers, payload, token in messages:
            number += 1
            self._open[number] = (subject, token)
            data.append(protocol.message(subject, b"%b%d" % (inbox, number), headers, payload))
        self._number = number
        self._write(b"".join(data))

    async def settle(self, seconds: float) -> None:
        """Wait, for so long at most, until all that was published is answered or the connection ends."""
        self._all_answered.clear()
        if self._open:
            answered = asyncio.ensure_future(self._all_answered.wait())
            heard: set[asyncio.Future[Any]] = {answered, self.ended}
            await asyncio.wait(heard, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()

    async def ask(self, subject: str, arguments: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """A request to JetStream, and its answer. Raises ServerRefusalError, LinkError."""
        self._number += 1
        number, answer = self._number, self._loop.create_future()
        self._open[number] = (subject.encode(), answer)
        self._write(
            protocol.asking(
                subject.encode(), b"%b%d" % (self._inbox, number), orjson.dumps(arguments) if arguments else b""
            )
        )
        try:
            async with asyncio.timeout(ASKED):
                found: Answer = await self._told(answer)
        except TimeoutError:
            raise LinkError(f"server {self.name} does not answer {subject} within {ASKED:g} s") from None
        finally:
            self._open.pop(number, None)
        if found.status:
            status = cleaned(found.status.decode("latin-1"))
            raise ServerRefusalError(Refusal(NO_STREAM if status == "503" else 0, f"status {status}"))
        try:
            said = parse_json(found.payload, size=protocol.LONGEST, depth=16)
            if not isinstance(said, dict):
                raise ValueError("no object")
        except ValueError as error:
            raise LinkError(f"server {self.name} answers {subject} with what is no JSON object: {error}") from error
        if "error" in said:
            raise ServerRefusalError(_refused(said))
        return said

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.ended.done():
            self._transport.write(data)

    def _beat(self) -> None:
        if self._quiet >= 2:
            self._end(LinkError(f"server {self.name} answers no ping for {2 * PING_EVERY:g} s"))
            return
        self._quiet += 1
        if not self.full:
            self._write(protocol.PING)
        self._tick = self._loop.call_later(PING_EVERY, self._beat)


def _refused(said: Mapping[str, Any]) -> Refusal:
    error = said["error"] if isinstance(said["error"], dict) else {"description": said["error"]}
    code = error.get("err_code") or error.get("code")
    return Refusal(
        code if isinstance(code, int) else 0,
        cleaned(error.get("description", "no reason"), 300),
        cleaned(said.get("stream", "")),
    )


def _advice(error: str) -> str:
    if "authorization" in error.lower():
        return " (wrong user, password, token or key)"
    return ": renew the credentials" if "expired" in error.lower() else ""
