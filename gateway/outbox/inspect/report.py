"""What a verification of a log has found."""

from dataclasses import dataclass, field

from gateway.core.record import Lane


@dataclass(frozen=True, slots=True)
class FileFinding:
    """Something that is not as it was written."""

    file: str
    offset: int | None
    """Byte in the file; None where it is about the whole file."""
    text: str

    def __str__(self) -> str:
        return ": ".join([self.file, *([f"byte {self.offset}"] if self.offset is not None else []), self.text])


@dataclass(slots=True)
class LaneReport:
    """A lane, as its files tell it."""

    files: int = 0
    records: int = 0
    readings: int = 0
    first: int = 0
    last: int = 0
    never_written: int = 0
    """Records that every sink had before they came to the disk (`mode = "spill"`)."""
    total: int = 0
    """Running count behind the last record."""


@dataclass(slots=True)
class LogReport:
    """What was found."""

    log_id: str
    size: int = 0
    lanes: dict[Lane, LaneReport] = field(default_factory=lambda: {lane: LaneReport() for lane in Lane})
    problems: list[FileFinding] = field(default_factory=list)
    remarks: list[FileFinding] = field(default_factory=list)
    """What is worth knowing and in order."""

    @property
    def ok(self) -> bool:
        return not self.problems
