"""Requests of a sink's far side, in JSON: what may be asked for, how old it may be, whether it was asked before, and the
answer. Where they come from and where the answers go is the sink's."""

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import structlog

from gateway.config.request_options import RequestOptions
from gateway.core.errors import GatewayError, RequestError
from gateway.core.parsing import JsonObject, doubting, parse_json
from gateway.core.text import cleaned, encodable
from gateway.plugin.hosts import SinkHost

LARGEST = 256 * 1024
"""Bytes of a request."""
DEPTH = 8
LONGEST_ID = 200
KEPT = 4096
"""Answers that are kept, in case a request comes again."""
REBIRTH_EVERY = 10.0
"""Seconds between two rebirths: each tells as much as a connection that is new."""

CHANGING = ("write", "replay", "batch_start", "batch_set", "batch_end")
"""They are not done twice, nor late."""
UNKNOWN = "unknown"
"""In the audit trail, for a command that there is not."""

_MEMBERS = {"arguments", "id", "sent", "response_topic"}
_MEMORY = "requests"


class DeniedError(RequestError):
    """A request that never gets as far as the table of commands."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it was read."""

    command: str
    arguments: JsonObject = field(default_factory=dict)
    id: str | int | None = None
    """What its sender calls it; unique, or none."""
    sent: float | None = None
    """When it was asked by its own word, seconds since 1970."""
    response_topic: str = ""
    digest: bytes = b""
    """Of all that was sent."""
    problem: str = ""
    """Why it cannot be done, in words."""

    @property
    def meant(self) -> bytes:
        """A hash of what it wants."""
        return hashlib.sha256(json.dumps(self.arguments, sort_keys=True).encode()).digest()


@dataclass(slots=True)
class _Kept:
    meant: bytes
    at: float
    answer: JsonObject | None = None
    """None while it is under way."""


@dataclass(slots=True)
class _Memory:
    """What one connection leaves for the next."""

    answers: OrderedDict[Any, _Kept] = field(default_factory=OrderedDict)
    reborn_at: float = -REBIRTH_EVERY


def read_question(command: str, payload: bytes, size: int = 0) -> Question:
    """Never raises. `size`: of the payload, where it was too large to be taken."""
    digest = hashlib.sha256(payload).digest()
    try:
        if max(size, len(payload)) > LARGEST:
            raise DeniedError(f"it is larger than {LARGEST} bytes")
        with doubting(lambda why: DeniedError(f"it is no JSON: {why}")):
            body = parse_json(payload or b"{}", size=LARGEST, depth=DEPTH)
        return Question(command, **_members(body), digest=digest)
    except DeniedError as error:
        return Question(command, digest=digest, problem=str(error))


def _members(body: Any) -> JsonObject:
    if not isinstance(body, dict):
        raise DeniedError('a request is a JSON object, such as {"arguments": {…}, "id": "4711", "sent": 1790000000000}')
    if unknown := sorted(body.keys() - _MEMBERS):
        raise DeniedError(f'it has no member "{cleaned(unknown[0], 100)}"; known are: {", ".join(sorted(_MEMBERS))}')
    arguments, name, sent, where = (body.get(key) for key in ("arguments", "id", "sent", "response_topic"))
    if arguments is not None and not isinstance(arguments, dict):
        raise DeniedError('"arguments" must be an object')
    if name is not None and not _is_id(name):
        raise DeniedError(f'"id" must be a text of at most {LONGEST_ID} characters, or a whole number')
    if sent is not None and (isinstance(sent, bool) or not isinstance(sent, int | float) or not 0 <= sent < 1e15):
        raise DeniedError('"sent" must be the time when it was asked, milliseconds since 1970')
    if where is not None and not isinstance(where, str):
        raise DeniedError('"response_topic" must be a topic')
    return {
        "arguments": arguments or {},
        "id": name,
        "sent": None if sent is None else sent / 1000,
        "response_topic": where or "",
    }


