"""ONNX files, written byte by byte, so that no library has a say in what can stand in them (onnx.proto, IR version 8)."""

import json
import struct
from collections.abc import Sequence

from tests.detect.graphs import CARD


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | int | str) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def integers(name: str, values: Sequence[int]) -> bytes:
    """A tensor of int64."""
    raw = b"".join(struct.pack("<q", each) for each in values)
    return field(1, len(values)) + field(2, 7) + field(8, name) + field(9, raw)


def floats(name: str, values: Sequence[float], shape: Sequence[int]) -> bytes:
    raw = struct.pack(f"<{len(values)}f", *values)
    return b"".join(field(1, each) for each in shape) + field(2, 1) + field(8, name) + field(9, raw)


def node(operator: str, inputs: str, outputs: str, domain: str = "", attributes: bytes = b"") -> bytes:
    said = b"".join(field(1, each) for each in inputs.split()) + b"".join(field(2, each) for each in outputs.split())
    return said + field(4, operator) + attributes + (field(7, domain) if domain else b"")


def attribute(name: str, **value: int | bytes) -> bytes:
    """An attribute of a node: `i` an integer, `t` a tensor, `g` a graph."""
    ((kind, told),) = value.items()
    number, code = {"i": (3, 2), "t": (5, 4), "g": (6, 5)}[kind]
    return field(5, field(1, name) + field(number, told) + field(20, code))


def value_info(name: str, *shape: int | str) -> bytes:
    dims = b"".join(field(1, field(2 if isinstance(each, str) else 1, each)) for each in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def model(
    nodes: Sequence[bytes], tensors: Sequence[bytes] = (), functions: Sequence[bytes] = (), card: str = ""
) -> bytes:
    """A file that scores a window of 3 by 2; its nodes make "big" of "window", and the score is big's sum."""
    usual = [
        node("ReduceSum", "big", "sum", attributes=attribute("keepdims", i=0)),
        node("ReduceMean", "window", "usual", attributes=attribute("keepdims", i=1)),
        node("Add", "usual sum", "both"),
        node("Reshape", "both one", "score"),
        node("ReduceMax", "window rows", "contribution", attributes=attribute("keepdims", i=0)),
    ]
    graph = b"".join(field(1, each) for each in (*nodes, *usual))
    graph += field(2, "g") + b"".join(
        field(5, each) for each in (*tensors, integers("one", [-1]), integers("rows", [1]))
    )
    graph += field(11, value_info("window", "batch", 3, 2))
    graph += field(12, value_info("score", "batch")) + field(12, value_info("contribution", "batch", 2))
    opset = b"".join(field(8, field(1, domain) + field(2, version)) for domain, version in (("", 18), ("f", 1)))
    metadata = field(14, field(1, "card") + field(2, card or json.dumps(CARD)))
    return field(1, 8) + opset + field(7, graph) + metadata + b"".join(field(25, each) for each in functions)


def function(name: str, nodes: Sequence[bytes]) -> bytes:
    """A function of domain f that makes "y" of "x"."""
    opset = b"".join(field(9, field(1, domain) + field(2, version)) for domain, version in (("", 18), ("f", 1)))
    return (
        field(1, name)
        + field(4, "x")
        + field(5, "y")
        + b"".join(field(7, each) for each in nodes)
        + opset
        + field(10, "f")
    )
