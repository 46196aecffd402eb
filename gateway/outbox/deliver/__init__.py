"""The way out: a reader for each sink.

    Readers ─▶ Reader ─▶ LanePosition ─▶ LaneCursor
    readers.py  reader.py  lane_position.py  format/cursor.py
                what goes  where it stands   what is settled,
                out next   in one lane       and the balance

What a far side refuses waits in `redelivery.py`, or is a dead letter (`dead_letters.py`).
`replay.py` sends history once more.
"""

from gateway.outbox.deliver.dead_letters import DeadLetters, letters
from gateway.outbox.deliver.history import Asked, look, parts
from gateway.outbox.deliver.lane_position import Loss
from gateway.outbox.deliver.reader import Order, Reader
from gateway.outbox.deliver.readers import Readers
from gateway.outbox.deliver.replay import RATE, Replay
from gateway.outbox.deliver.replays import Replays
from gateway.outbox.deliver.unkept import Unkept

__all__ = [
    "RATE",
    "Asked",
    "DeadLetters",
    "Loss",
    "Order",
    "Reader",
    "Readers",
    "Replay",
    "Replays",
    "Unkept",
    "letters",
    "look",
    "parts",
]
