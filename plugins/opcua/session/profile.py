"""What was learned of a server: how much it bears at a time, and what it does not have. It outlives connections, and
restarts: each server has a small file. That is a hint: the server's own limits are read at each connect, and all is learned
anew after a day."""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.plugin import doubting, parse_json, read_regular

KEPT = 86_400.0
"""Seconds after which it is learned anew: servers are updated."""
MOST_OPERATIONS = 1000
"""Nodes in one request, unless the server bears fewer."""
MOST_BROWSED = 100
"""The same of a request to browse, each of whose answers may be long."""
DISPENSABLE = frozenset(
    {
        "HistoryRead",
        "TransferSubscriptions",
        "SetPublishingMode",
        "Republish",
        "TranslateBrowsePathsToNodeIds",
        "Browse",
    }
)
"""Requests that a server need not know: of one that does not, they are not made again."""
MOST = {"read": MOST_OPERATIONS, "browse": MOST_BROWSED, "translate": MOST_OPERATIONS, "subscribe": MOST_OPERATIONS}
"""Operation → nodes in one request, at most."""
SIZE = 4096
"""Bytes of a file."""
MOST_FILES = 1000


@dataclass(slots=True)
class Profile:
    """One server, as it has shown itself."""

    limits: dict[str, int] = field(default_factory=lambda: dict(MOST))
    """Operation → nodes in one request."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Request → name of the status code with which the server refuses every one of its kind."""
    since: float = field(default_factory=time.time)
    """Wall clock, s."""
    described_at: float = float("-inf")
    """Loop time at which changed nodes were looked up last; not kept."""
    _kept: tuple[Any, ...] = ()
    """What the file holds."""

    @property
    def facts(self) -> dict[str, str | float]:
        """For `status`, and `browse --limits`."""
        lacks = {"lacks": ", ".join(sorted(self.lacks))} if self.lacks else {}
        return {**{f"most_to_{name}": float(limit) for name, limit in self.limits.items()}, **lacks}

    @property
    def is_old(self) -> bool:
        """Whether it has to be learned anew; also where the clock was set back."""
        return not 0 <= time.time() - self.since < KEPT

    def keep(self, url: str, folder: Path) -> None:
        """Write it to its file, if that holds something else. A disk that takes nothing costs what it would have told."""
        now = (dict(self.limits), dict(self.lacks), self.since)
        if now == self._kept:
            return
        told = {"format": 1, "url": url, "limits": self.limits, "lacks": self.lacks, "since": self.since}
        file = _file(url, folder)
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not file.exists():
                kept = sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime)
                for old in kept[: max(0, len(kept) - MOST_FILES + 1)]:
                    old.unlink()
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(told), encoding="utf-8")
            fresh.replace(file)
            self._kept = now


_profiles: dict[str, Profile] = {}


def profile_of(url: str, folder: Path | None = None) -> Profile:
    """What is known of the server at this URL; its file in `folder` is looked at once."""
    known = _profiles.get(url)
    if known is None and folder is not None:
        known = _read(url, folder)
    if known is None or known.is_old:
        for other in [each for each, profile in _profiles.items() if profile.is_old]:
            del _profiles[other]
        known = Profile()
    _profiles[url] = known
    return known


def forget() -> None:
    """All of it, but not what the files hold."""
    _profiles.clear()


def _file(url: str, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _read(url: str, folder: Path) -> Profile | None:
    """None where there is no file, or one that makes no sense, or of another server."""
    with suppress(OSError, ValueError), doubting(ValueError):
        told = parse_json(read_regular(_file(url, folder), SIZE))
        if told["format"] != 1 or told["url"] != url:
            return None
        found = Profile(_limits(told["limits"]), _lacks(told["lacks"]), float(told["since"]))
        found._kept = (dict(found.limits), dict(found.lacks), found.since)
        return found
    return None


def _limits(told: Mapping[str, Any]) -> dict[str, int]:
    return {
        name: told[name] if type(told[name]) is int and 0 < told[name] <= most else most for name, most in MOST.items()
    }


def _lacks(told: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(code)[:100] for name, code in told.items() if name in DISPENSABLE}
