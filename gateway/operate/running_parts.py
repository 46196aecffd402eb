"""What runs, as whoever operates it sees it."""

from typing import Protocol

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import Config
from gateway.core.clock import Clock
from gateway.core.live import LiveTable
from gateway.detect import Detection
from gateway.operate.audit_log import AuditLog
from gateway.operate.plugins_in_use import PluginsInUse
from gateway.operate.services import Services
from gateway.outbox import Outbox
from gateway.publish import Publishers


class RunningParts(Protocol):
    """The parts of the running gateway. All but the configuration outlive each reload."""

    config: Config
    clock: Clock
    live: LiveTable
    audit: AuditLog
    plugins: PluginsInUse
    outbox: Outbox
    publishers: Publishers
    detection: Detection
    acquirer: Acquirer
    services: Services
