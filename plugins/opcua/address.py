"""Node ids as people write them (OPC 10000-6 §5.1.12), and ways of names to nodes."""

import base64
import binascii
import re
import uuid
from dataclasses import dataclass

_PARTS = re.compile(r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<text>.+)", re.DOTALL | re.ASCII)
_EXAMPLES = '"nsu=http://vendor.example/line;s=Boiler.Temp", "ns=2;s=Boiler.Temp" or "ns=3;i=1001"'


@dataclass(frozen=True, slots=True)
class Address:
    """A node id whose namespace is an index, or a URI that only the server can turn into one."""

    namespace: int | str
    identifier: int | str | uuid.UUID | bytes

    def __str__(self) -> str:
        namespace = self.namespace
        if isinstance(namespace, str):
            start = f"nsu={namespace.replace('%', '%25').replace(';', '%3B')};"
        else:
            start = f"ns={namespace};" if namespace else ""
        match self.identifier:
            case int():
                return f"{start}i={self.identifier}"
            case bytes():
                return f"{start}b={base64.b64encode(self.identifier).decode()}"
            case uuid.UUID():
                return f"{start}g={self.identifier}"
        return f"{start}s={self.identifier}"


@dataclass(frozen=True, slots=True)
class NamePath:
    """The names on the way from the folder Objects to a node, as `browse` shows them: they stay right whatever ids the
    server gives to nodes and namespaces at its next start."""

    steps: tuple[str, ...]

    def __str__(self) -> str:
        return PATH + "/".join(self.steps)


PATH = "path="
_LONGEST_WAY = 100
"""Steps of a path."""


def parse_place(text: str) -> Address | NamePath:
    """The node id or path that `text` means. Raises ValueError with the ways to write one."""
    if not text.startswith(PATH):
        return parse_address(text)
    steps = tuple(text.removeprefix(PATH).split("/"))
    if not all(steps) or len(steps) > _LONGEST_WAY:
        raise ValueError(
            f'write the names on the way from the folder Objects, with "/" between them, as browse shows them: '
            f'"path=Machines/Robot/Axis_1/ActualPosition", not {text!r}'
        )
    return NamePath(steps)


def parse_address(text: str) -> Address:
    """The node id that `text` means. Raises ValueError with the ways to write one."""
    parts = _PARTS.fullmatch(text)
    if not parts:
        raise ValueError(f"write a node id such as {_EXAMPLES}, not {text!r}")
    namespace: int | str = int(parts["index"] or 0)
    if parts["uri"]:
        namespace = parts["uri"].replace("%3B", ";").replace("%3b", ";").replace("%25", "%")
    elif int(namespace) > 0xFFFF:
        raise ValueError(f"the namespace index must be at most 65535, not {namespace}")
    return Address(namespace, _identifier(parts["kind"], parts["text"]))


_STEP = r"(?:[^.\[\]]+|\[[0-9]+\])"
_PATH = re.compile(rf"{_STEP}(?:\.[^.\[\]]+|\[[0-9]+\])*")
_RANGE = re.compile(r"\d+(:\d+)?(,\d+(:\d+)?)*", re.ASCII)


def parse_member(text: str) -> list[str | int]:
    """The steps into a structure that `text` means: names, and places in arrays. Raises ValueError."""
    if not _PATH.fullmatch(text):
        raise ValueError(f'write a member of the structure, such as "temperature" or "zones[2].limit", not {text!r}')
    return [int(step[1:-1]) if step.startswith("[") else step for step in re.findall(_STEP, text)]


def check_range(text: str) -> None:
    """Raises ValueError unless `text` is a part of an array (OPC 10000-4 §7.27)."""
    spans = [[int(bound) for bound in part.split(":")] for part in text.split(",")] if _RANGE.fullmatch(text) else []
    if not spans or any(len(span) == 2 and not span[0] < span[1] for span in spans):
        raise ValueError(
            f'write the element\'s place, such as "3", or the first and the last, such as "0:9", not {text!r}'
        )


def _identifier(kind: str, text: str) -> int | str | uuid.UUID | bytes:
    try:
        match kind:
            case "i" if re.fullmatch(r"\d+", text, re.ASCII) and int(text) <= 0xFFFF_FFFF:
                return int(text)
            case "g":
                return uuid.UUID(text)
            case "b":
                return base64.b64decode(text, validate=True)
            case "s":
                return text
    except (ValueError, binascii.Error):
        pass
    wanted = {"i": "a number up to 4294967295", "g": "a GUID", "b": "base64"}[kind]
    raise ValueError(f'"{kind}=" must be followed by {wanted}, not {text!r}; for a name write "s={text}"')
