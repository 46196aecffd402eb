"""How the gateway and each of its parts stands: frozen data, which `rendered` makes the JSON that scripts rely on.

    GatewayStatus ─┬─ devices, sinks, services, parts, stalls, config, clock, audit, certificates (parts.py)
                   ├─ outbox: lanes, readers, replays, dead letters (log.py)
                   └─ models, limits, alarms (watching.py)

`full_in` (room.py) tells how long the outbox has room.

Each part tells its own; metrics and pages walk the whole. A field may be added, never renamed or taken away.
"""

from gateway.status.log import (
    Balance,
    BalanceStatus,
    BallastStatus,
    DeadStatus,
    DrainedStatus,
    DrainStatus,
    FilesStatus,
    HistoryImportStatus,
    LaneStatus,
    OutboxStatus,
    ReaderStatus,
    RecoveredStatus,
    ReplayStatus,
    RoomStatus,
    WearStatus,
)
from gateway.status.parts import (
    AuditStatus,
    CertificateStatus,
    ClockStatus,
    ConfigStatus,
    DeviceStatus,
    GatewayStatus,
    PartStatus,
    ServiceStatus,
    SinkStatus,
    StallStatus,
)
from gateway.status.rendering import rendered
from gateway.status.room import full_in
from gateway.status.watching import (
    AcknowledgedStatus,
    AgreementStatus,
    AlarmStatus,
    DriftStatus,
    LimitedStatus,
    LimitStatus,
    ModelStatus,
    ScoringStatus,
    ShadowStatus,
    ShelvedStatus,
    TriedStatus,
    WatchedStatus,
    WatchStatus,
)

__all__ = [
    "AcknowledgedStatus",
    "AgreementStatus",
    "AlarmStatus",
    "AuditStatus",
    "Balance",
    "BalanceStatus",
    "BallastStatus",
    "CertificateStatus",
    "ClockStatus",
    "ConfigStatus",
    "DeadStatus",
    "DeviceStatus",
    "DrainStatus",
    "DrainedStatus",
    "DriftStatus",
    "FilesStatus",
    "GatewayStatus",
    "HistoryImportStatus",
    "LaneStatus",
    "LimitStatus",
    "LimitedStatus",
    "ModelStatus",
    "OutboxStatus",
    "PartStatus",
    "ReaderStatus",
    "RecoveredStatus",
    "ReplayStatus",
    "RoomStatus",
    "ScoringStatus",
    "ServiceStatus",
    "ShadowStatus",
    "ShelvedStatus",
    "SinkStatus",
    "StallStatus",
    "TriedStatus",
    "WatchStatus",
    "WatchedStatus",
    "WearStatus",
    "full_in",
    "rendered",
]
