"""The one place that calls onnxruntime: a graph as a function from windows to arrays.

One intra-op thread and no spinning (spinning threads cost a third of a core at ten calls a second); no memory arena (it
keeps what one large call needed). onnxruntime reports to its vendor unless it is told not to before its import, which
`gateway/__init__.py` does; a test watches that it writes nothing and dials nobody.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.parsing import doubting
from gateway.detect.models.card import Card
from gateway.detect.models.onnx_file import ModelError, OnnxFile

Floats = NDArray[np.float32]
_MEANINGS = ("score", "contribution", "expected")
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class Run:
    """A graph as a function from float32[n, W, T] to arrays by what they mean: "score" and, where the graph has them,
    "contribution" and "expected". Raises ModelError when the graph fails."""

    def __init__(self, session: Any, card: Card, dtype: Any) -> None:
        there = {output.name for output in session.get_outputs()}
        self._meanings = [meaning for meaning in _MEANINGS if getattr(card.graph, meaning) in there]
        self._names = [getattr(card.graph, meaning) for meaning in self._meanings]
        self._session, self._graph, self._dtype = session, card.graph, dtype
        self._options: Any = None

    def __call__(self, windows: Floats) -> Mapping[str, Any]:
        import onnxruntime

        given = _laid_out(windows, self._graph.layout).astype(self._dtype, copy=False)
        options = self._options = onnxruntime.RunOptions()
        with doubting(lambda reason: ModelError(f"fails on an input of shape {given.shape}: {reason}")):
            found = self._session.run(self._names, {self._graph.input: given}, options)
        return dict(zip(self._meanings, found, strict=True))

    def stop(self) -> None:
        """End the call that runs in another thread, at its next node."""
        options = self._options  # the other thread exchanges them
        if options is not None:
            options.terminate = True


def load_graph(file: OnnxFile, card: Card) -> Run:
    """The graph of a file, spoken to as its card says. Raises ModelError when it cannot be loaded or does not fit."""
    with doubting(lambda reason: ModelError(f"onnxruntime cannot load it: {reason}")):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(file.content, options, providers=["CPUExecutionProvider"])
        return Run(session, card, _check_signature(session, card))


def version() -> str:
    """Which onnxruntime scores."""
    import onnxruntime

    return str(onnxruntime.__version__)


def _laid_out(windows: Floats, layout: str) -> Floats:
    """float32[n, W, T] as the graph takes it."""
    if layout == "flat":
        return np.ascontiguousarray(windows).reshape(len(windows), -1)
    return np.ascontiguousarray(windows.transpose(0, 2, 1) if layout == "channels_first" else windows)


def _check_signature(session: Any, card: Card) -> Any:
    """The dtype that the graph takes."""
    graph = card.graph
    inputs = {entry.name: entry for entry in session.get_inputs()}
    outputs = {entry.name: entry for entry in session.get_outputs()}
    if list(inputs) != [graph.input]:
        raise ModelError(f'must have one input "{graph.input}", has {_names(inputs)}')
    if graph.score not in outputs:
        raise ModelError(f'must have an output "{graph.score}", has {_names(outputs)}')
    dtype = _TYPES.get(inputs[graph.input].type)
    if dtype is None:
        raise ModelError(f'input "{graph.input}" must be float32 or float64, is {inputs[graph.input].type}')
    shape = inputs[graph.input].shape
    wanted = _laid_out(np.empty((1, card.window, len(card.inputs)), np.float32), graph.layout).shape[1:]
    if len(shape) != 1 + len(wanted) or any(
        isinstance(size, int) and size != want for size, want in zip(shape[1:], wanted, strict=True)
    ):
        told = ", ".join(map(str, wanted))
        raise ModelError(f'input "{graph.input}" has shape {shape}, the card says [batch, {told}]')
    return dtype


def _names(entries: Mapping[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in entries) or "none"
