"""The status as JSON has the members that scripts rely on, by name and in their order: `status.json` says them of a gateway
of which every part has something to tell. It is never made anew for a change of ours; what is added goes into both."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from gateway import status
from gateway.status import GatewayStatus, ModelStatus, rendered

DUE = json.loads(Path(__file__).with_name("status.json").read_text())


def filled(kind: Any) -> Any:
    """A value of a type, with one element in each list and table."""
    if get_origin(kind) is UnionType:
        return filled(next(each for each in get_args(kind) if each is not NoneType))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{each.name: filled(hints[each.name]) for each in fields(kind)})
    if get_origin(kind) is not None and len(get_args(kind)) == 1:
        return [filled(get_args(kind)[0])]
    if get_origin(kind) is tuple:
        return tuple(filled(each) for each in get_args(kind))
    if get_origin(kind) is not None:
        return {"?": filled(get_args(kind)[1])}
    return {str: "", int: 1, float: 0.5, bool: True, Any: None}[kind]


def places(value: Any, where: str = "") -> Iterator[str]:
    """Every member, in the order of the text."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield f"{where}.{name}"
            yield from places(each, f"{where}.{name}")
    elif isinstance(value, list) and value:
        yield from places(value[0], f"{where}[]")


def test_every_member_of_status_is_where_it_was() -> None:
    assert list(places(rendered(filled(GatewayStatus)))) == DUE["status"]


def test_a_model_that_is_not_loaded_has_no_members_of_one_that_is() -> None:
    assert rendered(ModelStatus(name="a", file="a.onnx", state="starting", reason="", scoring=None)) == {
        "name": "a",
        "file": "a.onnx",
        "state": "starting",
        "reason": "",
    }


def test_answers_of_their_own_have_the_same_members_too() -> None:
    assert list(places(rendered(filled(status.DrainStatus)))) == DUE["drain"]
