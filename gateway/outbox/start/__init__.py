"""What a start finds in the log's directory, and makes of it. Nothing here refuses to start."""

from gateway.outbox.start.state import State, load

__all__ = ["State", "load"]
