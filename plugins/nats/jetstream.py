"""The stream that takes our messages: looked for, made where that is wished, and judged by what it promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.plugin import LinkError, RefusedError, cleaned, format_duration

from .config import NatsConfig
from .session import NO_STREAM, NOT_ALLOWED, NatsSession, Refusal, ServerRefusalError

NOT_FOUND = 10059
"""err_code of a stream that is not there."""
TOO_LARGE = (10054, 10097)
"""Of a message, or of its headers, that are larger than the stream takes."""
STORE_FAILED = 10077
"""Of a stream that could not keep it; the description says why."""
ANOTHER_STREAM = (10056, 10060)
SEALED = 10109
NO_JETSTREAM = (10039, 10076, NO_STREAM)
NO_ROOM = (10002, 10023, 10028, 10047)
"""Of an account or a server whose disk or memory is used up."""

BACK_AT_ONCE = 60.0
"""Seconds that a reconnect may take, though the link was lost for a moment only."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What is known of the one that takes our messages."""

    name: str = ""
    """Empty: none was found, or we may not look."""
    duplicate_window: float | None = None
    """Seconds."""
    weaker: str = ""
    """What it promises less than it should; empty while there is nothing."""
    storage: str = ""

    @property
    def words(self) -> str:
        """For `check --connect` and `status`."""
        if not self.name:
            return f"stream: {self.weaker}"
        window = f", drops repeats for {format_duration(self.duplicate_window)}" if self.duplicate_window else ""
        return f"stream {self.name} ({self.storage}{window})" + (f"; {self.weaker}" if self.weaker else "")


async def find_stream(session: NatsSession, config: NatsConfig, subject: str, *, make: bool) -> Stream:
    """The stream of the configuration, or else the one that takes `subject`. Made, where that is wished, unless `make` is
    False. Raises RefusedError for one that can never acknowledge, LinkError."""
    api = f"$JS.{config.domain}.API" if config.domain else "$JS.API"
    try:
        names = (await session.ask(f"{api}.STREAM.NAMES", {"subject": subject})).get("streams") or []
        found = [cleaned(each, 255) for each in names] if isinstance(names, list) else []
        if not config.stream and not found:
            return Stream(weaker=f'none takes "{subject}": {_to_have_one(config, subject)}')
        name = config.stream or found[0]
        try:
            said = await session.ask(f"{api}.STREAM.INFO.{name}")
        except ServerRefusalError as error:
            if error.refusal.code != NOT_FOUND:
                raise
            if not config.create:
                raise RefusedError(f'stream "{name}" is not there: create = true makes it') from error
            if not make:
                return Stream(weaker=f'"{name}" is not there yet; it will be made')
            said = await session.ask(f"{api}.STREAM.CREATE.{name}", _wished(config))
            found = [name]
    except ServerRefusalError as error:
        refusal = error.refusal
        if refusal.code == NOT_ALLOWED:
            return Stream(config.stream, weaker=f"whether one takes our messages is not known: {refusal.reason}")
        if refusal.code in NO_JETSTREAM:
            raise RefusedError(
                f"server {session.name} has no JetStream for us ({refusal.reason}): switch it on there"
            ) from error
        raise RefusedError(f"server {session.name}: stream {config.stream or subject}: {refusal.reason}") from error
    return _judged(said, name, config, subject, name in found)


def _wished(config: NatsConfig) -> Mapping[str, Any]:
    return {
        "name": config.stream,
        "subjects": config.made_subjects,
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "num_replicas": config.replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": config.max_bytes or -1,
        "max_age": _ns(config.max_age or 0),
        "duplicate_window": _ns(min(config.duplicate_window, config.max_age or config.duplicate_window)),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _judged(said: Mapping[str, Any], name: str, config: NatsConfig, subject: str, covers: bool) -> Stream:
    set_ = said.get("config")
    if not isinstance(set_, dict):
        raise LinkError(f"stream {name}: the server tells nothing of it")
    for wrong, why in (
        (set_.get("no_ack"), "it acknowledges nothing (no_ack)"),
        (set_.get("mirror"), "it is a mirror of another one, which must be named instead"),
        (set_.get("sealed"), "it is sealed, and takes nothing more"),
    ):
        if wrong:
            raise RefusedError(f"stream {name}: {why}, so nothing can be sent to it")
    window = set_.get("duplicate_window")
    seconds = window / 1e9 if isinstance(window, int) and window > 0 else None
    storage = "file" if set_.get("storage", "file") == "file" else "memory"
    weaker = []
    if not covers:
        weaker.append(f'it has no subject for "{subject}": {_to_have_one(config, subject)}')
    if storage == "memory":
        weaker.append("it stands in memory alone, and is gone when the server stops")
    least = 1.5 * config.ack_timeout + BACK_AT_ONCE
    if seconds is None or seconds < least:
        weaker.append(
            f"repeats may come in after any lost connection: set its duplicate_window to {format_duration(least)} or more"
        )
    return Stream(name, seconds, "; ".join(weaker), storage)


def _to_have_one(config: NatsConfig, subject: str) -> str:
    first = subject.split(".")[0]
    if config.create or config.stream:
        return f'add "{first}.>" to its subjects'
    return f'make one with the subject "{first}.>", or set stream and create = true'


def explained(refusal: Refusal, subject: str, config: NatsConfig) -> tuple[str, bool]:
    """A refusal in words, with what a person can do; and whether it is for good."""
    code, reason = refusal.code, refusal.reason
    stream = f"stream {refusal.stream or config.stream or 'of ' + subject}"
    if code == NO_STREAM:
        return f'no stream takes "{subject}": {_to_have_one(config, subject)}', False
    if code == NOT_ALLOWED:
        who = f'user "{config.user}"' if config.user else "the user"
        return f"{reason}: let {who} publish there, or set another subject", False
    if code in TOO_LARGE or (code == STORE_FAILED and " large" in reason):
        return (
            f"{reason} at {stream}: raise its max_msg_size, or spread the device's tags over several [[device]]",
            True,
        )
    if code == STORE_FAILED and "maximum" in reason:
        return f"{stream} is full ({reason}): raise its limits, or let it discard old messages", False
    if code in ANOTHER_STREAM:
        return f'another stream than {config.stream} takes "{subject}" ({reason})', False
    if code == SEALED:
        return f"{stream} is sealed ({reason}): name another one", False
    if code in NO_ROOM:
        return f"{reason}: the account or the server has no room left for {stream}", False
    if code in NO_JETSTREAM:
        return f"{reason}: switch JetStream on at the server, for this account", False
    return f"{stream}: {reason}" + (f" ({code})" if code else ""), False


def too_large(size: int, most: int) -> str:
    """Of a message that the server would hang up over."""
    fix = "raise its max_payload, or spread the device's tags over several [[device]]"
    return f"a message of {size} bytes, and the server takes {most}: {fix}"
