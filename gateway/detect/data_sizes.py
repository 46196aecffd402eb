"""Whether what a graph computes, and how much, follows from the number of windows alone.

A graph is tried before it may score, and the trial shows what it costs for the values that were tried. It holds for all
others only if no size and no branch depends on values: else a Range up to what a sensor reads, or a branch that is taken
above 500 °C, could cost any memory and any time later. So each tensor is followed from the input on.
"""

from collections.abc import Mapping, Sequence

from gateway.detect.onnx_graph import Functions, Graph, Name, Node

_ALL = tuple(range(16))
_SIZED = {
    "AffineGrid": (1,), "BlackmanWindow": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2), "Compress": (1,),
    "ConstantOfShape": (0,), "DFT": (1, 2), "Expand": (1,), "HammingWindow": (0,), "HannWindow": (0,), "If": (0,),
    "MaxUnpool": (2,), "MelWeightMatrix": _ALL, "NonZero": (0,), "OneHot": (1,), "Pad": (1, 3), "Range": _ALL,
    "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,), "ReduceLogSumExp": (1,), "ReduceMax": (1,),
    "ReduceMean": (1,), "ReduceMin": (1,), "ReduceProd": (1,), "ReduceSum": (1,), "ReduceSumSquare": (1,),
    "Reshape": (1,), "Resize": (1, 2, 3), "STFT": (1, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,),
    "Tile": (1, 2), "TopK": (1,), "Unique": (0,), "Unsqueeze": (1,), "Upsample": (1,),
}  # fmt: skip
"""By operator, the inputs whose values decide how large a result is, or what is computed."""
_FORGETS_VALUES = ("Shape", "Size")


def sized_by_data(graph: Graph, functions: Mapping[Name, Functions]) -> set[str]:
    """The operators whose result, or course, has a size that depends on the values of the input; none in a good graph.

    What is unknown counts as dependent. The nodes, those of functions at each call included, must be few.
    """
    found: set[str] = set()
    known = dict.fromkeys(graph.constants, False) | {name: True for name in graph.inputs if name not in graph.constants}
    _follow(graph.nodes, known, functions, found)
    return found


def _follow(
    nodes: Sequence[Node], known: dict[str, bool], functions: Mapping[Name, Functions], found: set[str]
) -> None:
    """Note in `known` of each result whether it depends on values of the input."""
    for node in nodes:
        given = [bool(name) and known.get(name, True) for name in node.inputs]
        if node.name in functions:
            depend = [_of_function(body, given, functions, found) for body in functions[node.name]]
            results = [any(column) for column in zip(*depend, strict=False)]
        else:
            operator = node.name[1]
            if any(given[at] for at in _SIZED.get(operator, ()) if at < len(given)):
                found.add(operator)
            inner = [_of_body(body, known, functions, found) for body in node.graphs]
            results = [(any(given) or any(inner)) and operator not in _FORGETS_VALUES] * len(node.outputs)
        known.update((name, at >= len(results) or results[at]) for at, name in enumerate(node.outputs))


def _of_function(
    body: Graph, given: Sequence[bool], functions: Mapping[Name, Functions], found: set[str]
) -> list[bool]:
    known = {name: at < len(given) and given[at] for at, name in enumerate(body.inputs)}
    _follow(body.nodes, known, functions, found)
    return [known.get(name, True) for name in body.outputs]


def _of_body(body: Graph, known: Mapping[str, bool], functions: Mapping[Name, Functions], found: set[str]) -> bool:
    """Of a branch or a loop's body. What is handed to it counts as dependent: what one turn gives, the next one takes."""
    inner = {**known, **dict.fromkeys(body.constants, False), **dict.fromkeys(body.inputs, True)}
    _follow(body.nodes, inner, functions, found)
    return any(inner.get(name, True) for name in body.outputs)
