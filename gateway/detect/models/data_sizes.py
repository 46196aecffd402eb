"""Whether what a graph computes, and how much, follows from the number of windows alone.

A graph is tried before it may score, and the trial shows what it costs for the values that were tried. It holds for all
others only if no size and no branch depends on values: else a Range up to what a sensor reads, or a branch that is taken
above 500 °C, could cost any memory and any time later. So each tensor is followed from the input on. And so is whether it
holds floats: dividing whole numbers by what is computed ends the process where the divisor is 0, or -1 under the least one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.detect.models.onnx_graph import Functions, Graph, Name, Node

_ALL = tuple(range(16))
_SIZED = {
    "BlackmanWindow": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2), "Compress": (1,),
    "ConstantOfShape": (0,), "DFT": (1, 2), "Expand": (1,), "HammingWindow": (0,), "HannWindow": (0,), "If": (0,),
    "MelWeightMatrix": _ALL, "NonZero": (0,), "OneHot": (1,), "Pad": (1, 3), "Range": _ALL,
    "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,), "ReduceLogSumExp": (1,), "ReduceMax": (1,),
    "ReduceMean": (1,), "ReduceMin": (1,), "ReduceProd": (1,), "ReduceSum": (1,), "ReduceSumSquare": (1,),
    "Reshape": (1,), "Resize": (1, 2, 3), "STFT": (1, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,),
    "Tile": (1, 2), "TopK": (1,), "Unique": (0,), "Unsqueeze": (1,), "Upsample": (1,),
}  # fmt: skip
"""By operator, the inputs whose values decide how large a result is, or what is computed."""
_FORGETS_VALUES = ("Shape", "Size")
_DIVIDES = ("Div", "Mod")
_ALWAYS_FLOATS = frozenset(
    {
        "DequantizeLinear", "FeatureVectorizer", "Imputer", "LinearRegressor", "Normalizer", "SVMRegressor", "Scaler",
        "TreeEnsembleRegressor",
    }
)  # fmt: skip
_MAYBE_NO_FLOATS = frozenset(
    {
        "ArgMax", "ArgMin", "BitCast", "Cast", "CastLike", "Constant", "ConstantOfShape", "DynamicQuantizeLinear", "Equal",
        "EyeLike", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "LabelEncoder", "Less", "LessOrEqual",
        "LinearClassifier", "NonZero", "OneHotEncoder", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "SVMClassifier",
        "Shape", "Size", "TreeEnsembleClassifier", "Unique", "ZipMap",
    }
)  # fmt: skip
_TYPE_OF = {"OneHot": 2, "Where": 1}
"""By operator, the input whose type its first result has; for the others it is the first input."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What is known of one."""

    depends: bool
    """Whether its values follow from those of the input."""
    floats: bool
    """Whether it surely holds floating-point numbers."""


_UNKNOWN = _Tensor(depends=True, floats=False)
_ABSENT = _Tensor(depends=False, floats=False)
_INPUT = _Tensor(depends=True, floats=True)
Known = dict[str, _Tensor]


def sized_by_data(graph: Graph, functions: Mapping[Name, Functions]) -> set[str]:
    """The operators whose result, or course, hangs on the values of the input in a way that no trial shows; none in a good
    graph. Its input holds floats.

    What is unknown counts as bad. The nodes, those of functions at each call included, must be few.
    """
    follower = _Follower(functions)
    inputs = dict.fromkeys((name for name in graph.inputs if name not in graph.constants), _INPUT)
    follower.follow(graph.nodes, {**_constants(graph), **inputs})
    return follower.found


def _constants(graph: Graph) -> Known:
    return {name: _Tensor(depends=False, floats=name in graph.floats) for name in graph.constants}


class _Follower:
    def __init__(self, functions: Mapping[Name, Functions]) -> None:
        self._functions = functions
        self.found: set[str] = set()

    def follow(self, nodes: Sequence[Node], known: Known) -> None:
        """Note in `known` what is to be known of each result."""
        for node in nodes:
            given = [known.get(name, _UNKNOWN) if name else _ABSENT for name in node.inputs]
            results = self._of_call(node, given) if node.name in self._functions else self._of_node(node, given, known)
            padded = [*results, *[_UNKNOWN] * len(node.outputs)]
            known.update(zip(node.outputs, padded, strict=False))

    def _of_node(self, node: Node, given: Sequence[_Tensor], known: Known) -> list[_Tensor]:
        operator = node.name[1]
        if any(given[at].depends for at in _SIZED.get(operator, ()) if at < len(given)):
            self.found.add(operator)
        if operator in _DIVIDES and given[1:] and given[1].depends and not any(each.floats for each in given):
            self.found.add(f"{operator} of whole numbers")
        if node.graphs:
            floats = all(each.floats for each in given)
            return _joined([self._of_body(body, known, floats) for body in node.graphs], given)
        depends = any(each.depends for each in given) and operator not in _FORGETS_VALUES
        first = _Tensor(depends, _holds_floats(node, given))
        return [first, *[_Tensor(depends, floats=operator == "Split" and first.floats)] * (len(node.outputs) - 1)]

    def _of_call(self, node: Node, given: Sequence[_Tensor]) -> list[_Tensor]:
        results: list[_Tensor] = []
        for body in self._functions[node.name]:
            inner = {name: given[at] if at < len(given) else _ABSENT for at, name in enumerate(body.inputs)}
            self.follow(body.nodes, inner)
            results = [inner.get(name, _UNKNOWN) for name in body.outputs]
        return results if len(self._functions[node.name]) == 1 else []

    def _of_body(self, body: Graph, known: Known, floats: bool) -> list[_Tensor]:
        """The results of a branch, or of a loop's body: what one turn of it gives, the next one takes."""
        handed = _Tensor(depends=True, floats=floats)
        inner = {**known, **_constants(body), **dict.fromkeys(body.inputs, handed)}
        self.follow(body.nodes, inner)
        return [inner.get(name, _UNKNOWN) for name in body.outputs]


def _joined(bodies: Sequence[Sequence[_Tensor]], given: Sequence[_Tensor]) -> list[_Tensor]:
    """Of a node with several bodies, of which any may be taken."""
    depends = any(each.depends for each in given)
    return [
        _Tensor(depends or any(each.depends for each in column), all(each.floats for each in column))
        for column in zip(*bodies, strict=False)
    ]


def _holds_floats(node: Node, given: Sequence[_Tensor]) -> bool:
    operator = node.name[1]
    if operator in _ALWAYS_FLOATS or node.makes_floats:
        return True
    at = _TYPE_OF.get(operator, 0)
    return operator not in _MAYBE_NO_FLOATS and at < len(given) and given[at].floats
