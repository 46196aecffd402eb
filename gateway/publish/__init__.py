"""The way out: records as messages, and the outbox moved into each sink."""

from gateway.publish.encoder import JsonEncoder
from gateway.publish.forms import SharedObjects
from gateway.publish.host import SinkSurroundings
from gateway.publish.publisher import Publisher
from gateway.publish.publishers import Publishers

__all__ = ["JsonEncoder", "Publisher", "Publishers", "SharedObjects", "SinkSurroundings"]
