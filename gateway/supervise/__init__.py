"""Keeping parts alive: the one retry loop, ordered start and stop, health, and word to systemd."""

from gateway.supervise.backoff import Backoff
from gateway.supervise.contained import alone, contained, containing
from gateway.supervise.deadlines import Deadlines
from gateway.supervise.foreign import Foreign
from gateway.supervise.health import Health, State
from gateway.supervise.keep_running import keep_running
from gateway.supervise.running import Running, running

__all__ = [
    "Backoff",
    "Deadlines",
    "Foreign",
    "Health",
    "Running",
    "State",
    "alone",
    "contained",
    "containing",
    "keep_running",
    "running",
]
