"""Points in time as text: RFC 3339, with every nanosecond."""

import re
from datetime import UTC, datetime
from functools import lru_cache

from gateway.core.amounts import parse_duration

EARLIEST, LATEST = -(2**63), 2**63 - 1
"""The times that a column of readings can hold, ns since 1970 UTC."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:\d\d)?", re.IGNORECASE
)
_AGO = re.compile(r"(.+?)\s+ago", re.IGNORECASE)


def rfc3339(t_ns: int) -> str:
    """Nanoseconds since 1970 UTC, such as "2026-11-22T02:33:00.123456789Z"."""
    seconds, ns = divmod(t_ns, 1_000_000_000)
    return f"{_second(seconds)}.{ns:09}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """The inverse; date, minute or second are enough, and without an offset it is local time. Raises ValueError."""
    match = _TIME.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError(text)
        date, minute, second, fraction, offset = match.groups()
        zone = (offset or "").upper().replace("Z", "+00:00")
        moment = datetime.fromisoformat(f"{date}T{minute or '00:00'}:{second or '00'}{zone}")
        seconds = round(moment.timestamp())
    except (ValueError, OverflowError):
        raise ValueError(
            f'write a time such as 2026-11-22, "2026-11-22 02:33" or 2026-11-22T02:33:00Z, or "2h ago", not {text!r}'
        ) from None
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def parse_moment(text: str, now_ns: int) -> int:
    """As `parse_time`, and also "now" and "2h ago" (any duration), seen from `now_ns`. Raises ValueError."""
    if text.strip().lower() == "now":
        return now_ns
    ago = _AGO.fullmatch(text.strip())
    if ago is None:
        return parse_time(text)
    return now_ns - round(parse_duration(ago[1]) * 1e9)
