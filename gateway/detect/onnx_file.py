"""What stands in an `.onnx` file, read without any ONNX library: its metadata, its operators, its SHA-256.

An ONNX file is one protobuf message, `ModelProto`; the field numbers below are those of onnx.proto (IR version 3 and
later). Only what has to be known before a model may run is read: nothing is executed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.core.amounts import format_size
from gateway.core.errors import GatewayError
from gateway.detect.operators import ALLOWED, RANDOM

MAX_SIZE = 256 * 1024 * 1024
"""Bytes; a larger file is refused unread."""

MAX_NODES = 1000
"""More make a graph slow to load and to run; that of a forest of trees, written node by node, has 2700 where one would do."""
STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

Value = int | memoryview


class ModelError(GatewayError):
    """A model that cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An `.onnx` file that has been read."""

    path: Path
    content: bytes
    sha256: str
    """Its identity, in hex."""
    metadata: dict[str, str]
    operators: frozenset[tuple[str, str]]
    """(domain, operator) of all nodes, those of subgraphs and functions included."""
    functions: frozenset[tuple[str, str]]
    """(domain, name) of the functions that the file itself defines."""
    external_data: bool
    """Whether weights stand in other files."""
    nodes: int = 0
    """How many nodes it has, those of subgraphs and functions included."""

    def refusal(self) -> str | None:
        """Why this file must not be run at all, or None."""
        random = sorted(name for _, name in self.operators if name in RANDOM)
        if random:
            return f"uses {', '.join(random)}: a score must not depend on chance"
        if self.external_data:
            return "keeps weights in other files, which its SHA-256 does not cover: save it as one file"
        foreign = sorted(
            f"{domain}.{name}" for domain, name in self.operators - self.functions if domain not in STANDARD_DOMAINS
        )
        if foreign:
            return f"uses operators outside the ONNX standard: {', '.join(foreign)}"
        if unknown := sorted(name for domain, name in self.operators - self.functions - ALLOWED):
            return f"uses operators that a model here may not use: {', '.join(unknown)}"
        if self.nodes > MAX_NODES:
            return (
                f"has {self.nodes} nodes, more than {MAX_NODES}: export it with fused operators; an IsolationForest of "
                "scikit-learn, which is written node by node, with fewer trees (n_estimators=30)"
            )
        return None


def read_onnx(path: Path) -> OnnxFile:
    """Read a model file. Raises ModelError when it is missing, too large or no ONNX file."""
    try:
        size = path.stat().st_size
        if size > MAX_SIZE:
            raise ModelError(
                f"{path}: {format_size(size)} is too large for a model; the limit is {format_size(MAX_SIZE)}"
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; edge-gateway learn makes one") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return parse_onnx(path, content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is no ONNX file, or a damaged one: {error}") from error


def with_metadata(content: bytes, key: str, value: str) -> bytes:
    """The file with one more entry in its metadata, such as a model card; the last of a key holds. Protobuf messages are
    joined by writing one behind the other."""
    entry = _field(1, key.encode()) + _field(2, value.encode())
    return content + _field(14, entry)


def _field(number: int, value: bytes) -> bytes:
    length, size = bytearray(), len(value)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value


def parse_onnx(path: Path, content: bytes) -> OnnxFile:
    """What stands in a file's bytes; `path` is what it is called. Raises ValueError for what is no ONNX file."""
    metadata: dict[str, str] = {}
    functions: set[tuple[str, str]] = set()
    seen = _Seen(set())
    graphs = 0
    for number, value in _fields(memoryview(content)):
        match number, value:
            case 7, memoryview():
                graphs += 1
                seen.graph(value)
            case 14, memoryview():
                entry = dict(_fields(value))
                metadata[_text(entry.get(1, memoryview(b"")))] = _text(entry.get(2, memoryview(b"")))
            case 25, memoryview():
                function = dict(_fields(value))
                functions.add((_text(function.get(10, memoryview(b""))), _text(function.get(1, memoryview(b"")))))
                seen.nodes(value, field=7)
    if graphs != 1:
        raise ValueError("it holds no graph")
    sha256 = hashlib.sha256(content).hexdigest()
    return OnnxFile(
        path, content, sha256, metadata, frozenset(seen.operators), frozenset(functions), seen.external_data, seen.count
    )


@dataclass(slots=True)
class _Seen:
    """What a walk over graphs has met so far."""

    operators: set[tuple[str, str]]
    external_data: bool = False
    count: int = 0

    def graph(self, graph: memoryview) -> None:
        self.nodes(graph, field=1)
        for number, value in _fields(graph):
            if number == 5 and isinstance(value, memoryview):
                self._tensor(value)
            elif number == 15 and isinstance(value, memoryview):
                self._sparse_tensor(value)

    def nodes(self, owner: memoryview, field: int) -> None:
        for number, value in _fields(owner):
            if number == field and isinstance(value, memoryview):
                self._node(value)

    def _node(self, node: memoryview) -> None:
        operator = domain = ""
        for number, value in _fields(node):
            match number, value:
                case 4, memoryview():
                    operator = _text(value)
                case 7, memoryview():
                    domain = _text(value)
                case 5, memoryview():
                    self._attribute(value)
        self.operators.add((domain, operator))
        self.count += 1

    def _attribute(self, attribute: memoryview) -> None:
        for number, value in _fields(attribute):
            match number, value:
                case ((6 | 11), memoryview()):
                    self.graph(value)
                case ((5 | 10), memoryview()):
                    self._tensor(value)
                case ((22 | 23), memoryview()):
                    self._sparse_tensor(value)

    def _sparse_tensor(self, sparse: memoryview) -> None:
        for number, value in _fields(sparse):
            if number in (1, 2) and isinstance(value, memoryview):
                self._tensor(value)

    def _tensor(self, tensor: memoryview) -> None:
        if any(number == 13 or (number == 14 and value == 1) for number, value in _fields(tensor)):
            self.external_data = True


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a protobuf message: its numbers with an integer, or with the bytes of what is longer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                integer, at = _varint(data, at)
                yield key >> 3, integer
            case 2:
                length, at = _varint(data, at)
                yield key >> 3, _cut(data, at, length)
                at += length
            case (1 | 5) as kind:
                length = 8 if kind == 1 else 4
                yield key >> 3, _cut(data, at, length)
                at += length
            case kind:
                raise ValueError(f"unknown wire type {kind} at byte {at}")


def _cut(data: memoryview, at: int, length: int) -> memoryview:
    if at + length > len(data):
        raise ValueError("it ends in the middle of a field")
    return data[at : at + length]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


def _text(value: Value) -> str:
    if isinstance(value, int):
        raise ValueError("a number stands where a text belongs")
    return str(value, "utf-8")
