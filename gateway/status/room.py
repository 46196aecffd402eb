"""How long the outbox has room, by the status as JSON says it: one answer for commands and pages."""

from collections.abc import Mapping
from typing import Any

SETTLED = 60.0
"""Seconds of running after which the growth of the outbox tells how long its room lasts."""


def full_in(status: Mapping[str, Any]) -> float | None:
    """Seconds until the outbox is full if nothing leaves, as it goes now; 0 when it is, None while nobody can know."""
    outbox = status["outbox"]
    room = min(outbox["max_size"] - outbox["size"], outbox["free"] - outbox.get("min_free", 0))
    if room <= 0 or outbox.get("turning_away"):
        return 0.0
    if status["uptime_s"] < SETTLED or not outbox["written_bytes"] or outbox.get("mode") == "spill":
        return None
    return float(room / (outbox["written_bytes"] / status["uptime_s"]))
