"""Who may do what: roles, and who has them by `[access]`.

The kernel says which user asks, and in which groups; names in the configuration become numbers as the machine knows them.
"""

import grp
import os
import pwd
from collections.abc import Collection, Iterable

from gateway.config.model import AccessSection
from gateway.core.command import ADMIN, ENGINEER, OPERATOR, QUALITY, VIEWER

_HOLDS = {
    VIEWER: {VIEWER},
    OPERATOR: {VIEWER, OPERATOR},
    ENGINEER: {VIEWER, OPERATOR, ENGINEER},
    QUALITY: {VIEWER, QUALITY},
    ADMIN: {VIEWER, OPERATOR, ENGINEER, QUALITY, ADMIN},
}
"""Each role with those that it includes."""

ALL = frozenset(_HOLDS)
SINK = "sink:"
"""How the name of a sink begins in the section; no user of a machine can have a colon in his."""


def roles(section: AccessSection, uid: int, groups: Collection[int]) -> frozenset[str]:
    """What a user of the machine may act as, each role with all that it includes. It may take a while where a directory
    service is asked.

    Root and the gateway's own user are admin, whatever the section says; who is named nowhere is what `others` says.
    """
    if uid in (0, os.geteuid()):
        return ALL
    named = [role for role in _HOLDS if any(_is(name, uid, groups) for name in getattr(section, role))]
    if not named and section.others != "none":
        named = [section.others]
    return including(named)


def roles_of_sink(section: AccessSection, sink: str) -> frozenset[str]:
    """What the far side of a sink may act as: what the section gives to "sink:NAME", and to nobody who is not named."""
    return including([role for role in _HOLDS if f"{SINK}{sink}" in getattr(section, role)])


def including(named: Iterable[str]) -> frozenset[str]:
    """The roles with all that they include."""
    return frozenset[str]().union(*(_HOLDS[role] for role in named))


def unknown(section: AccessSection) -> list[str]:
    """Users and groups that are named, and that this machine does not know."""
    return [name for name in _named(section) if not name.startswith(SINK) and _number(name) is None]


def sinks(section: AccessSection) -> list[str]:
    """The sinks that are named."""
    return [name.removeprefix(SINK) for name in _named(section) if name.startswith(SINK)]


def _named(section: AccessSection) -> Iterable[str]:
    return dict.fromkeys(name for role in _HOLDS for name in getattr(section, role))


def _is(name: str, uid: int, groups: Collection[int]) -> bool:
    number = _number(name)
    return number is not None and (number in groups if name.startswith("@") else number == uid)


def _number(name: str) -> int | None:
    try:
        return grp.getgrnam(name[1:]).gr_gid if name.startswith("@") else pwd.getpwnam(name).pw_uid
    except (KeyError, OSError, ValueError):
        return None
