"""What a status means for what was posted (RFC 9110 section 15), and how long the server wants to be left alone."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.kit.http_client import HttpAnswer

LONGEST_WAIT = 3600.0
"""Seconds that a server is left alone at most, whatever it says."""
_REDIRECTS = (301, 302, 303, 307, 308)


class Meaning(Enum):
    """What is to be done with a batch."""

    TAKEN = auto()
    LATER = auto()
    """All of it again later: the server is busy."""
    SUSPECT = auto()
    """A record in it may be to blame: looked for by halves, and refused for good."""
    DOUBTFUL = auto()
    """Likewise, and refused for now."""
    LOGIN = auto()
    """Nothing goes before a person, or another token, has mended it."""
    WRONG = auto()
    """The address, or what the server expects there, is wrong: a person must mend it."""


def meaning(status: int) -> Meaning:
    """Of an answer's status."""
    if status == 207:
        return Meaning.WRONG  # each part has a status of its own, in a body of which we know nothing
    if 200 <= status < 300:
        return Meaning.TAKEN
    if status in (401, 407):
        return Meaning.LOGIN
    if status in (408, 409, 423, 425, 429, 502, 503, 504, 507):  # 409: the same key is being worked on
        return Meaning.LATER
    if status < 400 or status in (404, 405, 406, 410, 411, 415, 417, 421, 426, 501, 505, 511):
        return Meaning.WRONG
    return Meaning.DOUBTFUL if status == 403 or status >= 500 else Meaning.SUSPECT


def explained(answer: "HttpAnswer", url: str, who: str) -> str:
    """An answer that is no yes, with what a person can do."""
    said = f"{url} answers {answer.status}" + (f" ({answer.words})" if answer.words else "")
    if answer.status in _REDIRECTS:
        return f"{said} and points to {answer.headers.get('location', '?')[:300]}: set url to that, if you trust it"
    if fix := _FIXES.get(answer.status):
        return f"{said}: {fix.format(who=who)}"
    return said


_FIXES = {
    207: "each record by itself, which is not understood: it must answer 200 when all is kept, and else no 2xx",
    401: "correct {who}",
    403: "let {who} post there",
    404: "is the path of url right?",
    405: "it takes no POST there; is the path of url right?",
    406: "it must be able to answer in JSON",
    407: "a proxy on the way wants to know who we are",
    410: "nothing is there any more; set another url",
    411: "it does not understand Content-Length; is that an HTTP/1.1 server?",
    413: "raise its limit, or set batch_bytes lower; a single record: spread the device's tags over several [[device]]",
    415: "it does not take this kind of body: set body, or compress = false",
    421: "this server is not meant for that host; correct url",
    426: "it wants another protocol than HTTP/1.1",
    501: "it knows no POST",
    511: "something on the way wants a login, such as a guest network",
}


def wait_of(answer: "HttpAnswer", now: datetime | None = None) -> float | None:
    """Seconds by Retry-After (RFC 9110 section 10.2.3), as a number or a date; None without, or where it makes no sense."""
    said = answer.headers.get("retry-after", "").strip()[:100]
    if not said:
        return None
    if said.isascii() and said.replace(".", "", 1).isdigit():
        seconds = float(said)
    else:
        try:
            until = parsedate_to_datetime(said)
        except (ValueError, TypeError, OverflowError):
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        base = now or _date_of(answer) or datetime.now(UTC)
        seconds = (until - base).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else LONGEST_WAIT


def _date_of(answer: "HttpAnswer") -> datetime | None:
    """What the server's own clock says, so that ours may be wrong."""
    try:
        found = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