def _is_id(name: Any) -> bool:
    if isinstance(name, str):
        return 0 < len(name) <= LONGEST_ID and encodable(name) == name
    return isinstance(name, int) and not isinstance(name, bool) and abs(name) < 1 << 63


class FarRequests:
    """Of one connection of a sink."""

    def __init__(
        self,
        options: RequestOptions,
        host: SinkHost,
        sink: str,
        rebirth: Callable[[], int],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`sink`: its name. `rebirth` tells descriptions and states anew, of how many devices it returns. `now`: the wall
        clock, s."""
        self._options = options
        self._host = host
        self._sink = sink
        self._rebirth = rebirth
        self._now = now
        self._memory: _Memory = host.memory.setdefault(_MEMORY, _Memory())
        count, seconds = options.rate
        self._allowance = self._most = float(count)
        self._per_second = count / seconds
        self._counted_at = time.monotonic()

    def admits(self) -> bool:
        """Whether `rate` bears one more request now; counts it."""
        now = time.monotonic()
        self._allowance = min(self._most, self._allowance + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    async def answer(self, question: Question, *, correlation: bytes = b"", expires: bool = False) -> JsonObject | None:
        """What to answer, as JSON values; None where the same request is under way. Never raises but for a cancellation.
        `correlation`: what the sender wants back, and so another name of the request. `expires`: who brought it throws away
        what is too old by its sender's word."""
        try:
            return self._body(question, await self._answered(question, correlation, expires))
        except _UnderWayError:
            return None
        except GatewayError as error:
            if isinstance(error, DeniedError):
                await self.refused(question.command, str(error))
            return self._body(question, {"ok": False, "error": cleaned(error, 1000)})
        except Exception as error:  # noqa: BLE001 -- told to who asked, and in the log
            structlog.get_logger().exception("a request failed", sink=self._sink, command=cleaned(question.command))
            return self._body(question, {"ok": False, "error": f"{type(error).__name__}: a bug; see the gateway's log"})

    async def refused(self, command: str, why: str) -> None:
        """Have a request that is not done in the audit trail."""
        await self._host.attempted(command if command in self._options.commands else UNKNOWN, why)

    def _body(self, question: Question, said: Mapping[str, Any]) -> JsonObject:
        named = {} if question.id is None else {"id": question.id}
        about = {
            "command": cleaned(question.command, 100),
            "gateway": self._host.gateway,
            "ts": round(self._now() * 1000),
        }
        return {**named, **about, **said}

    async def _answered(self, question: Question, correlation: bytes, expires: bool) -> JsonObject:
        if question.problem:
            raise DeniedError(question.problem)
        if question.command not in self._options.commands:
            known = ", ".join(self._options.commands)
            raise DeniedError(f'no request "{cleaned(question.command, 100)}" is taken here; there are: {known}')
        if question.command not in CHANGING:
            self._check_age(question)
            return {"ok": True, "result": await self._done(question)}
        key = (question.command, correlation, question.id, question.response_topic)
        return await self._done_once(
            question, key if correlation or question.id is not None else question.digest, expires
        )

    async def _done_once(self, question: Question, key: Any, expires: bool) -> JsonObject:
        """The answer, or the one that the same request had before."""
        kept = self._memory.answers.get(key)
        if kept is not None:
            if kept.meant != question.meant:
                raise DeniedError("a request of this id has asked for something else: give each an id of its own")
            if kept.answer is None:
                raise _UnderWayError
            return {**kept.answer, "repeated": True}
        self._check_age(question)
        if question.sent is None and not expires:
            raise DeniedError(
                '"sent" is missing, the time when it was asked (milliseconds since 1970): what a broker has kept must not be'
                " done late. With MQTT 5 a message expiry does as well"
            )
        self._make_room()
        kept = self._memory.answers[key] = _Kept(question.meant, time.monotonic())
        try:
            kept.answer = {"ok": True, "result": await self._done(question)}
        except DeniedError:
            del self._memory.answers[key]
            raise
        except BaseException as error:
            why = error if isinstance(error, GatewayError) else "broken off: it may have been done, or not"
            kept.answer = {"ok": False, "error": cleaned(why, 1000)}
            raise
        return kept.answer

    def _make_room(self) -> None:
        answers, long_ago = self._memory.answers, time.monotonic() - 2 * self._options.max_age
        while answers and (first := next(iter(answers.items())))[1].at < long_ago and first[1].answer is not None:
            del answers[first[0]]
        if len(answers) >= KEPT:
            raise DeniedError(f"the answers to {KEPT} requests are kept, in case one comes again: ask more seldom")

    def _check_age(self, question: Question) -> None:
        if question.sent is None:
            return
        age = self._now() - question.sent
        if age > self._options.max_age:
            raise DeniedError(
                f"it was asked {age:.1f} s ago, and is not done after {self._options.max_age:g} s (max_age)"
            )
        if age < -self._options.max_age:
            raise DeniedError(
                f"by the gateway's clock it comes from {-age:.1f} s ahead: set the clocks by a time service"
            )

    async def _done(self, question: Question) -> Any:
        arguments = question.arguments
        if question.command == "write":
            self._check_writable(arguments)
            return await self._host.request("write", arguments)
        if question.command == "snapshot":
            return await self._host.request("tags", arguments)
        if question.command == "replay":
            return await self._host.request("replay", self._replay(arguments))
        if question.command.startswith("batch"):
            return await self._host.request(question.command, _in_ns(arguments))
        return await self._reborn(arguments)

    def _check_writable(self, arguments: JsonObject) -> None:
        """What is no name is for the table of commands to refuse."""
        tag = f"{arguments.get('device')}/{arguments.get('tag')}"
        if not any(fnmatchcase(tag, pattern) for pattern in self._options.writable):
            allowed = ", ".join(self._options.writable[:10])
            raise DeniedError(f"{cleaned(tag, 200)} may not be written by requests; writable names: {allowed}")

    def _replay(self, arguments: JsonObject) -> JsonObject:
        """Times are milliseconds here, as in all messages; the sink is this one."""
        if unknown := sorted(arguments.keys() - {"from", "to", "devices", "rate"}):
            raise DeniedError(f'replay has no argument "{cleaned(unknown[0], 100)}"; it takes: from, to, devices, rate')
        times = {"from_ns": arguments.get("from"), "to_ns": arguments.get("to", round(self._now() * 1000))}
        for name, value in times.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**13:
                raise DeniedError(f"replay: {name[:-3]} must be a time, milliseconds since 1970")
        asked: JsonObject = {"sink": self._sink, **{name: value * 1_000_000 for name, value in times.items()}}
        return asked | {name: arguments[name] for name in ("devices", "rate") if name in arguments}

    async def _reborn(self, arguments: JsonObject) -> JsonObject:
        if arguments:
            raise DeniedError("rebirth takes no arguments")
        now = time.monotonic()
        if (wait := self._memory.reborn_at + REBIRTH_EVERY - now) > 0:
            raise DeniedError(f"all was told anew a moment ago: ask again in {wait:.1f} s")
        self._memory.reborn_at = now
        devices = self._rebirth()
        await self._host.attempted("rebirth")
        return {"devices": devices}


def _in_ns(arguments: JsonObject) -> JsonObject:
    """Times are milliseconds here, as in all messages: `at`, `from` and `to`. What is none is for the table to refuse."""
    named = {"at": "at_ns", "from": "from_ns", "to": "to_ns"}
    return {
        named.get(name, name): value * 1_000_000
        if name in named and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**13
        else value
        for name, value in arguments.items()
    }


class _UnderWayError(Exception):
    """The same request is being done."""
