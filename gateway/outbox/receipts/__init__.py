"""Receipts: what was read, accepted and delivered of each device and hour."""

from gateway.outbox.receipts.of_batch import batch_receipt
from gateway.outbox.receipts.period import Tally
from gateway.outbox.receipts.receipt_files import ReceiptFiles, kept
from gateway.outbox.receipts.receipts import Receipts

__all__ = ["ReceiptFiles", "Receipts", "Tally", "batch_receipt", "kept"]
