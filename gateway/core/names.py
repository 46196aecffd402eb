"""Who sees the names of people: whoever may do more than look. Who only looks is told the role of whoever did something; that
is what he has to know, and a page that anybody on the machine may open names nobody."""

import re
from collections.abc import Iterator
from typing import Any

from gateway.core.command import ADMIN, ENGINEER, OPERATOR, QUALITY, VIEWER, Actor

SOMEBODY = "somebody"
"""In place of a name of which no role is known."""
_ROLES = (VIEWER, OPERATOR, ENGINEER, QUALITY, ADMIN)
_BEHIND = re.compile(r".*\(([^()]*)\)")
"""A name with what it is here behind it: "anna (token 5f0c12ab, viewer)"."""
_PARTS = ("sink ", "service ", "systemd")
"""How names begin that are no person's."""


def sees_names(actor: Actor) -> bool:
    """Whether he may do more than look."""
    return bool(actor.roles - {VIEWER})


def without_name(name: str) -> str:
    """The roles of whoever is called so."""
    if not name or name.startswith(_PARTS):
        return name
    found = _BEHIND.fullmatch(name)
    roles = [each for each in found[1].split(", ") if each in _ROLES] if found else []
    return ", ".join(roles) or SOMEBODY


def without_names(value: Any) -> Any:
    """JSON values with the role in place of each name: names stand in members called "by", and at the beginning of the
    message beside one."""
    if isinstance(value, Iterator):
        return map(without_names, value)
    if isinstance(value, list | tuple):
        plain = not value or not isinstance(value[0], dict | list | tuple)
        return value if plain else [without_names(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {key: without_names(each) if isinstance(each, dict | list | tuple) else each for key, each in value.items()}
    if isinstance(name := value.get("by"), str):
        told["by"] = without_name(name)
        if name and isinstance(said := value.get("message"), str) and said.startswith(name):
            told["message"] = told["by"] + said[len(name) :]
    return told


def seen_by(actor: Actor, value: Any) -> Any:
    """JSON values as he may see them."""
    return value if sees_names(actor) else without_names(value)
