"""Payloads by a template: JSON in the form that other gateways send, or that a plant wants (docs/json.md). What may stand in
one, and what is wrong with it.

A template is the payload itself, as a table. A text that is one placeholder, such as "{value}", becomes that value; other
texts may hold placeholders of names. A table with one of the keys of `LOOPS` is repeated.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import orjson

from gateway.core.context import PLACE, WORK

MESSAGE, RECORD, READING = range(3)
"""What is being written: all of a message that holds several records, one record, one reading."""
_SCOPES = ("a message of several records", "a record", "a reading")

NAMES: Mapping[str, int] = {
    "gateway": MESSAGE,
    **dict.fromkeys(("device", "driver", *PLACE, *WORK, "context"), RECORD),
    **dict.fromkeys(("tag", "type", "unit", "description"), READING),
}
"""Placeholders that are the same for all readings of a tag, and where they are known; these may stand in longer texts."""
SLOTS: Mapping[str, int] = {
    **dict.fromkeys(("ts", "ts_s", "ts_ns", "time"), MESSAGE),
    **dict.fromkeys(("id", "accepted", "historical", "clock", "values", "qualities"), RECORD),
    **dict.fromkeys(("value", "quality", "good", "code"), READING),
}
"""Placeholders that differ from reading to reading or record to record; these stand alone."""
LOOPS: Mapping[str, tuple[int, bool]] = {
    "each_record": (RECORD, False),
    "by_device": (RECORD, True),
    "each_reading": (READING, False),
    "by_tag": (READING, True),
}
"""Keys of a table that is repeated: for what, and whether it becomes an object instead of a list."""
ROWS = ("good", "bad", "flagged")
"""Of which readings, beside all: those that have a value, those that have none, those that are not plainly good."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class TemplateError(ValueError):
    """What is wrong; `place` is where, below the template."""

    def __init__(self, place: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True, slots=True)
class Filled:
    """A value that is put in."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """A name that is put in, as JSON text or as a part of one."""

    name: str
    within: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """A part that is repeated."""

    scope: int
    by_name: bool
    rows: str
    body: "Tokens"


Token = bytes | Filled | Name | Loop
Tokens = Sequence[Token]


@dataclass(frozen=True, slots=True)
class Template:
    """One that is right. `scope`: what a message holds: several records, one, or one reading."""

    scope: int
    tokens: Tokens
    rows: str = ""
    """With one message per reading: of which."""

    used: frozenset[str] = field(default_factory=frozenset)
    """The placeholders in it."""

    @property
    def by_name(self) -> bool:
        """Whether a name of a tag is a key in it, so that a record with two samples of one needs two messages."""
        return any(loop.by_name and loop.scope == READING for loop in _loops(self.tokens))

    @property
    def by_device(self) -> bool:
        """Whether a device's name is a key in it, so that two records of one need two messages."""
        return any(loop.by_name and loop.scope == RECORD for loop in _loops(self.tokens))

    def unsaid(self) -> list[str]:
        """What of the readings such messages do not carry, in words."""
        said = []
        loops = list(_loops(self.tokens))
        rows = {loop.rows for loop in loops} | {self.rows}
        if not self.used & {"quality", "good", "code", "qualities"}:
            left = "readings without a value are left out" if "good" in rows else "a reading without a value is null"
            said.append(f"quality ({left})")
        if "historical" not in self.used:
            said.append("whether readings are historical")
        if not self.used & {"ts", "ts_s", "ts_ns", "time"}:
            said.append("any time")
        elif self.scope != READING and not any(_times(loop.body) for loop in loops if loop.scope == READING):
            said.append("a reading's own time (one time stands for all of a record)")
        if "id" not in self.used:
            said.append("the record's id, by which repeats are found")
        return said


def parse(value: Any, scope: int) -> Template:
    """The template of messages of this scope. Raises TemplateError."""
    if not isinstance(value, Mapping | list):
        raise TemplateError((), 'write a table, such as { ts = "{ts}", values = "{values}" }')
    rows = ""
    if scope == READING and isinstance(value, Mapping) and "only" in value:
        rows = _rows(value["only"], ())
        value = {key: part for key, part in value.items() if key != "only"}
    tokens = tuple(_joined(_walk(value, (), scope)))
    used = frozenset(_used(tokens))
    return Template(scope, tokens, rows, used)


def _walk(value: Any, place: tuple[str | int, ...], scope: int) -> Iterator[Token]:
    if isinstance(value, Mapping):
        loop = [key for key in value if key in LOOPS]
        if loop:
            yield _loop(value, loop[0], place, scope)
            return
        if "only" in value and len(value) > 1:
            raise TemplateError((*place, "only"), f"stands beside {', '.join(LOOPS)}")
        yield b"{"
        for number, (key, part) in enumerate(value.items()):
            yield b"," if number else b""
            yield from _text(str(key), (*place, key), scope)
            yield b":"
            yield from _walk(part, (*place, key), scope)
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"["
        for number, part in enumerate(value):
            yield b"," if number else b""
            yield from _walk(part, (*place, number), scope)
        yield b"]"
    elif isinstance(value, str):
        yield from _placed(value, place, scope)
    elif isinstance(value, bool | int | float):
        yield orjson.dumps(value)
    else:
        raise TemplateError(place, "write a text, a number, true or false, a table or a list; times in quotes")


