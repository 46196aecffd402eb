"""What people ask of the models and do with their versions, by the control socket; each step is audited before it is done."""

from typing import TypedDict

from gateway.config.mistakes import did_you_mean
from gateway.core.command import Actor, Body
from gateway.core.errors import GatewayError
from gateway.detect import Detection
from gateway.operate.audit_log import AuditLog
from gateway.status import ModelStatus, rendered


class ScoresAnswer(TypedDict):
    """How a model has scored one device over the last day, at most; `ts` and `scores` belong together."""

    device: str
    threshold: float
    """A score above it is unusual."""
    ts: list[int]
    """When each step of two minutes began, milliseconds since 1970, ascending."""
    scores: list[float]
    """The greatest in each."""


class ModelCommands:
    """Every answer but that of `scores` is the list of models as it is then."""

    def __init__(self, detection: Detection, audit: AuditLog) -> None:
        self._detection = detection
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {
            "models": self.listed,
            "scores": self.scores,
            "model_approve": self.approve,
            "model_rollback": self.roll_back,
            "model_retire": self.retire,
        }

    async def listed(self, by: Actor) -> list[ModelStatus]:
        """Every model with what it says of each device, and its version in shadow."""
        return self._detection.detector.status(ModelStatus)

    async def scores(self, by: Actor, model: str, device: str | None = None) -> list[ScoresAnswer]:
        """Of all its devices, or of one, since the gateway started, or the version became active. Raises GatewayError for a
        model that does not run, and a device that it does not watch."""
        watch = self._detection.detector.rollout.find(model).watch
        if watch is None:
            raise GatewayError(f'model "{model}" has failed, and does not score')
        if device is not None and device not in watch.devices:
            raise GatewayError(f'model "{model}" does not watch "{device}"{did_you_mean(device, watch.devices)}')
        threshold = watch.identity.card.threshold
        told = ((each, *watch.scores(each)) for each in watch.devices if device in (None, each))
        return [{"device": each, "threshold": threshold, "ts": ts, "scores": scores} for each, ts, scores in told]

    async def approve(self, by: Actor, model: str, reason: str) -> list[ModelStatus]:
        """The version in shadow becomes active. Raises GatewayError when there is none such."""
        versions = self._detection.detector.rollout
        found = versions.find(model)
        sha256 = found.shadow.sha256 if found.shadow else ""
        if not sha256:
            raise GatewayError(versions.nothing_in_shadow(found))
        await versions.check_next(found, sha256)
        agreement = rendered(found.shadow.agreement.status()) if found.shadow else {}
        old = found.sha256
        said = {"target": model, "old": old, "new": sha256, "why": reason, "agreement": agreement}
        async with self._audit.audited(by, "model.approve", **said):
            await versions.approve(found, sha256)
        return await self.listed(by)

    async def roll_back(self, by: Actor, model: str, reason: str) -> list[ModelStatus]:
        """The version before becomes active again. Raises GatewayError when there is none."""
        versions = self._detection.detector.rollout
        found = versions.find(model)
        opened = await versions.before(found)
        new = opened.file.sha256
        async with self._audit.audited(by, "model.rollback", target=model, old=found.sha256, new=new, why=reason):
            await versions.roll_back(found, opened)
        return await self.listed(by)

    async def retire(self, by: Actor, model: str, reason: str) -> list[ModelStatus]:
        """The version in shadow is put aside. Raises GatewayError when there is none."""
        versions = self._detection.detector.rollout
        found = versions.find(model)
        if found.shadow is None:
            raise GatewayError(versions.nothing_in_shadow(found))
        async with self._audit.audited(by, "model.retire", target=model, old=found.shadow.sha256, why=reason):
            await versions.retire(found)
        return await self.listed(by)
