"""Writes an `.onnx` file without any ONNX library: one protobuf message, `ModelProto`, numbered as in onnx.proto."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPSET = 17
_FLOAT, _INT64 = 1, 7
_KIND_INT, _KIND_INTS = 2, 7

Attribute = int | Sequence[int]
Dimension = int | str
"""A size, or the name of one that is open."""


def node(operator: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> bytes:
    """One operator of the graph, with one output."""
    named = b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
    return b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator) + named


def model(
    name: str,
    nodes: Iterable[bytes],
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]],
    inputs: dict[str, Sequence[Dimension]],
    outputs: dict[str, Sequence[Dimension]],
) -> bytes:
    """A whole file; inputs and outputs are float32 of these shapes."""
    graph = b"".join(_bytes(1, each) for each in nodes) + _text(2, name)
    graph += b"".join(_bytes(5, _tensor(called, value)) for called, value in constants.items())
    graph += b"".join(_bytes(11, _described(called, shape)) for called, shape in inputs.items())
    graph += b"".join(_bytes(12, _described(called, shape)) for called, shape in outputs.items())
    opset = _text(1, "") + _integer(2, OPSET)
    return _integer(1, IR_VERSION) + _text(2, "edge-gateway") + _bytes(7, graph) + _bytes(8, opset)


def _tensor(name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    is_float = value.dtype.kind == "f"
    raw = np.ascontiguousarray(value, "<f4" if is_float else "<i8").tobytes()
    dims = b"".join(_integer(1, size) for size in value.shape)
    return dims + _integer(2, _FLOAT if is_float else _INT64) + _text(8, name) + _bytes(9, raw)


def _described(name: str, shape: Sequence[Dimension]) -> bytes:
    dims = b"".join(_bytes(1, _text(2, size) if isinstance(size, str) else _integer(1, size)) for size in shape)
    tensor = _integer(1, _FLOAT) + _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _integer(3, value) + _integer(20, _KIND_INT)
    return _text(1, name) + b"".join(_integer(8, each) for each in value) + _integer(20, _KIND_INTS)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