def _loop(value: Mapping[str, Any], key: str, place: tuple[str | int, ...], scope: int) -> Loop:
    inner, by_name = LOOPS[key]
    if others := [other for other in value if other not in (key, "only")]:
        raise TemplateError((*place, others[0]), f"a table with {key} can have only beside it, and nothing else")
    if inner == RECORD and scope != MESSAGE:
        if scope == READING:
            raise TemplateError((*place, key), f"{key} stands in {_SCOPES[READING]} already: take it out")
        scope = MESSAGE
    if scope == READING:
        raise TemplateError((*place, key), f"{key} stands in {_SCOPES[READING]} already: take it out")
    if key == "by_tag" and scope == MESSAGE:
        raise TemplateError(
            (*place, key), "tags of several devices may have one name: put it under each_record or by_device"
        )
    rows = ""
    if "only" in value:
        if inner == RECORD:
            raise TemplateError((*place, "only"), "stands beside each_reading or by_tag")
        rows = _rows(value["only"], place)
    return Loop(inner, by_name, rows, tuple(_joined(_walk(value[key], (*place, key), inner))))


def _rows(value: Any, place: tuple[str | int, ...]) -> str:
    if value not in ROWS:
        raise TemplateError((*place, "only"), f"write one of {', '.join(ROWS)}")
    return str(value)


def _placed(text: str, place: tuple[str | int, ...], scope: int) -> Iterator[Token]:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is None or whole[1] not in SLOTS:
        yield from _text(text, place, scope)
        return
    name = whole[1]
    _known_here(name, SLOTS[name], place, scope)
    if name in ("values", "qualities") and scope == READING:
        raise TemplateError(
            place, f'{{{name}}} stands for all readings of a record: write "{{value}}" or "{{quality}}"'
        )
    if name == "values":
        yield Loop(READING, True, "", (Filled("value"),))
    elif name == "qualities":
        yield Loop(READING, True, "flagged", (Filled("quality"),))
    else:
        yield Filled(name)


def _text(text: str, place: tuple[str | int, ...], scope: int) -> Iterator[Token]:
    """A text with names in it."""
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None and whole[1] in NAMES:
        _known_here(whole[1], NAMES[whole[1]], place, scope)
        yield Name(whole[1])
        return
    yield b'"'
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        yield _escaped(text[at : found.start()], place)
        at, name = found.end(), found[1]
        if name in SLOTS:
            raise TemplateError(place, f'{{{name}}} must stand alone: write "{{{name}}}"')
        if name not in NAMES:
            raise TemplateError(place, f"unknown placeholder {{{name}}}, {_meant(name)}")
        _known_here(name, NAMES[name], place, scope)
        if name == "context":
            raise TemplateError(place, "{context} is a table and must stand alone")
        yield Name(name, within=True)
    yield _escaped(text[at:], place)
    yield b'"'


def _escaped(text: str, place: tuple[str | int, ...]) -> bytes:
    if "{" in text or "}" in text:
        raise TemplateError(place, 'the braces do not match; write a placeholder as "{value}"')
    return inner(text)


def inner(text: str) -> bytes:
    """A text as it stands between the quotes of JSON."""
    return orjson.dumps(text.encode("utf-8", "replace").decode())[1:-1]


def _known_here(name: str, where: int, place: tuple[str | int, ...], scope: int) -> None:
    if where <= scope:
        return
    if where == READING:
        fix = "set per_tag = true, or put it under each_reading or by_tag"
    else:
        fix = "put it under each_record or by_device"
    raise TemplateError(place, f"{{{name}}} belongs to {_SCOPES[where]}, and this is {_SCOPES[scope]}: {fix}")


def _meant(name: str) -> str:
    known = [*NAMES, *SLOTS]
    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {{{near[0]}}}?" if near else f"write one of {', '.join(f'{{{each}}}' for each in known)}"


def _joined(tokens: Iterator[Token]) -> Iterator[Token]:
    """Neighbouring bytes as one."""
    run = b""
    for token in tokens:
        if isinstance(token, bytes):
            run += token
            continue
        if run:
            yield run
        run = b""
        yield token
    if run:
        yield run


def _loops(tokens: Tokens) -> Iterator[Loop]:
    for token in tokens:
        if isinstance(token, Loop):
            yield token
            yield from _loops(token.body)


def _used(tokens: Tokens) -> Iterator[str]:
    for token in tokens:
        if isinstance(token, Loop):
            yield from _used(token.body)
        elif not isinstance(token, bytes):
            yield token.name


def _times(tokens: Tokens) -> bool:
    return any(isinstance(token, Filled) and token.name in ("ts", "ts_s", "ts_ns", "time") for token in tokens)
