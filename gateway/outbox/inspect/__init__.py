"""A log looked at from outside, also while a gateway writes it: verified, exported. Nothing is changed."""

from gateway.outbox.inspect.export import COLUMNS, Exported, Wanted, blocks, export_csv, rows
from gateway.outbox.inspect.log_files import Cursor, LogFiles
from gateway.outbox.inspect.receipt_hashes import Checked, verify_receipts
from gateway.outbox.inspect.report import LogReport
from gateway.outbox.inspect.verification import verify

__all__ = [
    "COLUMNS",
    "Checked",
    "Cursor",
    "Exported",
    "LogFiles",
    "LogReport",
    "Wanted",
    "blocks",
    "export_csv",
    "rows",
    "verify",
    "verify_receipts",
]
