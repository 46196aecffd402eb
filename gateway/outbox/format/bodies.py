"""Events, losses and receipts as JSON, whatever is in them: what a record cannot hold is replaced, and the record says so."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.core.event import Event
from gateway.core.parsing import parse_json
from gateway.core.record import Kind
from gateway.core.text import LONGEST, cleaned, encodable
from gateway.outbox.format.record_reading import check_body

BODY_AT_MOST = 4 * 1024 * 1024
"""Bytes of one."""
NOT_KEPT = "not_kept"
"""Member that names what was replaced or left out."""

_DEEPEST = 32
_NAMED_AT_MOST = 20
_DIGITS = 4000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def body_of(event: Event) -> Mapping[str, Any]:
    """The event as a JSON object, also of one whose parts are not what their types say."""
    try:
        return event.body()
    except Exception as error:  # noqa: BLE001 - somebody else made it
        named = {"event": event.id, "kind": event.kind, "state": event.state, "device": event.device}
        return {**named, "severity": event.severity, "message": event.message, NOT_KEPT: [f"detail: {cleaned(error)}"]}


def encoded(kind: Kind, body: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The object as bytes, and as who reads them sees it. Never raises."""
    try:
        data = orjson.dumps(body, default=str, option=_OPTIONS)
        return data, check_body(kind, parse_json(data, size=BODY_AT_MOST))
    except Exception:  # noqa: BLE001 - an object of somebody else's may raise anything
        return _plainly(body)


def _plainly(body: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    plainly = _Plainly()
    said: dict[str, Any] = plainly.value(body, "", _DEEPEST)
    if "device" in said:
        said["device"] = str(said["device"])
    said[NOT_KEPT] = plainly.replaced
    data = orjson.dumps(said)
    if len(data) > BODY_AT_MOST:
        short = {name: part for name, part in said.items() if not isinstance(part, dict | list)}
        said = {**{name: cleaned(part) if isinstance(part, str) else part for name, part in short.items()}}
        said = {cleaned(name): part for name, part in list(said.items())[:_NAMED_AT_MOST]}
        said[NOT_KEPT] = ["what is longer than a record can be"]
        data = orjson.dumps(said)
    return data, said


class _Plainly:
    """Makes values that JSON can hold, and remembers where it had to change one."""

    def __init__(self) -> None:
        self.replaced: list[str] = []

    def value(self, value: Any, where: str, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, where)
        if isinstance(value, int):
            return self._integer(int(value), where)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, Mapping | list | tuple):
            return self._parts(value, where, depth)
        return self._other(value, where)

    def _text(self, value: str, where: str) -> str:
        text = encodable(str(value))
        if text != value:
            self._say(where, "it holds what is no character")
        return text

    def _integer(self, value: int, where: str) -> int | str:
        if -(1 << 63) <= value < 1 << 64:
            return value
        self._say(where, "an integer of more than 64 bits is kept as a text")
        return str(value) if value.bit_length() < 3 * _DIGITS else hex(value)[:LONGEST]

    def _parts(self, value: Any, where: str, depth: int) -> Any:
        if not depth:
            self._say(where, "it is nested too deep")
            return None
        try:
            if isinstance(value, Mapping):
                named = [(cleaned(key), part) for key, part in value.items()]
                return {key: self.value(part, f"{where}.{key}".lstrip("."), depth - 1) for key, part in named}
            return [self.value(part, f"{where}[{n}]", depth - 1) for n, part in enumerate(value)]
        except Exception as error:  # noqa: BLE001 - see `encoded`
            self._say(where, type(error).__name__)
            return {} if isinstance(value, Mapping) else []

    def _other(self, value: Any, where: str) -> Any:
        try:
            plain = value.tolist() if hasattr(value, "tolist") else str(value)
            return self.value(plain, where, 8) if isinstance(plain, int | float | list) else self._text(plain, where)
        except Exception as error:  # noqa: BLE001 - see `encoded`
            self._say(where, type(error).__name__)
            return f"({type(value).__name__})"

    def _say(self, where: str, why: str) -> None:
        if len(self.replaced) < _NAMED_AT_MOST:
            self.replaced.append(cleaned(f"{where}: {why}"))
