"""Small model files for the tests, made with the onnx package."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

CARD = {
    "format": 1,
    "name": "oven",
    "version": "2",
    "asset_type": "oven",
    "period_ms": 1000,
    "window": 3,
    "inputs": [
        {"tag": "temp", "unit": "°C", "min": 40.0, "max": 60.0, "expected": 50.0, "max_age_ms": 5000},
        {"tag": "flow", "unit": "l/min", "min": 8.0, "max": 12.0, "expected": 10.0, "max_age_ms": 5000},
    ],
    "threshold": 1.0,
    "raise": {"n": 2, "of": 3},
    "clear": {"n": 3, "of": 3},
    "severity": "alarm",
    "training": {"rows": 100, "sha256": "00"},
    "author": "test",
}


_written = itertools.count(1)


def onnx() -> Any:
    return pytest.importorskip("onnx", reason="needs the package onnx: pip install onnx")


def write(path: Path, content: bytes) -> None:
    """Write the file, and give it a time that no earlier one has: the clock of a file system may stand for 10 ms."""
    path.write_bytes(content)
    moment = path.stat().st_mtime_ns + 10_000_000 * next(_written)
    os.utime(path, ns=(moment, moment))


def save(path: Path, card: Any = CARD, nodes: Any = None, **changes: Any) -> Path:
    """Write a model that scores |mean of temp - 50| / 10 and blames |value - expected| of each tag."""
    onnx()
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    window, inputs = changes.get("shape", (3, 2))
    constant = {
        "center": np.array([50.0, 10.0], np.float32),
        "per_scale": np.array([0.1, 0.5], np.float32),
        "average": np.full((1, 3), 1 / 3, np.float32),
        "pick": np.array([[1.0], [0.0]], np.float32),
        "axis": np.array([1], np.int64),
        "axes": np.array([1, 2], np.int64),
    }
    node = helper.make_node
    plain = [
        node("Sub", ["window", "center"], ["off"]),
        node("Mul", ["off", "per_scale"], ["scaled"]),
        node("MatMul", ["average", "scaled"], ["mean_row"]),
        node("Squeeze", ["mean_row", "axis"], ["mean"]),
        node("Abs", ["mean"], ["contribution"]),
        node("MatMul", ["contribution", "pick"], ["picked"]),
        node("Squeeze", ["picked", "axis"], ["score"]),
    ]
    graph = helper.make_graph(
        plain if nodes is None else nodes,
        "test",
        [helper.make_tensor_value_info("window", changes.get("type", TensorProto.FLOAT), ["batch", window, inputs])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in changes.get("outputs", ["score", "contribution"])
        ],
        [numpy_helper.from_array(value, name) for name, value in constant.items()],
    )
    domains = changes.get("domains", [("", 17)])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid(*domain) for domain in domains])
    if card is not None:
        helper.set_model_props(model, {"card": card if isinstance(card, str) else json.dumps(card)})
    write(path, model.SerializeToString())
    return path
