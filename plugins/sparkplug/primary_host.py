"""The primary host application: while it is not online at a broker, a node that has one says nothing there."""

from dataclasses import dataclass

from gateway.plugin import parse_json

NAMESPACE = "spBv1.0"
LARGEST_STATE = 4096
"""Bytes of a STATE message."""


@dataclass(slots=True)
class PrimaryHost:
    """What one broker says of it (Sparkplug 3.0, 6.4.25 and 5.14)."""

    name: str
    online: bool = False
    ignored: int = 0
    """Statements that were none, or older than the last one."""
    _newest: int | None = None
    """Time of the last statement, ms since 1970, by the host's clock."""

    @property
    def topic(self) -> str:
        """Where it says whether it is online, retained."""
        return f"{NAMESPACE}/STATE/{self.name}"

    def take(self, payload: bytes) -> None:
        """A statement came."""
        try:
            online, stamp = _read(payload)
        except ValueError:
            self.ignored += 1
            return
        if self._newest is not None and stamp < self._newest:
            self.ignored += 1
            return
        self._newest, self.online = stamp, online


def _read(payload: bytes) -> tuple[bool, int]:
    said = parse_json(payload, size=LARGEST_STATE)
    if not isinstance(said, dict):
        raise ValueError("it is no object")
    online, stamp = said.get("online"), said.get("timestamp")
    if not isinstance(online, bool) or not isinstance(stamp, int) or isinstance(stamp, bool):
        raise ValueError("it does not say since when it is online or offline")
    return online, stamp
