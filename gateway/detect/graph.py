"""The one place that calls onnxruntime: a graph as a function from windows to arrays.

One intra-op thread and no spinning (spinning threads cost a third of a core at ten calls a second); no memory arena (it
keeps what one large call needed). onnxruntime reports to its vendor unless it is told not to before its import, which
`gateway/__init__.py` does; a test watches that it writes nothing and dials nobody.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.card import Card
from gateway.detect.onnx_file import ModelError, OnnxFile

Floats = NDArray[np.float32]
Run = Callable[[Floats], Mapping[str, Any]]
"""From float32[n, W, T] to arrays by what they mean: "score" and, where the graph has them, "contribution" and "expected"."""

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def load_graph(file: OnnxFile, card: Card) -> Run:
    """The graph of a file, spoken to as its card says. Raises ModelError when it cannot be loaded or does not fit the card;
    so does the function that is returned when the graph fails."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    foreign: tuple[type[Exception], ...] = (
        RuntimeError, ValueError, errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf,
        errors.NotImplemented, errors.RuntimeException, errors.EPFail, errors.EngineError, errors.NoModel,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(file.content, options, providers=["CPUExecutionProvider"])
    except foreign as error:
        raise ModelError(f"onnxruntime cannot load it: {_first_line(error)}") from error
    dtype = _check_signature(session, card)
    there = {output.name for output in session.get_outputs()}
    meanings = [meaning for meaning in ("score", "contribution", "expected") if getattr(card.graph, meaning) in there]
    names = [getattr(card.graph, meaning) for meaning in meanings]

    def run(windows: Floats) -> Mapping[str, Any]:
        given = _laid_out(windows, card.graph.layout).astype(dtype, copy=False)
        try:
            return dict(zip(meanings, session.run(names, {card.graph.input: given}), strict=True))
        except foreign as error:
            raise ModelError(f"fails on an input of shape {given.shape}: {_first_line(error)}") from error

    return run


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


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
