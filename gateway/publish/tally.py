"""What a sink has achieved since the start, for `status`."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.record import Record


@dataclass
class Tally:
    """Counts since the start of the daemon; the balance over restarts is the outbox's."""

    records: int = 0
    readings: int = 0
    acknowledged_ns: int | None = None
    """Boot time of the last acknowledgement."""
    refused: int = 0
    """Refusals after which the record was sent again."""
    dead: int = 0
    """Records that the far side will never take."""
    refusal: str = ""
    """The last reason given."""

    def acknowledged(self, records: Iterable[Record], boot_ns: int) -> None:
        """The far side took these."""
        for record in records:
            self.records += 1
            self.readings += record.rows
        self.acknowledged_ns = boot_ns

    def not_taken(self, reason: str, final: bool) -> None:
        """The far side took one not."""
        self.refusal = reason
        if final:
            self.dead += 1
        else:
            self.refused += 1
