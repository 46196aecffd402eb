"""What blocks the event loop is seen by a thread, said, and left alone by the next start if it was the end of this one."""

from gateway.operate.stalls.stall_watch import BEAT, StallWatch

__all__ = ["BEAT", "StallWatch"]
