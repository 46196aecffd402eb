"""Where a value lives by name: symbols as the TIA Portal shows them ('"Mixer 1".Zone[3].Temperature', "Motor_on")."""

import re
from functools import lru_cache
from typing import NamedTuple

_STEP = re.compile(
    r'(?:"([^"\x00-\x1f]{1,128})"|([^\s".\[\],\x00-\x1f]{1,128}))(?:\s*\[\s*(-?\d{1,9}(?:\s*,\s*-?\d{1,9}){0,5})\s*\])?'
)
_PLAIN = re.compile(r"[A-Za-z_À-ɏ][\wÀ-ɏ]*")
_MOST_STEPS = 16


class Step(NamedTuple):
    """A name, and of an array which element."""

    name: str
    element: tuple[int, ...] = ()


@lru_cache(4096)
def parse_symbol(text: str) -> tuple[Step, ...]:
    """The steps of a symbol, the data block or PLC tag first. Raises ValueError with the way to write it."""
    steps: list[Step] = []
    at = 0
    said = text.strip()
    while match := _STEP.match(said, at):
        index = tuple(int(number) for number in match[3].split(",")) if match[3] else ()
        steps.append(Step(match[1] or match[2], index))
        at = match.end()
        if at == len(said) and len(steps) <= _MOST_STEPS:
            return tuple(steps)
        if said[at : at + 1] != ".":
            break
        at += 1
    raise ValueError(f"""{text!r} is no symbol; write it as the TIA Portal shows it: '"Mixer 1".Zone[3].Temperature'""")


def printed(name: str) -> str:
    """A name as symbols write it: in quotes where it is not plain."""
    return name if _PLAIN.fullmatch(name) else f'"{name}"'


def path_of(text: str) -> str:
    """A symbol as a path, without quotes: "Mixer 1/Zone[3]/Temperature". Raises ValueError."""
    steps = [(step.name, ",".join(map(str, step.element))) for step in parse_symbol(text)]
    return "/".join(f"{name}[{index}]" if index else name for name, index in steps)
