"""The store-and-forward log: a record leaves it only after every sink's far side has acknowledged it."""

from gateway.outbox.outbox import Outbox
from gateway.outbox.reader import Order, Reader

__all__ = ["Order", "Outbox", "Reader"]
