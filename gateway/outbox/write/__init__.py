"""The way to the disk: who may come in, numbers, bytes, one thread.

    block ─▶ Admission ─▶ Intake ─▶ Writer ─▶ LaneFile
             admission.py  intake.py  writer.py  lane_file.py
             may it?       number,    the one    the file that
                           encode     thread     is written

`lane.py` is a lane as the event loop knows it; `disk.py`, `ballast.py`, `ground.py` are for the disk that takes nothing, is
full, or is gone; `spill.py` holds data back in memory.
"""

from gateway.outbox.write.admission import Admission
from gateway.outbox.write.ballast import NO_ROOM, Ballast
from gateway.outbox.write.disk import Disk
from gateway.outbox.write.fitting import fitted
from gateway.outbox.write.intake import Body, Intake
from gateway.outbox.write.lane import LaneLog
from gateway.outbox.write.lane_file import Entry, Growth, Renewal
from gateway.outbox.write.log_clock import LogClock
from gateway.outbox.write.spill import PROMISES, Spill
from gateway.outbox.write.writer import RESERVED, Group, Writer

__all__ = [
    "NO_ROOM",
    "PROMISES",
    "RESERVED",
    "Admission",
    "Ballast",
    "Body",
    "Disk",
    "Entry",
    "Group",
    "Growth",
    "Intake",
    "LaneLog",
    "LogClock",
    "Renewal",
    "Spill",
    "Writer",
    "fitted",
]
