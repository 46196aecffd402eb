"""How the store-and-forward log stands. Sizes in bytes, times in nanoseconds since 1970, all else in records, or in readings
where it says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.status.rendering import FLAT


@dataclass(frozen=True, slots=True)
class FilesStatus:
    """The files of one lane."""

    files: int
    first: int | None
    """The least number in them, and the greatest."""
    last: int | None
    oldest: int | None
    """When their first and their last record was accepted."""
    newest: int | None


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane of the log, whoever reads it."""

    next: int
    """The next record's number."""
    accepted: int
    """Readings, since the log was made."""
    queued: int
    """What waits for the disk."""
    held: int
    """What mode "spill" holds back in memory."""
    files: FilesStatus = field(metadata=FLAT)


@dataclass(frozen=True, slots=True)
class Balance:
    """One lane as one sink has it: accepted = acknowledged + pending + dropped, in readings."""

    accepted: int
    acknowledged: int
    pending: int
    dropped: Mapping[str, int]
    """By reason."""


@dataclass(frozen=True, slots=True)
class BalanceStatus(Balance):
    """The same while the gateway runs."""

    under_way: int
    """Records that were handed out, and not answered yet."""
    oldest: int | None
    """About when the oldest pending one was accepted."""


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """What the log holds for one sink."""

    sink: str
    order: str
    backfill_rate: float | None
    """Readings of history a second; None: no bound."""
    lanes: Mapping[str, BalanceStatus]


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """History that is sent once more."""

    sink: str
    from_: int
    to: int
    devices: Sequence[str]
    running: bool
    done: bool
    outcome: str
    part: float
    """0 to 1."""
    records: int
    readings: int
    under_way: int
    refused: int
    missing: int
    open: int
    last: int | None


@dataclass(frozen=True, slots=True)
class HistoryImportStatus:
    """What a device has recorded itself is imported."""

    device: str
    from_: int
    to: int
    tags: int
    tags_done: int = 0
    running: bool = True
    done: bool = False
    outcome: str = "under way"
    readings: int = 0
    """That were imported."""
    known: int = 0
    """That were left out: the log has them, or their time came twice, or is none of the span."""
    bad: int = 0
    """Of those that were imported."""
    refused: Sequence[Mapping[str, str]] = ()
    """`tag` and `why`, of those that the device gives no history of, the first of them."""
    refused_tags: int = 0
    last: int | None = None
    """How far the present tag is, source time in ns since 1970."""


@dataclass(frozen=True, slots=True)
class DrainedStatus:
    """Whether one sink is through, in readings."""

    sink: str
    state: str
    reason: str
    pending: int
    dropped: int


@dataclass(frozen=True, slots=True)
class DrainStatus:
    """The answer to `drain`."""

    marks: Mapping[str, int]
    """The number below which it is asked, by lane."""
    sinks: Sequence[DrainedStatus]


@dataclass(frozen=True, slots=True)
class BallastStatus:
    """Room kept for the day when the disk is full."""

    size: int
    given_back: int
    """How many times."""


@dataclass(frozen=True, slots=True)
class WearStatus:
    """What the log costs a flash disk."""

    written_bytes: int
    syncs: int
    values: int
    """Readings and events since the start."""
    bytes_per_value: float | None
    bytes_per_second: float
    """Of the last minute."""
    syncs_per_second: float


@dataclass(frozen=True, slots=True)
class DeadStatus:
    """Dead letters: what was refused for good, and is kept."""

    letters: int
    sinks: Mapping[str, int]
    size: int
    given_up: int
    """How many had to make room."""


@dataclass(frozen=True, slots=True)
class RecoveredStatus:
    """What the start found."""

    torn_bytes: int
    damaged: Sequence[str]
    unreadable: Sequence[str]
    skipped: Mapping[str, tuple[int, int]]
    """First and last number that will never be used, by lane."""


@dataclass(frozen=True, slots=True)
class RoomStatus:
    """What the log takes of its disk, and may take."""

    size: int
    max_size: int
    free: int
    inodes: int | None
    removed: Sequence[str]
    """Files that somebody else removed."""
    min_free: int
    keep_s: float
    mode: str
    promise: str
    not_accepted: int
    """Readings and events that are lost."""
    turning_away: Mapping[str, str]
    """Why a lane takes nothing new, by lane."""
    ballast: BallastStatus
    written_bytes: int
    syncs: int
    wear: WearStatus


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The whole log."""

    log: str
    room: RoomStatus = field(metadata=FLAT)
    disk: str
    """"ok", or what is wrong with it."""
    kept: bool
    """Whether what is read is kept on disk."""
    lanes: Mapping[str, LaneStatus]
    dead: DeadStatus
    readers: Sequence[ReaderStatus]
    replays: Sequence[ReplayStatus]
    set_aside: Sequence[str]
    """Folders of logs that could not be gone on with."""
    recovered: RecoveredStatus
