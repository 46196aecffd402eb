"""Model files that were made to harm who loads them, or are as bad without any malice; for tests and attacks.

`contents()` gives the bytes of each by name. All have one input `window`, float32[n, 3, 2], and an output `score`, as the
card `tests.detect.graphs.CARD` says, so that nothing but what each was made for speaks against it.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.detect.graphs import CARD, onnx

Makers = dict[str, Callable[[], bytes]]


def contents() -> dict[str, bytes]:
    """Of all files."""
    return {name: make() for name, make in MAKERS.items()}


def model(nodes: Any, constants: Any = (), functions: Any = (), card: Any = CARD, sparse: Any = ()) -> bytes:
    """A file whose score is the largest number of a window, plus the largest of the tensor `extra` that `nodes` make."""
    helper, tensor = onnx().helper, onnx().TensorProto
    node = helper.make_node
    body = [
        node("ReduceMax", ["window"], ["largest"], axes=[1, 2], keepdims=0),
        *nodes,
        node("Cast", ["extra"], ["extra_float"], to=tensor.FLOAT),
        node("ReduceMax", ["extra_float"], ["extra_largest"], keepdims=0),
        node("Add", ["largest", "extra_largest"], ["score"]),
    ]
    graph = helper.make_graph(
        body,
        "hostile",
        [helper.make_tensor_value_info("window", tensor.FLOAT, ["n", 3, 2])],
        [helper.make_tensor_value_info("score", tensor.FLOAT, ["n"])],
        [onnx().numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
        sparse_initializer=list(sparse),
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("own", 1)]
    file = helper.make_model(graph, ir_version=8, opset_imports=domains, functions=list(functions))
    helper.set_model_props(file, {"card": card if isinstance(card, str) else json.dumps(card)})
    return bytes(file.SerializeToString())


def weights(megabytes: int) -> tuple[Any, Any]:
    """Of a model that is large and does no harm: nodes and constants."""
    return [_node("Identity", ["some"], ["extra"])], {"some": np.zeros(megabytes * 2**18, np.float32)}


def _node(*arguments: Any, **attributes: Any) -> Any:
    return onnx().helper.make_node(*arguments, **attributes)


def _first_of_window() -> list[Any]:
    """`value`: one number of the window, as a whole number, [1]."""
    return [
        _node("ReduceMax", ["window"], ["value_float"], keepdims=0),
        _node("Cast", ["value_float"], ["value_0"], to=7),
        _node("Unsqueeze", ["value_0", "axis0"], ["value"]),
    ]


_AXIS0 = {"axis0": np.array([0])}


def _sized(operator: str, inputs: list[str], constants: dict[str, Any], **attributes: Any) -> Callable[[], bytes]:
    return lambda: model([_node(operator, inputs, ["extra"], **attributes)], constants)


def _functions(levels: int, calls: int = 2) -> bytes:
    """Functions of which each calls the next one twice: calls to the power of levels."""
    helper = onnx().helper
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = []
    for level in range(levels):
        inner = (f"F{level + 1}", "own") if level + 1 < levels else ("Abs", "")
        names = ["x", *(f"t{at}" for at in range(calls - 1)), "y"]
        nodes = [_node(inner[0], [names[at]], [names[at + 1]], domain=inner[1]) for at in range(calls)]
        made.append(helper.make_function("own", f"F{level}", ["x"], ["y"], nodes, domains))
    return model([_node("F0", ["window"], ["extra"], domain="own")], functions=made)


def _calls_itself() -> bytes:
    helper = onnx().helper
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    own = helper.make_function("own", "F", ["x"], ["y"], [_node("F", ["x"], ["y"], domain="own")], domains)
    return model([_node("F", ["window"], ["extra"], domain="own")], functions=[own])


def _mask() -> bytes:
    """A function under the name of a standard operator, which the runtime takes instead of it."""
    helper = onnx().helper
    mask = helper.make_function(
        "", "Loop", ["m", "c", "v"], ["y"], [_node("Identity", ["v"], ["y"])], [helper.make_opsetid("", 17)]
    )
    return model(_loop(), {"many": np.array(2**40), "yes": np.array(True)}, [mask])


def _known_name() -> bytes:
    """A function under the name of a contributed operator, which the runtime takes instead of it."""
    helper = onnx().helper
    mask = helper.make_function(
        "com.microsoft", "Gelu", ["v"], ["y"], [_node("Identity", ["v"], ["y"])], [helper.make_opsetid("", 17)]
    )
    return model([_node("Gelu", ["window"], ["extra"], domain="com.microsoft")], functions=[mask])


def _loop() -> list[Any]:
    helper = onnx().helper
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [_node("Identity", ["go"], ["goes"]), _node("Abs", ["v"], ["w"])], "body",
        [info("i", 7, []), info("go", 9, []), info("v", 1, None)], [info("goes", 9, []), info("w", 1, None)],
    )  # fmt: skip
    return [_node("Loop", ["many", "yes", "window"], ["extra"], body=body)]


def _scans(depth: int) -> bytes:
    """Scans within each other over a thousand numbers each: a thousand to the power of `depth` turns."""
    helper = onnx().helper
    info = helper.make_tensor_value_info
    nodes: list[Any] = [_node("Abs", ["s0"], ["r0"])]
    for level in range(depth):
        body = helper.make_graph(
            nodes, f"body{level}", [info(f"s{level}", 1, []), info(f"e{level}", 1, [])], [info(f"r{level}", 1, [])]
        )
        nodes = [_node("Scan", [f"s{level + 1}", "long"], [f"r{level + 1}"], body=body, num_scan_inputs=1)]
    start = _node("ReduceMax", ["window"], [f"s{depth}"], keepdims=0)
    return model([start, *nodes, _node("Identity", [f"r{depth}"], ["extra"])], {"long": np.zeros(1000, np.float32)})


def _ifs_within_ifs(depth: int) -> bytes:
    """Graphs within graphs, written by hand, since the onnx package itself does not get that deep."""

    def part(number: int, value: bytes) -> bytes:
        length = bytearray()
        size = len(value)
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2, *length, size]) + value

    graph = b""
    for _ in range(depth):
        graph = part(1, part(4, b"If") + part(5, part(6, graph)))
    return part(7, graph)


def _slow() -> bytes:
    chain = [_node("MatMul", [f"m{at}", "square"], [f"m{at + 1}"]) for at in range(400)]
    first = [_node("ReduceMax", ["window"], ["m"], keepdims=0), _node("Expand", ["m", "shape"], ["m0"])]
    return model(
        [*first, *chain, _node("Identity", ["m400"], ["extra"])],
        {"square": np.zeros((1000, 1000), np.float32), "shape": np.array([1000, 1000])},
    )


def _by_number_of_windows() -> bytes:
    """Takes 0.8 MB for each window, squared: little for one, all memory for many."""
    nodes = [
        _node("Shape", ["window"], ["shape"], start=0, end=1),
        _node("Mul", ["shape", "shape"], ["squared"]),
        _node("Mul", ["squared", "million"], ["size"]),
        _node("ConstantOfShape", ["size"], ["extra"]),
    ]
    return model(nodes, {"million": np.array([200_000])})


def _branch_by_value() -> bytes:
    helper = onnx().helper
    info = helper.make_tensor_value_info
    cheap = helper.make_graph([_node("Identity", ["one"], ["c"])], "cheap", [], [info("c", 1, None)])
    dear = helper.make_graph(
        [_node("Cast", ["huge"], ["h"], to=7), _node("ConstantOfShape", ["h"], ["d"])], "dear", [], [info("d", 1, None)]
    )
    nodes = [
        _node("ReduceMax", ["window"], ["top"], keepdims=0),
        _node("Greater", ["top", "limit"], ["hot"]),
        _node("If", ["hot"], ["extra"], then_branch=dear, else_branch=cheap),
    ]
    constants = {"one": np.ones(1, np.float32), "limit": np.float32(500), "huge": np.array([2**31], np.float32)}
    return model(nodes, constants)


def _sparse() -> bytes:
    helper = onnx().helper
    values = helper.make_tensor("far", 1, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("at", 7, [1], [0]), [2**31])
    return model([_node("Identity", ["far"], ["extra"])], sparse=[sparse])


def _empty_weights() -> bytes:
    helper = onnx().helper
    file = onnx().load_from_string(model([_node("Abs", ["weights"], ["extra"])]))
    weights = helper.make_tensor("weights", 1, [1], [1.0])
    weights.dims[:] = [2**40]
    file.graph.initializer.append(weights)
    return bytes(file.SerializeToString())


def _long_labels() -> bytes:
    labels = _node(
        "LabelEncoder", ["value"], ["label"], domain="ai.onnx.ml", keys_int64s=[123], values_strings=["x" * 10_000_000],
        default_string="",
    )  # fmt: skip
    return model([*_first_of_window(), labels, _node("Identity", ["value"], ["extra"])], _AXIS0)


def _never_finite() -> bytes:
    nodes = [_node("Sub", ["window", "window"], ["zero"]), _node("Div", ["zero", "zero"], ["extra"])]
    return model(nodes)


def _tree_without_end() -> bytes:
    flat = _node("Flatten", ["window"], ["flat"])
    tree = _node(
        "TreeEnsembleRegressor", ["flat"], ["extra"], domain="ai.onnx.ml", n_targets=1,
        nodes_falsenodeids=[2, 1, 0], nodes_truenodeids=[1, 2, 0], nodes_featureids=[0, 0, 0], nodes_hitrates=[1.0] * 3,
        nodes_missing_value_tracks_true=[0] * 3, nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"], nodes_nodeids=[0, 1, 2],
        nodes_treeids=[0] * 3, nodes_values=[60.0, 100.0, 0.0], post_transform="NONE", target_ids=[0],
        target_nodeids=[2], target_treeids=[0], target_weights=[0.25],
    )  # fmt: skip
    return model([flat, tree])


def _data_range() -> bytes:
    nodes = [*_first_of_window(), _node("Squeeze", ["value", "axis0"], ["end"])]
    nodes += [_node("Range", ["nought", "end", "step"], ["extra"])]
    return model(nodes, {**_AXIS0, "nought": np.array(0), "step": np.array(1)})


_HUGE = {"shape": np.array([2**29]), "one": np.ones(1, np.float32)}
_BIG = np.ones((1, 1, 64, 64), np.float32)

MAKERS: Makers = {
    "card-nested": lambda: _carded("[" * 100_000 + "]" * 100_000),
    "card-objects-nested": lambda: _carded('{"a":' * 100_000 + "1" + "}" * 100_000),
    "card-long": lambda: _carded(json.dumps({**CARD, "author": "x" * 5_000_000})),
    "card-long-number": lambda: _carded('{"format": ' + "1" * 100_000 + "}"),
    "card-wild-numbers": lambda: _carded(json.dumps({**CARD, "threshold": 1e400, "period_ms": 2**70})),
    "card-many-inputs": lambda: _carded(json.dumps({**CARD, "window": 1, "inputs": [CARD["inputs"][0]] * 20_000})),
    "card-large-window": lambda: _carded(json.dumps({**CARD, "window": 500_000})),
    "functions-that-double": lambda: _functions(60),
    "functions-in-a-row": lambda: _functions(3000, 1),
    "function-that-calls-itself": _calls_itself,
    "function-that-masks-an-operator": _mask,
    "function-of-a-known-name": _known_name,
    "loop": lambda: model(_loop(), {"many": np.array(2**40), "yes": np.array(True)}),
    "scans": lambda: _scans(4),
    "graphs-within-graphs": lambda: _ifs_within_ifs(20_000),
    "constant-of-shape": _sized("ConstantOfShape", ["shape"], _HUGE),
    "expand": _sized("Expand", ["one", "shape"], _HUGE),
    "tile": _sized("Tile", ["one", "shape"], _HUGE),
    "pad": _sized("Pad", ["one", "pads"], {**_HUGE, "pads": np.array([0, 2**29])}),
    "range": _sized("Range", ["a", "b", "c"], {"a": np.array(0), "b": np.array(2**28), "c": np.array(1)}),
    "resize": _sized("Resize", ["big", "", "", "to"], {"big": _BIG, "to": np.array([1, 1, 30_000, 30_000])}),
    "conv-transpose": _sized("ConvTranspose", ["big", "kernel"], {"big": _BIG, "kernel": _BIG}, strides=[500, 500]),
    "gather-nd": lambda: model(
        [_node("Expand", ["nought", "to"], ["at"]), _node("GatherND", ["rows", "at"], ["extra"])],
        {"nought": np.zeros((1, 1), np.int64), "to": np.array([1_000_000, 1]), "rows": np.ones((2, 1000), np.float32)},
    ),
    "einsum": _sized("Einsum", ["v", "v", "v", "v"], {"v": np.ones(200, np.float32)}, equation="a,b,c,d->abcd"),
    "matmul-of-expanded": lambda: model(
        [
            _node("Expand", ["one", "column"], ["c"]),
            _node("Expand", ["one", "row"], ["r"]),
            _node("MatMul", ["c", "r"], ["extra"]),
        ],
        {**_HUGE, "column": np.array([40_000, 1]), "row": np.array([1, 40_000])},
    ),
    "by-number-of-windows": _by_number_of_windows,
    "range-to-a-reading": _data_range,
    "shape-of-a-reading": lambda: model([*_first_of_window(), _node("ConstantOfShape", ["value"], ["extra"])], _AXIS0),
    "branch-by-a-reading": _branch_by_value,
    "whole-numbers-divided": lambda: model(
        [*_first_of_window(), _node("Div", ["least", "value"], ["extra"])], {**_AXIS0, "least": np.array([-(2**63)])}
    ),
    "zeros-counted": lambda: model([_node("NonZero", ["window"], ["extra"])]),
    "sparse-and-huge": _sparse,
    "weights-that-are-not-there": _empty_weights,
    "labels-of-megabytes": _long_labels,
    "tree-without-end": _tree_without_end,
    "slow": _slow,
    "never-finite": _never_finite,
    "many-fields": lambda: b"\x08\x08" * 4_000_000,
    "empty": lambda: b"",
    "cut-off": lambda: model([_node("Abs", ["window"], ["extra"])])[:-100],
}


def _carded(card: str) -> bytes:
    return model([_node("Abs", ["window"], ["extra"])], card=card)


_BY_ITS_FORM = {
    "loop", "graphs-within-graphs", "range-to-a-reading", "shape-of-a-reading", "branch-by-a-reading", "zeros-counted",
    "whole-numbers-divided", "sparse-and-huge", "labels-of-megabytes", "many-fields", "empty", "cut-off",
}  # fmt: skip
REFUSED_UNTRIED = {name for name in MAKERS if name.startswith(("card-", "function"))} | _BY_ITS_FORM
"""Those whose text alone, or whose form alone, speaks against them."""
HARMLESS = {"by-number-of-windows"}
"""Taken, but scored in a way that does no harm."""
