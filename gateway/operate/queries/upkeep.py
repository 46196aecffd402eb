"""What is looked at to keep the gateway: what a reload would change, dead letters, the audit trail, certificates."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from gateway.core.command import Actor, Body
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.text import cleaned
from gateway.operate.reload import Reloads
from gateway.operate.running_parts import RunningParts
from gateway.outbox.deliver import letters
from gateway.supervise import contained
from gateway.trust import audit_files
from gateway.trust.certificates import certificates
from gateway.trust.verify_on import TrailWatch

LETTERS = 1000
"""Dead letters that are told, the newest."""
AT_MOST = 3.0
"""Seconds that a look at the audit trail verifies; what is left then is for the next one."""


class PlanAnswer(TypedDict):
    """What would become of the configuration's file as it is now."""

    applicable: bool
    changes: list[str]
    """In words; none: it says the same as what runs."""
    problems: list[str]
    """Why it would not be applied, with file and line."""


class DeadAnswer(TypedDict):
    """A dead letter; times in milliseconds since 1970."""

    id: str
    """Empty for one whose file is damaged."""
    sink: str
    about: str
    readings: int
    accepted: int | None
    died: int | None
    reason: str


class AuditAnswer(TypedDict):
    """The end of the audit trail, and whether all of it is as it was written."""

    ok: bool
    state: str
    """sound, damaged, or verifying: the trail is long, and a later look goes on."""
    records: int
    """Sound ones, up to the first problem."""
    hash: str
    """Of the last sound one."""
    problem: str
    """What is wrong first, with file and line; empty: nothing."""
    acknowledged: list[str]
    """Damages that somebody has looked at."""
    tail: list[Mapping[str, Any]]
    """The last records, the oldest first; in place of a broken line {"broken": why}."""


class CertificateAnswer(TypedDict):
    """A certificate that the gateway knows."""

    folder: str
    state: str
    """own, trusted or rejected."""
    thumbprint: str
    subject: str
    until: int
    """Milliseconds since 1970."""
    days_left: int


class Upkeep:
    """Answers those commands."""

    def __init__(self, parts: RunningParts, reloads: Reloads, directory: Path) -> None:
        """`directory`: the gateway's own."""
        self._parts = parts
        self._reloads = reloads
        self._directory = directory
        self._trail = TrailWatch(directory / "audit.jsonl")
        self._one_by_one = asyncio.Lock()

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {
            "plan": self.plan,
            "dead_letters": self.dead_letters,
            "audit": self.audit,
            "certificates": self.certificates,
        }

    async def plan(self, by: Actor) -> PlanAnswer:
        """What `reload` would do."""
        try:
            plan = await contained(asyncio.to_thread(self._reloads.plan))
        except ConfigError as error:
            return {"applicable": False, "changes": [], "problems": [str(each) for each in error.problems]}
        except GatewayError as error:
            return {"applicable": False, "changes": [], "problems": [str(error)]}
        return {"applicable": True, "changes": plan.changes, "problems": []}

    async def dead_letters(self, by: Actor) -> list[DeadAnswer]:
        """Those that are kept, the newest first."""
        return await asyncio.to_thread(self._letters)

    def _letters(self) -> list[DeadAnswer]:
        told: list[DeadAnswer] = []
        for path, letter in reversed(letters(self._parts.outbox.dead.directory.parent)[-LETTERS:]):
            if isinstance(letter, str):
                told.append(
                    {
                        "id": "", "sink": "", "about": cleaned(path.name), "readings": 0, "accepted": None, "died": None,
                        "reason": cleaned(letter),
                    }
                )  # fmt: skip
                continue
            record = letter.record
            told.append(
                {
                    "id": record.id, "sink": letter.sink, "about": letter.about, "readings": record.rows,
                    "accepted": record.wall_ns // 1_000_000, "died": letter.died_ns // 1_000_000, "reason": letter.reason,
                }
            )  # fmt: skip
        return told

    async def audit(self, by: Actor, count: int = 50, anew: int = 0) -> AuditAnswer:
        """`anew` (1): also what was verified before. Raises GatewayError for a trail that cannot be read."""
        try:
            async with self._one_by_one:
                return await asyncio.to_thread(self._audit, count, bool(anew))
        except OSError as error:
            raise GatewayError(f"the audit trail cannot be read: {error.strerror or error}") from error

    def _audit(self, count: int, anew: bool) -> AuditAnswer:
        report = self._trail.look(AT_MOST, anew=anew)
        tail: list[Mapping[str, Any]] = [*audit_files.tail(self._trail.path, count)]
        if report is None:
            so_far = f"it is being verified: {self._trail.records:,} records so far"
            return {
                "ok": False, "state": "verifying", "records": self._trail.records, "hash": "", "problem": so_far,
                "acknowledged": [], "tail": tail,
            }  # fmt: skip
        return {
            "ok": report.ok,
            "state": "sound" if report.ok else "damaged",
            "records": report.records,
            "hash": report.end.hash,
            "problem": str(report.problem) if report.problem else "",
            "acknowledged": [f"{each.problem}: {each.who}: {each.why}" for each in report.acknowledged],
            "tail": tail,
        }

    async def certificates(self, by: Actor) -> list[CertificateAnswer]:
        """Of all folders, those that end first at the top. Raises GatewayError for one that may not be read."""
        try:
            return await asyncio.to_thread(self._certificates)
        except OSError as error:
            raise GatewayError(f"{error.filename}: {error.strerror or error}") from error

    def _certificates(self) -> list[CertificateAnswer]:
        now = self._parts.clock.wall_ns() / 1e9
        found: list[CertificateAnswer] = [
            {
                "folder": folder.name, "state": known.state, "thumbprint": known.thumbprint, "subject": known.subject,
                "until": round(known.until.timestamp() * 1000), "days_left": int((known.until.timestamp() - now) // 86_400),
            }
            for folder in sorted((self._directory / "pki").glob("*"))
            if folder.is_dir()
            for known in certificates(folder)
        ]  # fmt: skip
        return sorted(found, key=lambda each: each["until"])
