"""The way out: records as messages, and the outbox moved into each sink."""

from gateway.publish.encoder import JsonEncoder
from gateway.publish.publisher import Publisher

__all__ = ["JsonEncoder", "Publisher"]
