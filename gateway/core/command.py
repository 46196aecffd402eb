"""What a command of the running gateway is: what it is called with, who may, and who asks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.arguments import Argument

VIEWER, OPERATOR, ENGINEER, QUALITY, ADMIN = "viewer", "operator", "engineer", "quality", "admin"
"""Roles; which includes which is in `gateway.trust.access`."""


@dataclass(slots=True)
class Actor:
    """Who asks for a command."""

    name: str
    """For the audit trail: as the kernel says, or who logged in and as what."""
    uid: int | None = None
    roles: frozenset[str] = frozenset()
    """What he may act as, each with all that it includes."""
    commands: frozenset[str] | None = None
    """The only ones that he may ask for, of those that his roles allow; None: all of them."""
    remarks: list[str] = field(default_factory=list)
    """What should be said beside the answer."""
    in_trail: bool = False
    """Whether the audit trail tells already of what he asks for."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a command is called with."""

    arguments: Mapping[str, Argument] = field(default_factory=dict)
    role: str = VIEWER
    """Who has it may."""
    at_once: bool = False
    """It waits for nothing, neither a device nor a disk, so it waits for no other command of the same user either."""
    does: str = ""
    """What it does, in half a sentence, for people."""
    audited: bool = False
    """It changes something: it is in the audit trail before it is done, and what came of it after."""


Body = Callable[..., Awaitable[Any]]
"""Called with the Actor and the arguments by name; returns JSON values (an iterator means a long list), or raises
GatewayError for the person."""
