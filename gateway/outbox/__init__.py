"""The store-and-forward log: a record leaves it only after every sink's far side has acknowledged it."""

from gateway.outbox.deliver import Order, Reader
from gateway.outbox.outbox import Outbox, OutboxListener

__all__ = ["Order", "Outbox", "OutboxListener", "Reader"]
