"""Deciding which servers' certificates count, by a command: what `edge-gateway trust` does at the machine."""

import asyncio
from pathlib import Path
from typing import TypedDict

from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.operate.audit_log import AuditLog
from gateway.trust.certificates import Known, move, the_one


class DecidedAnswer(TypedDict):
    """A certificate as it stands now."""

    folder: str
    state: str
    thumbprint: str
    subject: str


class CertificateCommands:
    """Both decisions; whoever connects goes by them at its next attempt."""

    def __init__(self, directory: Path, audit: AuditLog) -> None:
        """`directory`: the gateway's own."""
        self._directory = directory
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"trust_accept": self.accept, "trust_revoke": self.revoke}

    async def accept(self, by: Actor, thumbprint: str, reason: str, folder: str = "opcua") -> DecidedAnswer:
        """Trust one that was refused; all digits of its thumbprint are needed. Raises GatewayError."""
        return await self._decided(by, "trust.accept", (folder, thumbprint, "rejected", "trusted"), reason)

    async def revoke(self, by: Actor, thumbprint: str, reason: str, folder: str = "opcua") -> DecidedAnswer:
        """Trust one no longer. Raises GatewayError."""
        return await self._decided(by, "trust.revoke", (folder, thumbprint, "trusted", "rejected"), reason)

    async def _decided(self, by: Actor, action: str, what: tuple[str, str, str, str], reason: str) -> DecidedAnswer:
        folder, thumbprint, before, after = what
        try:
            known = await asyncio.to_thread(self._found, folder, thumbprint, before)
            fields = {"target": known.thumbprint, "subject": known.subject, "why": reason}
            async with self._audit.audited(by, action, **fields):
                await asyncio.to_thread(move, known, after)
        except OSError as error:
            raise GatewayError(f"{error.filename}: {error.strerror or error}") from error
        return {"folder": folder, "state": after, "thumbprint": known.thumbprint, "subject": known.subject}

    def _found(self, folder: str, thumbprint: str, state: str) -> Known:
        """Blocking. Only folders that are there are looked into, by name: no path leads elsewhere."""
        for each in (self._directory / "pki").glob("*"):
            if each.name == folder and each.is_dir():
                return the_one(each, thumbprint, state)
        raise GatewayError(f'no certificates are kept for "{folder}"')
