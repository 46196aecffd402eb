"""A model that is ready to score: an onnxruntime session that has passed the checks at load.

One intra-op thread and no spinning (spinning threads cost a third of a core at ten calls a second); no memory arena (it
keeps what one large call needed). onnxruntime reports to its vendor unless it is told not to before its import, which
`gateway/__init__.py` does; a test watches that it writes nothing and dials nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.detect.card import Card, Golden
from gateway.detect.onnx_file import ModelError, OnnxFile

INLINE_SECONDS = 1e-3
"""A call that takes longer is made in a thread, so that it does not hold up polling."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of n windows."""

    score: Floats
    """float32[n]; NaN where the model has no answer."""
    contribution: Floats | None
    """float32[n, T], not negative; None when the model gives none."""
    expected: Floats | None
    """float32[n, T] in the units of the inputs; None when the model gives none."""


class Session:
    """Scores windows with one model. `score` may be called from any one thread at a time."""

    def __init__(self, file: OnnxFile, card: Card) -> None:
        """Load and check; takes milliseconds to seconds. Raises ModelError with the reason when the model cannot be used."""
        refusal = file.refusal()
        if refusal:
            raise ModelError(refusal)
        self._card = card
        self._run, self._outputs = _load(file, card)
        self.batched = False
        """Whether a window's score is the same, bit for bit, alone and among others."""
        probe = _probe(card)
        self._check_repeatable(probe)
        if card.golden:
            self._check_golden(card.golden)
        self.batched = self._is_batch_invariant(probe)

    def score(self, windows: Floats) -> Scores:
        """Score float32[n, W, T]. Raises ModelError when the model fails."""
        if self.batched or len(windows) <= 1:
            return self._call(windows)
        return _joined([self._call(windows[row : row + 1]) for row in range(len(windows))])

    def seconds(self, windows: int) -> float:
        """How long `score` takes for this many windows: the shortest of five calls."""
        probe = np.resize(_probe(self._card), (windows, self._card.window, len(self._card.inputs)))
        return min(_timed(lambda: self.score(probe)) for _ in range(5))

    def _call(self, windows: Floats) -> Scores:
        return self._shaped(self._run(np.ascontiguousarray(windows)), len(windows))

    def _shaped(self, outputs: list[Any], count: int) -> Scores:
        found = dict(zip(self._outputs, outputs, strict=True))
        per_tag = (count, len(self._card.inputs))
        return Scores(
            _checked(found["score"], "score", (count,)),
            _checked(found["contribution"], "contribution", per_tag) if "contribution" in found else None,
            _checked(found["expected"], "expected", per_tag) if "expected" in found else None,
        )

    def _check_repeatable(self, probe: Floats) -> None:
        if not _same(self._call(probe[:1]), self._call(probe[:1])):
            raise ModelError("gives different scores for the same input")

    def _check_golden(self, golden: Golden) -> None:
        score = float(self._call(golden.window[np.newaxis]).score[0])
        if not abs(score - golden.score) <= golden.tolerance * max(1.0, abs(golden.score)):
            raise ModelError(f"scores its own golden input as {score:.6g}, the card says {golden.score:.6g}")

    def _is_batch_invariant(self, probe: Floats) -> bool:
        alone = _joined([self._call(probe[row : row + 1]) for row in range(len(probe))])
        try:
            together = [
                _joined([self._call(part) for part in np.split(probe, cuts)]) for cuts in ([], [2], [5], [16, 19])
            ]
        except ModelError:
            return False  # as with a graph made for one window at a time
        return all(_same(alone, other) for other in together)


def _load(file: OnnxFile, card: Card) -> tuple[Callable[[Floats], list[Any]], list[str]]:
    """A function that runs the graph on one array, and the names of the outputs it gives."""
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
    _check_signature(session, card)
    names = [output.name for output in session.get_outputs() if output.name in ("score", "contribution", "expected")]

    def run(windows: Floats) -> list[Any]:
        try:
            return list(session.run(names, {"window": windows}))
        except foreign as error:
            raise ModelError(f"fails on an input of shape {windows.shape}: {_first_line(error)}") from error

    return run, names


def _check_signature(session: Any, card: Card) -> None:
    inputs = {entry.name: entry for entry in session.get_inputs()}
    outputs = {entry.name: entry for entry in session.get_outputs()}
    if list(inputs) != ["window"]:
        raise ModelError(f'must have one input "window", has {_names(inputs)}')
    if "score" not in outputs:
        raise ModelError(f'must have an output "score", has {_names(outputs)}')
    if inputs["window"].type != "tensor(float)":
        raise ModelError(f'input "window" must be float32, is {inputs["window"].type}')
    shape = inputs["window"].shape
    wanted = (card.window, len(card.inputs))
    if len(shape) != 3 or any(
        isinstance(size, int) and size != want for size, want in zip(shape[1:], wanted, strict=True)
    ):
        raise ModelError(f'input "window" has shape {shape}, the card says [batch, {wanted[0]}, {wanted[1]}]')


def _probe(card: Card) -> Floats:
    """24 windows between the trained limits, always the same; the first is the expected values."""
    low = np.array([entry.min for entry in card.inputs])
    span = np.array([entry.max for entry in card.inputs]) - low
    windows = low + span * np.random.default_rng(0).random((24, card.window, len(card.inputs)))
    windows[0] = [entry.expected for entry in card.inputs]
    probe: Floats = windows.astype(np.float32)
    return probe


def _checked(output: Any, name: str, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(output)
    if array.dtype.kind != "f":
        raise ModelError(f'output "{name}" must be float, is {array.dtype}')
    if array.shape not in (shape, (*shape, 1)):
        raise ModelError(f'output "{name}" has shape {list(array.shape)} instead of {list(shape)}')
    return array.reshape(shape).astype(np.float32, copy=False)


def _same(left: Scores, right: Scores) -> bool:
    return _bytes(left) == _bytes(right)


def _bytes(scores: Scores) -> bytes:
    return b"".join(part.tobytes() for part in (scores.score, scores.contribution, scores.expected) if part is not None)


def _joined(parts: list[Scores]) -> Scores:
    contributions = [part.contribution for part in parts if part.contribution is not None]
    expected = [part.expected for part in parts if part.expected is not None]
    return Scores(
        np.concatenate([part.score for part in parts]),
        np.concatenate(contributions) if contributions else None,
        np.concatenate(expected) if expected else None,
    )


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _names(entries: dict[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in entries) or "none"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
