"""Which certificates end when: those in files that the configuration names, and those that far sides have shown."""

import datetime
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.config.base import Section
from gateway.config.tls import Tls
from gateway.dial.der import CertificateFacts, certificate_facts, certificates_in, name_of, revocation_lists_in
from gateway.places.regular import read_regular

WARN_DAYS = (60, 30, 7, 0)
"""Days before the end at which it is said; a month is what renewing takes in a plant."""
LIST_DAYS = (1, 0)
"""The same for revocation lists, which live for days or weeks."""
BUNDLE = 20
"""A file of more authorities is a system's, some of which have always ended."""
MOST_SEEN = 1000
"""Far sides whose certificates are remembered."""

_LARGEST = 4 * 1024 * 1024
_seen: dict[str, "Dated"] = {}


@dataclass(frozen=True, slots=True)
class Dated:
    """Something that ends."""

    where: str
    """What it is and where it stands, such as "tls certificate /etc/gw.pem"."""
    name: str
    ends: datetime.datetime
    print: str
    """SHA-256, in hex."""
    warn_days: tuple[int, ...] = WARN_DAYS

    def days_left(self, now: datetime.datetime) -> float:
        """Until it ends; negative when it has."""
        return (self.ends - now).total_seconds() / 86_400

    def due(self, now: datetime.datetime) -> int | None:
        """The last of `warn_days` that is reached; None while it is long."""
        return min((days for days in self.warn_days if self.days_left(now) <= days), default=None)

    def words(self, now: datetime.datetime) -> str:
        """When it ends, and what to do."""
        left, day = self.days_left(now), f"{self.ends:%Y-%m-%d %H:%M} UTC"
        when = f"has expired on {day}" if left < 0 else f"expires in {left:.0f} days, on {day}"
        return f"{self.where}: {self.name} {when}: renew it"


def dated_in(options: Iterable[tuple[str, object]]) -> Iterator[Dated]:
    """Of all certificates and revocation lists in the files that a table names. Blocking. What cannot be read is left out:
    whoever uses it says so."""
    for key, value in options:
        with suppress(OSError, ValueError):
            if isinstance(value, Tls):
                yield from _in_tls(value)
            elif isinstance(value, Path) and key.endswith("certificate"):
                yield from _certificates(f"{key} {value}", value)
            elif isinstance(value, Section):
                yield from dated_in(value)


def _in_tls(tls: Tls) -> Iterator[Dated]:
    for option, path in (("certificate", tls.certificate), ("ca", tls.ca)):
        if path is not None:
            with suppress(OSError, ValueError):
                found = list(_certificates(f"tls {option} {path}", path))
                yield from found if len(found) <= BUNDLE else ()
    if tls.crl is not None:
        data = read_regular(tls.crl, _LARGEST)
        for each in revocation_lists_in(data):
            if each.next_update is not None:
                name = f"the list of {name_of(each.issuer)}"
                yield Dated(f"tls crl {tls.crl}", name, each.next_update, _print(data), LIST_DAYS)


def _certificates(where: str, path: Path) -> Iterator[Dated]:
    data = read_regular(path, _LARGEST)
    for each in certificates_in(data) if b"-----BEGIN" in data else [certificate_facts(data)]:
        yield _dated(where, each)


def _dated(where: str, facts: CertificateFacts) -> Dated:
    return Dated(where, facts.name, facts.not_after, _print(facts.der))


def _print(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def note_far_side(host: str, facts: CertificateFacts) -> None:
    """A far side of this name has shown this certificate. Callable from every thread."""
    if host in _seen or len(_seen) < MOST_SEEN:
        _seen[host] = _dated(f"shown by {host}", facts)


def forget_far_sides() -> None:
    """A gateway starts; what was dialled before in this process was not its own."""
    _seen.clear()


def of_far_sides(named: Iterable[str]) -> list[Dated]:
    """The last certificate of each far side whose name stands in one of these texts."""
    texts = list(named)
    return [dated for host, dated in list(_seen.items()) if any(host in text for text in texts)]
