"""The table of commands: what each is called with, who may, and whether it changes something, which the audit trail tells.

A transport, such as the control socket, hands a request to `Commands.call`; what is not in the table, or not as the table
says, never reaches the part that would do it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.config.mistakes import did_you_mean
from gateway.core import arguments as must
from gateway.core.arguments import Argument
from gateway.core.command import ENGINEER, OPERATOR, QUALITY, Actor, Body, Declared
from gateway.core.errors import GatewayError
from gateway.core.text import shown
from gateway.status import rendered

Refused = Callable[[Actor, str], Awaitable[None]]
"""Called with who asked, and the command."""


async def _unheard(by: Actor, command: str) -> None:
    pass


_NAME = Argument(must.text)
_REASON = Argument(must.reason)
_ANY = Argument(must.or_none(must.text), needed=False)
_IDS = Argument(must.texts, needed=False, default=())
_TIME = Argument(must.whole())

TABLE: Mapping[str, Declared] = {
    "status": Declared(at_once=True),
    "reload": Declared(audited=True, role=ENGINEER),
    "receipts": Declared({"from_ns": _TIME, "to_ns": _TIME}),
    "tags": Declared({"device": _ANY}, at_once=True),
    "read": Declared({"device": _NAME, "tags": Argument(must.texts)}, role=OPERATOR),
    "probe": Declared({"device": _NAME, "address": _NAME, "count": Argument(must.whole(1, 10_000))}, role=OPERATOR),
    "browse": Declared({"device": _NAME}, role=OPERATOR),
    "write": Declared(
        {"device": _NAME, "tag": _NAME, "value": Argument(must.scalar), "reason": _REASON}, audited=True, role=ENGINEER
    ),
    "call": Declared(
        {"device": _NAME, "target": _NAME, "method": _NAME, "arguments": Argument(must.scalars), "reason": _REASON},
        audited=True, role=ENGINEER,
    ),
    "alarms": Declared(at_once=True),
    "acknowledge": Declared(
        {"alarm": _NAME, "comment": Argument(must.comment, needed=False, default="")}, audited=True, role=OPERATOR
    ),
    "shelve": Declared(
        {"alarm": _NAME, "seconds": Argument(must.positive), "reason": _REASON}, audited=True, role=OPERATOR
    ),
    "unshelve": Declared({"alarm": _NAME}, audited=True, role=OPERATOR),
    "models": Declared(at_once=True),
    "model_approve": Declared({"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY),
    "model_rollback": Declared({"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY),
    "model_retire": Declared({"model": _NAME, "reason": _REASON}, audited=True, role=QUALITY),
    "dead_retry": Declared({"ids": _IDS, "sink": _ANY}, audited=True, role=ENGINEER),
    "dead_drop": Declared({"ids": _IDS, "sink": _ANY}, audited=True, role=QUALITY),
    "drain": Declared({"sink": _ANY, "marks": Argument(must.or_none(must.counts), needed=False)}, role=OPERATOR),
    "replay": Declared(
        {
            "sink": _NAME, "from_ns": _TIME, "to_ns": _TIME, "devices": _IDS,
            "rate": Argument(must.or_none(must.positive), needed=False, default=20_000.0),
        },
        audited=True, role=ENGINEER,
    ),
    "replay_status": Declared({"sink": _NAME}, at_once=True),
    "replay_cancel": Declared({"sink": _NAME}, audited=True, role=ENGINEER),
}  # fmt: skip


class Commands:
    """The table with what does each."""

    def __init__(
        self, bodies: Mapping[str, Body], table: Mapping[str, Declared] = TABLE, refused: Refused = _unheard
    ) -> None:
        """`refused` is told who may not do what he asked for. Raises ValueError when bodies and table do not name the same
        commands."""
        if odd := bodies.keys() ^ table.keys():
            raise ValueError(f"declared or done, not both: {', '.join(sorted(odd))}")
        self._bodies = dict(bodies)
        self._table = dict(table)
        self._refused = refused

    def add(self, name: str, declared: Declared, body: Body) -> None:
        """One more, of a service. Raises ValueError when there is one of this name."""
        if name in self._table:
            raise ValueError(f"there is a command {name} already")
        self._table[name], self._bodies[name] = declared, body

    def remove(self, name: str) -> None:
        del self._table[name], self._bodies[name]

    def is_at_once(self, request: Any) -> bool:
        """Whether its answer waits for nothing; also of what is refused."""
        name = request.get("command") if isinstance(request, dict) else None
        declared = self._table.get(name) if isinstance(name, str) else None
        return declared is None or declared.at_once

    async def call(self, actor: Actor, request: Any) -> Any:
        """Answer a request, {"command": name, "arguments": {…}}, in JSON values. Raises GatewayError, for the person."""
        name, given = _parted(request)
        if name not in self._table:
            hint = did_you_mean(name, self._table)
            raise GatewayError(f'no command "{shown(name)}"{hint}')
        declared = self._table[name]
        if declared.role not in actor.roles:
            await self._refused(actor, name)
            has = ", ".join(sorted(actor.roles)) or "none"
            raise GatewayError(
                f"{name} needs the role {declared.role}; {actor.name} has: {has} ([access] says who has which)"
            )
        return rendered(await self._bodies[name](actor, **checked(name, declared.arguments, given)))


def _parted(request: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(request, dict) or not request.keys() <= {"command", "arguments"}:
        raise GatewayError('not understood: a request is {"command": NAME, "arguments": {…}}')
    name, given = request.get("command"), request.get("arguments", {})
    if not isinstance(name, str) or not isinstance(given, dict):
        raise GatewayError('not understood: "command" must be a name, and "arguments" a table')
    return name[: must.TEXT], given


def checked(name: str, declared: Mapping[str, Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments as the command gets them. Raises GatewayError for what is unknown, missing, or of another kind."""
    if unknown := [key for key in given if key not in declared]:
        known = f"it takes: {', '.join(declared)}" if declared else "it takes none"
        raise GatewayError(f'{name} has no argument "{shown(unknown[0][:100])}"; {known}')
    found = {}
    for key, argument in declared.items():
        if key not in given:
            if argument.needed:
                raise GatewayError(f'{name} needs the argument "{key}"')
            found[key] = argument.default
            continue
        try:
            found[key] = argument.check(given[key])
        except ValueError as error:
            raise GatewayError(f"{name}: {key} {error}") from None
    return found
