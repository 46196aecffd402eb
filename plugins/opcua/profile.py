"""What was learned of a server: how much it bears at a time, and what it does not have. It outlives connections."""

import time
from dataclasses import dataclass, field

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
OPERATIONS = ("read", "browse", "translate", "subscribe")


@dataclass(slots=True)
class Profile:
    """One server, as it has shown itself."""

    limits: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(OPERATIONS, MOST_OPERATIONS) | {"browse": MOST_BROWSED}
    )
    """Operation → nodes in one request."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Request → name of the status code with which the server refuses every one of its kind."""
    since: float = field(default_factory=time.monotonic)

    @property
    def facts(self) -> dict[str, str | float]:
        """For `status`, and `browse --limits`."""
        lacks = {"lacks": ", ".join(sorted(self.lacks))} if self.lacks else {}
        return {**{f"most_to_{name}": float(limit) for name, limit in self.limits.items()}, **lacks}


_profiles: dict[str, Profile] = {}


def profile_of(url: str) -> Profile:
    """What is known of the server at this URL."""
    known = _profiles.get(url)
    if known is None or time.monotonic() - known.since > KEPT:
        for other in [each for each, profile in _profiles.items() if time.monotonic() - profile.since > KEPT]:
            del _profiles[other]
        known = _profiles[url] = Profile()
    return known


def forget() -> None:
    """All of it."""
    _profiles.clear()
