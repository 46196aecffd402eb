"""What people ask of the models and do with their versions, by the control socket; each step is audited before it is done."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.core.errors import GatewayError
from gateway.detect import Detection
from gateway.operate.notes import Notes


class ModelCommands:
    """Every answer is the list of models as it is then."""

    def __init__(self, detection: Detection, notes: Notes) -> None:
        self._detection = detection
        self._notes = notes

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """By their names on the socket."""
        return {
            "models": self.listed,
            "model_approve": self.approve,
            "model_rollback": self.roll_back,
            "model_retire": self.retire,
        }

    async def listed(self, who: str) -> list[dict[str, Any]]:
        """Every model with what it says of each device, and its version in shadow."""
        return self._detection.detector.status()

    async def approve(self, who: str, model: str, reason: str) -> list[dict[str, Any]]:
        """The version in shadow becomes active. Raises GatewayError when there is none such, also the next two."""
        _check_reason(reason)
        versions = self._detection.detector.succession
        found = versions.find(model)
        sha256 = found.shadow.sha256 if found.shadow else ""
        if not sha256:
            raise GatewayError(versions.nothing_in_shadow(found))
        await versions.check_next(found, sha256)
        agreement = found.shadow.agreement.status() if found.shadow else {}
        old = found.sha256
        await self._notes.noted(
            "model.approve", who, target=model, old=old, new=sha256, why=reason, agreement=agreement
        )
        await versions.approve(found, sha256)
        return await self.listed(who)

    async def roll_back(self, who: str, model: str, reason: str) -> list[dict[str, Any]]:
        """The version before becomes active again."""
        _check_reason(reason)
        versions = self._detection.detector.succession
        found = versions.find(model)
        opened = await versions.before(found)
        new = opened.file.sha256
        await self._notes.noted("model.rollback", who, target=model, old=found.sha256, new=new, why=reason)
        await versions.roll_back(found, opened)
        return await self.listed(who)

    async def retire(self, who: str, model: str, reason: str) -> list[dict[str, Any]]:
        """The version in shadow is put aside."""
        _check_reason(reason)
        versions = self._detection.detector.succession
        found = versions.find(model)
        if found.shadow is None:
            raise GatewayError(versions.nothing_in_shadow(found))
        await self._notes.noted("model.retire", who, target=model, old=found.shadow.sha256, why=reason)
        await versions.retire(found)
        return await self.listed(who)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise GatewayError("say why, for the audit trail: --reason")
