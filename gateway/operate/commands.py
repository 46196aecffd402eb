"""The table of commands: what each is called with, who may, and whether it changes something, which the audit trail tells.

A transport, such as the control socket, hands a request to `Commands.call`; what is not in the table, or not as the table
says, never reaches the part that would do it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.config.mistakes import did_you_mean
from gateway.core import arguments as must
from gateway.core.arguments import Argument
from gateway.core.command import ENGINEER, OPERATOR, QUALITY, Actor, Body, Declared
from gateway.core.context import WORK
from gateway.core.errors import ForbiddenError, RequestError
from gateway.core.names import seen_by
from gateway.core.text import shown
from gateway.operate.audit_log import AuditLog
from gateway.status import rendered

_NAME = Argument(must.text)
_REASON = Argument(must.reason)
_ANY = Argument(must.or_none(must.text), needed=False)
_IDS = Argument(must.texts, needed=False, default=())
_TIME = Argument(must.whole())
_MOMENT = Argument(must.or_none(must.whole()), needed=False)
_COMMENT = Argument(must.comment, needed=False, default="")
_WORK = {name: _ANY for name in WORK if name != "batch"}
_CERTIFICATE = {
    "thumbprint": _NAME,
    "reason": _REASON,
    "folder": Argument(must.text, needed=False, default="opcua"),
}

TABLE: Mapping[str, Declared] = {
    "status": Declared(at_once=True, does="how the gateway is doing"),
    "reload": Declared(audited=True, role=ENGINEER, does="apply the configuration file as it is now"),
    "receipts": Declared(
        {"from_ns": _TIME, "to_ns": _TIME},
        does="what each device gave in each hour of a span, and what of it was delivered",
    ),
    "tags": Declared({"device": _ANY}, at_once=True, does="last values of all tags, or of one device"),
    "history": Declared(
        {
            "device": _NAME, "tags": Argument(must.texts), "from_ns": _MOMENT, "to_ns": _MOMENT,
            "points": Argument(must.whole(2, 20_000), needed=False, default=1000),
        },
        does="values of tags over time, thinned to so many points, the least and the greatest kept",
    ),
    "events": Declared(
        {"device": _ANY, "from_ns": _MOMENT, "to_ns": _MOMENT}, does="events of a span of time, of a device or of all"
    ),
    "read": Declared(
        {"device": _NAME, "tags": Argument(must.texts)}, role=OPERATOR,
        does="read tags from a device now",
    ),
    "probe": Declared(
        {"device": _NAME, "address": _NAME, "count": Argument(must.whole(1, 10_000))}, role=OPERATOR,
        does="what registers of a device may mean, under every type and byte order",
    ),
    "browse": Declared(
        {"device": _NAME, "types": Argument(must.whole(0, 1), needed=False, default=0)}, role=OPERATOR,
        does="what a device offers, or with types = 1 what of it has a type that is known",
    ),
    "write": Declared(
        {"device": _NAME, "tag": _NAME, "value": Argument(must.scalar), "reason": _REASON}, audited=True, role=ENGINEER,
        does="write a value to a tag that may be written",
    ),
    "call": Declared(
        {"device": _NAME, "target": _NAME, "method": _NAME, "arguments": Argument(must.scalars), "reason": _REASON},
        audited=True, role=ENGINEER,
        does="call a method of a device that may be called",
    ),
    "alarms": Declared(at_once=True, does="what is raised, waits to be acknowledged, or is shelved"),
    "why": Declared({"alarm": _NAME}, does="what led to an alarm, what it was like, and what was done then"),
    "acknowledge": Declared(
        {"alarm": _NAME, "comment": Argument(must.comment, needed=False, default="")}, audited=True, role=OPERATOR,
        does="say of an alarm that it was seen",
    ),
    "shelve": Declared(
        {"alarm": _NAME, "seconds": Argument(must.positive), "reason": _REASON}, audited=True, role=OPERATOR,
        does="make an alarm unheard for a time",
    ),
    "unshelve": Declared({"alarm": _NAME}, audited=True, role=OPERATOR, does="make an alarm heard again"),
    "models": Declared(at_once=True, does="which models score, and how"),
    "scores": Declared({"model": _NAME, "device": _ANY}, does="how a model has scored its devices over the last day"),
    "model_approve": Declared(
        {"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY,
        does="let a version of a model watch",
    ),
    "model_rollback": Declared(
        {"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY,
        does="let the version before watch again",
    ),
    "model_retire": Declared(
        {"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY,
        does="take a version of a model away",
    ),
    "dead_retry": Declared({"ids": _IDS, "sink": _ANY}, audited=True, role=ENGINEER, does="send dead letters again"),
    "dead_drop": Declared({"ids": _IDS, "sink": _ANY}, audited=True, role=QUALITY, does="throw dead letters away"),
    "dead_letters": Declared(does="what was refused for good, and is kept"),
    "plan": Declared(role=ENGINEER, does="what a reload would change, or why it would not be applied"),
    "audit": Declared(
        {
            "count": Argument(must.whole(1, 1000), needed=False, default=50),
            "anew": Argument(must.whole(0, 1), needed=False, default=0),
        }, role=QUALITY,
        does="whether the audit trail is as it was written, and its last records",
    ),
    "certificates": Declared(does="certificates of servers, and the gateway's own"),
    "trust_accept": Declared(
        _CERTIFICATE, audited=True, role=ENGINEER,
        does="trust a server whose certificate was refused",
    ),
    "trust_revoke": Declared(
        _CERTIFICATE, audited=True, role=ENGINEER,
        does="trust a server's certificate no longer",
    ),
    "batches": Declared(at_once=True, does="what devices work for now, and which batches are over"),
    "batch_start": Declared(
        {"batch": _NAME, "devices": Argument(must.texts), **_WORK, "at_ns": _MOMENT, "reason": _COMMENT},
        audited=True, role=OPERATOR,
        does="begin a batch (or lot) for devices",
    ),
    "batch_set": Declared(
        {"devices": Argument(must.texts), **_WORK, "at_ns": _MOMENT, "reason": _COMMENT}, audited=True, role=OPERATOR,
        does="say what devices work for beside the batch, such as its phase; an empty text ends a part",
    ),
    "batch_end": Declared(
        {"batch": _NAME, "devices": _IDS, "at_ns": _MOMENT, "reason": _COMMENT}, audited=True, role=OPERATOR,
        does="end a batch, for all of its devices or some",
    ),
    "batch_correct": Declared(
        {
            "devices": Argument(must.texts), "from_ns": _TIME, "to_ns": _TIME,
            "batch": _ANY, **_WORK, "reason": _REASON,
        }, audited=True, role=ENGINEER,
        does="tell what readings of a past time belonged to; nothing is rewritten",
    ),
    "batch": Declared(
        {"batch": _NAME, "from_ns": _MOMENT, "to_ns": _MOMENT}, does="what a batch gave, and what of it was delivered"
    ),
    "drain": Declared(
        {"sink": _ANY, "marks": Argument(must.or_none(must.counts), needed=False)}, role=OPERATOR,
        does="how far the sinks are with what was accepted until now",
    ),
    "replay": Declared(
        {
            "sink": _NAME, "from_ns": _TIME, "to_ns": _TIME, "devices": _IDS,
            "rate": Argument(must.or_none(must.positive), needed=False, default=20_000.0),
        },
        audited=True, role=ENGINEER,
        does="send kept history to a sink again",
    ),
    "replay_status": Declared({"sink": _NAME}, at_once=True, does="how far replays to a sink are"),
    "history_import": Declared(
        {
            "device": _NAME, "tags": _IDS, "from_ns": _TIME, "to_ns": _TIME,
            "rate": Argument(must.or_none(must.positive), needed=False, default=2000.0),
        },
        audited=True, role=ENGINEER,
        does="import what a device has recorded itself",
    ),
    "history_import_status": Declared({"device": _NAME}, at_once=True, does="how far the import of a device's history is"),
    "history_import_cancel": Declared(
        {"device": _NAME}, audited=True, role=ENGINEER,
        does="end the import of a device's history",
    ),
    "replay_cancel": Declared({"sink": _NAME}, audited=True, role=ENGINEER, does="stop replays to a sink"),
}  # fmt: skip


class Commands:
    """The table with what does each."""

    def __init__(
        self, bodies: Mapping[str, Body], table: Mapping[str, Declared] = TABLE, audit: AuditLog | None = None
    ) -> None:
        """`audit` is told who may not do what he asked for. Raises ValueError when bodies and table do not name the same
        commands."""
        if odd := bodies.keys() ^ table.keys():
            raise ValueError(f"declared or done, not both: {', '.join(sorted(odd))}")
        self._bodies = dict(bodies)
        self._table = dict(table)
        self._audit = audit

    def add(self, name: str, declared: Declared, body: Body) -> None:
        """One more, of a service. Raises ValueError when there is one of this name."""
        if name in self._table:
            raise ValueError(f"there is a command {name} already")
        self._table[name], self._bodies[name] = declared, body

    def remove(self, name: str) -> None:
        del self._table[name], self._bodies[name]

    @property
    def table(self) -> Mapping[str, Declared]:
        """All that can be asked for now."""
        return MappingProxyType(self._table)

    def is_at_once(self, request: Any) -> bool:
        """Whether its answer waits for nothing; also of what is refused."""
        name = request.get("command") if isinstance(request, dict) else None
        declared = self._table.get(name) if isinstance(name, str) else None
        return declared is None or declared.at_once

    async def call(self, actor: Actor, request: Any) -> Any:
        """Answer a request, {"command": name, "arguments": {…}}, in JSON values. Raises GatewayError for the person:
        RequestError, ForbiddenError, or what the command itself has to say."""
        name, given = _parted(request)
        if name not in self._table:
            hint = did_you_mean(name, self._table)
            raise RequestError(f'no command "{shown(name)}"{hint}')
        declared = self._table[name]
        if declared.role not in actor.roles:
            await self._refuse(actor, name)
            has = ", ".join(sorted(actor.roles)) or "none"
            raise ForbiddenError(
                f"{name} needs the role {declared.role}; {actor.name} has: {has} ([access] says who has which)"
            )
        if actor.commands is not None and name not in actor.commands:
            await self._refuse(actor, name)
            raise ForbiddenError(f"{actor.name} may ask for nothing but: {', '.join(sorted(actor.commands))}")
        return seen_by(actor, rendered(await self._bodies[name](actor, **checked(name, declared.arguments, given))))

    async def _refuse(self, actor: Actor, name: str) -> None:
        if self._audit is not None:
            await self._audit.refused(actor, name)


def _parted(request: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(request, dict) or not request.keys() <= {"command", "arguments"}:
        raise RequestError('not understood: a request is {"command": NAME, "arguments": {…}}')
    name, given = request.get("command"), request.get("arguments", {})
    if not isinstance(name, str) or not isinstance(given, dict):
        raise RequestError('not understood: "command" must be a name, and "arguments" a table')
    return name[: must.TEXT], given


def checked(name: str, declared: Mapping[str, Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments as the command gets them. Raises RequestError for what is unknown, missing, or of another kind."""
    if unknown := [key for key in given if key not in declared]:
        known = f"it takes: {', '.join(declared)}" if declared else "it takes none"
        raise RequestError(f'{name} has no argument "{shown(unknown[0][:100])}"; {known}')
    found = {}
    for key, argument in declared.items():
        if key not in given:
            if argument.needed:
                raise RequestError(f'{name} needs the argument "{key}"')
            found[key] = argument.default
            continue
        try:
            found[key] = argument.check(given[key])
        except ValueError as error:
            raise RequestError(f"{name}: {key} {error}") from None
    return found
