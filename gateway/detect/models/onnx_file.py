"""What stands in an `.onnx` file, read without any ONNX library: its metadata, its operators, its SHA-256.

An ONNX file is one protobuf message, `ModelProto`; see `onnx_graph`. Only what has to be known before a model may run is
read: nothing is executed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned, listed
from gateway.detect.models.data_sizes import sized_by_data
from gateway.detect.models.onnx_graph import Functions, Graph, GraphReader, Name
from gateway.detect.models.operators import ALLOWED, RANDOM
from gateway.detect.models.protobuf import Value, WireReader, field, text
from gateway.places.regular import read_regular

MAX_SIZE = 256 * 1024 * 1024
"""Bytes; of a larger file no more is read."""

MAX_NODES = 1000
"""More make a graph slow to load and to run; that of a forest of trees, written node by node, has 2700 where one would do."""
STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_KNOWN_TO_RUNTIMES = ("ai.onnx", "com.microsoft", "com.ms", "org.pytorch")
_NAMED = 5
"""Operators that one refusal names."""
_COUNTED = 10**9
"""Functions that call each other can stand for any number of nodes; a larger one is told as this."""
_TOLD = 2000


class ModelError(GatewayError):
    """A model that cannot be used; the text says why and what to do. It may hold what the file brought, so it is cleaned."""

    def __init__(self, reason: str) -> None:
        super().__init__(cleaned(reason, _TOLD))


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An `.onnx` file that has been read."""

    path: Path
    content: bytes
    sha256: str
    """Its identity, in hex."""
    metadata: dict[str, str]
    operators: frozenset[Name]
    """Of all nodes, those of subgraphs and functions included."""
    functions: frozenset[Name]
    """The functions that the file itself defines."""
    external_data: bool
    """Whether weights stand in other files."""
    nodes: int = 0
    """How many nodes it has, those of subgraphs and, at each call, of functions included."""
    sized_by_data: frozenset[str] = frozenset()
    """Operators that depend on the values of the input as none may, see `data_sizes`; not looked for among too many nodes."""

    def refusal(self) -> str | None:
        """Why this file must not be run at all, or None."""
        random = sorted(name for _, name in self.operators if name in RANDOM)
        if random:
            return f"uses {_named(random)}: a score must not depend on chance"
        if self.external_data:
            return "keeps weights in other files, which its SHA-256 does not cover: save it as one file"
        if masks := sorted(
            f"{domain}.{name}" for domain, name in self.functions if not domain or domain.startswith(_KNOWN_TO_RUNTIMES)
        ):
            return f"defines functions under names of others ({_named(masks)}): give them a domain of their own"
        foreign = sorted(
            f"{domain}.{name}" for domain, name in self.operators - self.functions if domain not in STANDARD_DOMAINS
        )
        if foreign:
            return f"uses operators outside the ONNX standard: {_named(foreign)}"
        if unknown := sorted(name for domain, name in self.operators - self.functions - ALLOWED):
            return f"uses operators that a model here may not use: {_named(unknown)}"
        if self.nodes > MAX_NODES:
            return (
                f"has {min(self.nodes, _COUNTED)} nodes, more than {MAX_NODES}: export it with fused operators; an "
                "IsolationForest of scikit-learn, which is written node by node, with fewer trees (n_estimators=30)"
            )
        if self.sized_by_data:
            return (
                f"computes sizes, branches or divisors from the values that it is given "
                f"({_named(sorted(self.sized_by_data))}), so that nobody can say beforehand what a score costs: export it "
                "with fixed shapes"
            )
        return None


def _named(names: Iterable[str]) -> str:
    return listed([cleaned(name, 100) for name in names], _NAMED)


def read_onnx(path: Path) -> OnnxFile:
    """Read a model file. Raises ModelError when it is missing, too large, no regular file or no ONNX file."""
    return parse_onnx(path, read_content(path))


def read_content(path: Path) -> bytes:
    """The bytes of a model file. Raises ModelError."""
    try:
        return read_regular(path, MAX_SIZE)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; edge-gateway learn makes one") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def with_metadata(content: bytes, key: str, value: str) -> bytes:
    """The file with one more entry in its metadata, such as a model card; the last of a key holds. Protobuf messages are
    joined by writing one behind the other."""
    return content + field(14, field(1, key.encode()) + field(2, value.encode()))


def parse_onnx(path: Path, content: bytes) -> OnnxFile:
    """What stands in a file's bytes; `path` is what it is called. Raises ModelError for what is no ONNX file."""
    with doubting(lambda reason: ModelError(f"{path}: is no ONNX file, or a damaged one: {reason}")):
        return _parsed(path, content)


def _parsed(path: Path, content: bytes) -> OnnxFile:
    metadata: dict[str, str] = {}
    functions: dict[Name, Functions] = {}
    reader = WireReader()
    graphs = GraphReader(reader)
    found: list[Graph] = []
    for number, value in reader.fields(memoryview(content)):
        match number, value:
            case 7, memoryview():
                found.append(graphs.graph(value))
            case 14, memoryview():
                entry: dict[int, Value] = dict(reader.fields(value))
                metadata[text(entry.get(1, memoryview(b"")))] = text(entry.get(2, memoryview(b"")))
            case 25, memoryview():
                name, body = graphs.function(value)
                functions.setdefault(name, []).append(body)
    if len(found) != 1:
        raise ValueError("it holds no graph")
    (graph,) = found
    nodes = graph.count(functions, {})
    return OnnxFile(
        path, content, hashlib.sha256(content).hexdigest(), metadata,
        operators=frozenset(graph.names().union(*(body.names() for bodies in functions.values() for body in bodies))),
        functions=frozenset(functions),
        external_data=graphs.external_data,
        nodes=nodes,
        sized_by_data=frozenset(sized_by_data(graph, functions) if nodes <= MAX_NODES else ()),
    )  # fmt: skip
