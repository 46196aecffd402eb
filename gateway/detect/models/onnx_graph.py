"""The graphs and functions of an `.onnx` file, as far as they tell what running them may cost.

An ONNX file is one protobuf message, `ModelProto`; the field numbers below are those of onnx.proto (IR version 3 and later).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.detect.models.protobuf import WireReader, integers, text

MAX_TEXT = 64
"""Bytes of a text within a graph: equations and labels are short, and a long one could be repeated a million times."""
MAX_SPARSE = 16_777_216
"""Numbers of a sparse tensor, zeros included: it is written out when it is loaded."""

_FLOATS = (1, 10, 11, 16)
"""TensorProto.DataType: float, float16, double, bfloat16."""

_STRINGS = b"|".join(rb"\x4a" + re.escape(bytes([length])) + b".{%d}" % length for length in range(MAX_TEXT + 1))
_NUMBERS = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|" + _STRINGS + rb")++", re.DOTALL)
"""Of an AttributeProto the fields `floats` (7), `ints` (8) and short `strings` (9), where each number is a field of its own:
forests have millions of them, and none has to be known."""

Name = tuple[str, str]
"""(domain, operator)"""


@dataclass(slots=True)
class Node:
    """One operator of a graph."""

    name: Name
    inputs: list[str]
    outputs: list[str]
    graphs: "list[Graph]"
    """In its attributes: the branches of If, the body of Scan."""
    makes_floats: bool = False
    """Whether an attribute says so: of Cast the type, of Constant the value."""


@dataclass(slots=True)
class Graph:
    """A graph, or the body of a function."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constants: set[str] = field(default_factory=set)
    floats: set[str] = field(default_factory=set)
    """Those constants that are floating-point numbers."""

    def count(self, functions: "Mapping[Name, Functions]", known: dict[Name, int]) -> int:
        """How many nodes there are, those of subgraphs and, at each call, of functions included. Raises ValueError for
        functions that call themselves, or are handed graphs, which they could use any number of times."""
        count = len(self.nodes)
        for node in self.nodes:
            count += sum(graph.count(functions, known) for graph in node.graphs)
            if node.name in functions:
                if node.graphs:
                    raise ValueError("it hands graphs to its functions")
                count += _of_call(node.name, functions, known)
        return count

    def names(self) -> set[Name]:
        """The operators of all nodes, those of subgraphs included."""
        found = {node.name for node in self.nodes}
        return found.union(*(graph.names() for node in self.nodes for graph in node.graphs))


Functions = list[Graph]
"""Those of one name: a file may hold several, told apart by what a node says further of them."""


def _of_call(name: Name, functions: Mapping[Name, Functions], known: dict[Name, int]) -> int:
    if name not in known:
        known[name] = -1
        known[name] = sum(body.count(functions, known) for body in functions[name])
    if known[name] < 0:
        raise ValueError("its functions call themselves")
    return known[name]


@dataclass(slots=True)
class _Attribute:
    """What is to be known of one."""

    graphs: list[Graph] = field(default_factory=list)
    makes_floats: bool = False


class GraphReader:
    """Reads the graphs of one file. Raises ValueError for what is none."""

    def __init__(self, reader: WireReader) -> None:
        self._fields = reader.fields
        self.external_data = False
        """Whether weights stand in other files."""

    def graph(self, message: memoryview) -> Graph:
        """The graph in a GraphProto."""
        graph = Graph()
        for number, value in self._fields(message):
            match number, value:
                case 1, memoryview():
                    graph.nodes.append(self._node(value))
                case 5, memoryview():
                    name, is_float = self._tensor(value)
                    graph.constants.add(name)
                    if is_float:
                        graph.floats.add(name)
                case 11, memoryview():
                    graph.inputs.append(self._name(value))
                case 12, memoryview():
                    graph.outputs.append(self._name(value))
                case 15, memoryview():
                    graph.constants.add(self._sparse_tensor(value))
        return graph

    def function(self, message: memoryview) -> tuple[Name, Graph]:
        """Name and body of a FunctionProto."""
        name = domain = ""
        body = Graph()
        for number, value in self._fields(message):
            match number, value:
                case 1, _:
                    name = text(value)
                case 4, _:
                    body.inputs.append(text(value))
                case 5, _:
                    body.outputs.append(text(value))
                case 7, memoryview():
                    body.nodes.append(self._node(value))
                case 10, _:
                    domain = text(value)
                case 11, memoryview():
                    self._attribute(value)
        return (domain, name), body

    def _node(self, message: memoryview) -> Node:
        node = Node(("", ""), [], [], [])
        operator = domain = ""
        for number, value in self._fields(message):
            match number, value:
                case 1, _:
                    node.inputs.append(text(value))
                case 2, _:
                    node.outputs.append(text(value))
                case 4, _:
                    operator = text(value)
                case 7, _:
                    domain = text(value)
                case 5, memoryview():
                    attribute = self._attribute(value)
                    node.graphs += attribute.graphs
                    node.makes_floats |= attribute.makes_floats
        node.name = (domain, operator)
        return node

    def _attribute(self, message: memoryview) -> "_Attribute":
        name, kind, found, floats = "", 0, _Attribute(), False
        for number, value in self._fields(message, _NUMBERS):
            match number, value:
                case 1, _:
                    name = text(value)
                case 3, int():
                    kind = value
                case ((4 | 9), memoryview()):
                    _check_text(value)
                case ((6 | 11), memoryview()):
                    found.graphs.append(self.graph(value))
                case ((5 | 10), memoryview()):
                    floats = self._tensor(value)[1]
                case ((22 | 23), memoryview()):
                    self._sparse_tensor(value)
        tells_type = (name == "to" and kind in _FLOATS) or name in ("value_float", "value_floats")
        found.makes_floats = tells_type or (name == "value" and floats)
        return found

    def _name(self, message: memoryview) -> str:
        """Of a ValueInfoProto."""
        return next((text(value) for number, value in self._fields(message) if number == 1), "")

    def _tensor(self, message: memoryview) -> tuple[str, bool]:
        """Its name, and whether it holds floating-point numbers."""
        name, is_float = "", False
        for number, value in self._fields(message):
            match number, value:
                case 2, int():
                    is_float = value in _FLOATS
                case 6, memoryview():
                    _check_text(value)
                case 8, memoryview():
                    name = text(value)
                case (13, _) | (14, 1):
                    self.external_data = True
        return name, is_float

    def _sparse_tensor(self, message: memoryview) -> str:
        """Its name, which is that of its values."""
        name, shape = "", []
        for number, value in self._fields(message):
            match number, value:
                case 1, memoryview():
                    name, _ = self._tensor(value)
                case 2, memoryview():
                    self._tensor(value)
                case 3, _:
                    shape += integers(value)
        if math.prod(shape) > MAX_SPARSE:
            raise ValueError(f"a sparse tensor of it has more than {MAX_SPARSE} numbers")
        return name


def _check_text(value: memoryview) -> None:
    if len(value) > MAX_TEXT:
        raise ValueError(f"a text within its graph is longer than {MAX_TEXT} bytes")
