"""Who only looks is told roles, not names."""

from typing import Any

import pytest

from gateway.core.command import Actor
from gateway.core.names import seen_by, without_name, without_names


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("kim (operator)", "operator"),
        ("anna (engineer, quality)", "engineer, quality"),
        ("anna (token 5f0c12ab, viewer)", "viewer"),
        ("김 anna (login.plant.example, engineer)", "engineer"),
        ("anna", "somebody"),
        ("kim (no role)", "somebody"),
        ("kim (admin) (viewer)", "viewer"),
        ("sink central", "sink central"),
        ("", ""),
    ],
)
def test_in_place_of_a_name_stands_its_role(name: str, told: str) -> None:
    assert without_name(name) == told


def test_names_are_found_wherever_they_stand() -> None:
    event = {"by": "kim (operator)", "message": "kim (operator) has shelved hot", "values": [1.0, 2.0], "n": None}
    said: dict[str, Any] = {"alarms": [{"acknowledged": {"by": "kim", "comment": "kim"}}], "events": (event,)}
    told = without_names(said)
    assert told["alarms"][0]["acknowledged"] == {"by": "somebody", "comment": "kim"}
    assert told["events"][0]["message"] == "operator has shelved hot"
    assert told["events"][0]["values"] is event["values"]
    assert next(iter(without_names(iter([event]))))["by"] == "operator"
    assert event["by"] == "kim (operator)"


def test_who_does_more_than_look_sees_them() -> None:
    value = {"by": "kim"}
    assert seen_by(Actor("x", roles=frozenset(("viewer", "operator"))), value) is value
    assert seen_by(Actor("x", roles=frozenset(("viewer",))), value) == {"by": "somebody"}
    assert seen_by(Actor("x"), value) == {"by": "somebody"}
