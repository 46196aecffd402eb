"""How the gateway stands, and what was read and delivered: the commands `status` and `receipts`."""

from typing import Any

from gateway import __version__
from gateway.core.command import Actor, Body
from gateway.operate import device_answers
from gateway.operate.certificate_watch import CertificateWatch
from gateway.operate.reload import Reloads
from gateway.operate.running_parts import RunningParts
from gateway.status import (
    AuditStatus,
    ClockStatus,
    ConfigStatus,
    GatewayStatus,
    LimitStatus,
    ModelStatus,
    WatchStatus,
)


class StatusCommands:
    """Both of them look only."""

    def __init__(self, parts: RunningParts, reloads: Reloads, certificates: CertificateWatch) -> None:
        self._parts = parts
        self._reloads = reloads
        self._certificates = certificates
        self._started_ns = parts.clock.boot_ns()

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {"status": self.status, "receipts": self.receipts}

    async def status(self, by: Actor) -> GatewayStatus:
        """How it stands, with all its parts."""
        return self.now()

    async def receipts(self, by: Actor, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """What each device gave in each hour of [from_ns, to_ns), as far as it has gone."""
        return await self._parts.outbox.receipts.so_far(from_ns, to_ns)

    def now(self) -> GatewayStatus:
        """The same, where nobody asked."""
        parts = self._parts
        config, watching, stalls = parts.config, parts.detection.detector.statuses(), parts.plugins.stalls

        def said_of(part: str) -> list[str]:
            return [*stalls.said_of(part), *parts.outbox.said_of(part)]

        return GatewayStatus(
            gateway=config.gateway.name,
            version=__version__,
            uptime_s=round((parts.clock.boot_ns() - self._started_ns) / 1e9, 1),
            config=ConfigStatus(
                str(config.path),
                config.short_hash,
                loaded=self._reloads.loaded_ns // 1_000_000,
                files=[str(path) for path in config.parts[1:]] or None,
                disabled=[" ".join(part) for part in config.disabled] or None,
            ),
            clock=ClockStatus(parts.outbox.clock_state.words, parts.outbox.epoch),
            devices=device_answers.devices(parts.acquirer.sources, said_of),
            sinks=parts.publishers.status(),
            outbox=parts.outbox.status(),
            models=[each for each in watching if isinstance(each, ModelStatus)],
            limits=[each for each in watching if isinstance(each, LimitStatus)],
            watches=[each for each in watching if isinstance(each, WatchStatus)],
            alarms=parts.detection.alarms.listed(),
            parts=[*parts.detection.parts(), *parts.services.parts()],
            services=parts.services.status(),
            stalls=stalls.listed(),
            parked=[str(problem) for problem in config.parked],
            audit=AuditStatus(parts.audit.damage, parts.audit.failing),
            certificates=self._certificates.statuses(),
        )
