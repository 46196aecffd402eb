"""A model that is ready to score: a graph that has passed the checks at load.

`open_model` makes one from a file; it and `ModelSession` need no daemon, so that tools score as the running gateway does.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from gateway.core.amounts import format_size
from gateway.detect.models.card import Card, Golden, parse_card
from gateway.detect.models.graph import Floats, load_graph
from gateway.detect.models.onnx_file import ModelError, OnnxFile, read_onnx
from gateway.detect.models.trial import Trial
from gateway.trust.signature import SignatureError, signer

R = TypeVar("R")

INLINE_SECONDS = 1e-3
"""A call that takes longer is made in a thread, so that it does not hold up polling."""
_NEARNESS = (1.0, 0.3, 0.1, 0.03)
_CUTS: tuple[list[int], ...] = (
    [], [1], [2], [3], [4], [5], [6], [7], [8], [9], [10], [11], [12], [16, 19], [1, 4, 8, 14], [7, 16],
)  # fmt: skip
"""So that windows are scored together by each number from 1 to 24."""
MAX_CELLS_IN_ALL = 8_000_000
"""Numbers in the windows of all devices of one model."""
MEMORY_IN_ALL = 512 * 1024 * 1024
"""Bytes that all models of a gateway may take together."""
_TIMED_SECONDS = 2.0
LOAD_CPU_SECONDS = 3.0
"""CPU time that a graph may take to be loaded."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of n windows."""

    score: Floats
    """float32[n]; NaN where the model has no answer."""
    contribution: Floats | None
    """float32[n, T], not negative; None when the model gives none."""
    expected: Floats | None
    """float32[n, T] in the units of the inputs; None when the model gives none."""

    def of(self, row: int) -> "Scores":
        """Those of one window."""
        parts = (self.score, self.contribution, self.expected)
        score, contribution, expected = (None if part is None else part[row : row + 1] for part in parts)
        assert score is not None
        return Scores(score, contribution, expected)

    def repeated(self, count: int) -> "Scores":
        """Of so many windows, which are these again and again."""
        rows = np.arange(count) % len(self.score)
        contribution, expected = (None if part is None else part[rows] for part in (self.contribution, self.expected))
        return Scores(self.score[rows], contribution, expected)


class ModelSession:
    """Scores windows with one model. `score` and `explain` may be called from any one thread at a time.

    What it is given is float32[n, W, T]; a model of pictures would be another class with these methods.
    """

    def __init__(self, file: OnnxFile, card: Card, sizes: Sequence[int] = (), assets: int = 1) -> None:
        """Load; takes milliseconds to seconds. `sizes` are those that a trial has found; without, all checks are made here,
        for so many assets. Raises ModelError with the reason when the model cannot be used."""
        refusal = file.refusal()
        if refusal:
            raise ModelError(refusal)
        self._card = card
        self._run = _timely(lambda: load_graph(file, card))
        self.sizes = tuple(sizes) or self._checked(assets)
        """How many windows may be scored together, ascending: for these, each score is the same, bit for bit, as alone."""

    @property
    def batched(self) -> bool:
        """Whether windows can be scored together."""
        return self.sizes[-1] > 1

    def stop(self) -> None:
        """End the call that another thread waits for; it raises ModelError then, or, where onnxruntime does not heed it,
        goes on."""
        self._run.stop()

    def score(self, windows: Floats) -> Scores:
        """Score float32[n, W, T]. Raises ModelError when the model fails."""
        if len(windows) in self.sizes or not len(windows):
            return self._call(windows)
        parts, at = [], 0
        while at < len(windows):
            size = self.sizes[bisect_right(self.sizes, len(windows) - at) - 1]
            parts.append(self._call(windows[at : at + size]))
            at += size
        return _joined(parts)

    def explain(self, window: Floats) -> Scores:
        """Score one window, float32[W, T], with the contribution of each tag. Where the graph gives none, it is by how much
        the score falls when that tag is what it usually is (occlusion), which costs T + 1 scores. Raises ModelError."""
        alone = self.score(window[np.newaxis])
        if alone.contribution is not None:
            return alone
        inputs = len(self._card.inputs)
        hidden = np.repeat(window[np.newaxis], inputs, axis=0)
        for place, entry in enumerate(self._card.inputs):
            hidden[place, :, place] = entry.expected
        fall = np.nan_to_num(alone.score[0] - self.score(hidden).score)
        return Scores(alone.score, np.maximum(fall, 0).astype(np.float32)[np.newaxis], alone.expected)

    def explain_seconds(self) -> float:
        """How long `explain` takes: the shortest of three calls."""
        window = _probe(self._card)[0]
        return min(_timed(lambda: self.explain(window)) for _ in range(3))

    def seconds(self, windows: int) -> float:
        """How long `score` takes for this many windows: the shortest of up to five calls."""
        probe = np.resize(_probe(self._card), (windows, self._card.window, len(self._card.inputs)))
        spent = [_timed(lambda: self.score(probe))]
        while len(spent) < 5 and sum(spent) < _TIMED_SECONDS:
            spent.append(_timed(lambda: self.score(probe)))
        return min(spent)

    def _call(self, windows: Floats) -> Scores:
        found, count, graph = self._run(windows), len(windows), self._card.graph
        per_tag = (count, len(self._card.inputs))
        score = _checked(found["score"], graph.score, (count,))
        if (graph.scale, graph.offset) != (1.0, 0.0):
            score = score * np.float32(graph.scale) + np.float32(graph.offset)
        return Scores(
            score,
            _checked(found["contribution"], graph.contribution, per_tag) if "contribution" in found else None,
            _checked(found["expected"], graph.expected, per_tag) if "expected" in found else None,
        )

    def _checked(self, assets: int) -> tuple[int, ...]:
        """Check all that can be checked, and find the sizes."""
        probe = _probe(self._card)
        if not same(self._call(probe[:1]), self._call(probe[:1])):
            raise ModelError("gives different scores for the same input")
        alone = _joined([self._call(probe[row : row + 1]) for row in range(len(probe))])
        if self._card.golden:
            self._check_golden(self._card.golden)
        elif not np.isfinite(alone.score).any():
            raise ModelError(
                f"gives no finite score: not for what its card calls usual, nor for any of {len(probe)} windows within the "
                "trained range; is it fed in the right order and units, and was it exported whole?"
            )
        return self._found_sizes(probe, alone, assets)

    def _check_golden(self, golden: Golden) -> None:
        score = float(self._call(golden.window[np.newaxis]).score[0])
        if not abs(score - golden.score) <= golden.tolerance * max(1.0, abs(golden.score)):
            raise ModelError(f"scores its own golden input as {score:.6g}, the card says {golden.score:.6g}")

    def _found_sizes(self, probe: Floats, alone: Scores, assets: int) -> tuple[int, ...]:
        try:
            together = [_joined([self._call(part) for part in np.split(probe, cuts)]) for cuts in _CUTS]
        except ModelError:
            return (1,)  # as with a graph made for one window at a time
        if not all(same(alone, other) for other in together):
            return (1,)
        powers = (1 << power for power in range(assets.bit_length()))
        larger = sorted({size for size in (*powers, assets) if size > len(probe)})
        return (*range(1, len(probe) + 1), *(size for size in larger if self._is_same(probe, alone, size)))

    def _is_same(self, probe: Floats, alone: Scores, size: int) -> bool:
        """Whether so many windows together score as they do alone."""
        try:
            return same(self._call(np.resize(probe, (size, *probe.shape[1:]))), alone.repeated(size))
        except ModelError:
            return False


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model file that has been read, checked and timed."""

    file: OnnxFile
    card: Card
    session: ModelSession
    seconds: float
    """What scoring all its assets takes."""
    explain_seconds: float
    """What explaining one score takes."""
    signed_by: str = ""
    """The public key whose owner has signed the file; empty when none was asked for."""
    memory: int = 0
    """See `TrialResult`."""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A model file that has been read, and in which nothing speaks against it."""

    file: OnnxFile
    card: Card
    signed_by: str
    """See `OpenModel`."""


def open_model(path: Path, assets: int = 1, keys: Sequence[Path] = ()) -> OpenModel:
    """Read a model, try it in a process of its own, and load what has passed, for this many assets; takes a second or more.
    Where there are `keys`, one of them must have signed it. Raises ModelError."""
    return tried_model(read_model(path, assets, keys), assets, Trial())


def read_model(path: Path, assets: int, keys: Sequence[Path]) -> ReadModel:
    """The first half of `open_model`: nothing of the file is run."""
    file = read_onnx(path)
    signed_by = checked_signature(file, keys)
    card = parse_card(file.metadata)
    if refusal := file.refusal():
        raise ModelError(refusal)
    if (cells := assets * card.window * len(card.inputs)) > MAX_CELLS_IN_ALL:
        raise ModelError(
            f"needs windows of {cells} numbers for {assets} devices, more than {MAX_CELLS_IN_ALL}: give it fewer devices"
        )
    return ReadModel(file, card, signed_by)


def tried_model(model: ReadModel, assets: int, trial: Trial, most: int = MEMORY_IN_ALL) -> OpenModel:
    """The second half, during which `trial` can be stopped; `most`: bytes that other models leave for it."""
    file, card = model.file, model.card
    result = trial.run(file, assets)
    if result.memory > most:
        raise ModelError(
            f"takes {format_size(result.memory)}, and the models that are loaded leave {format_size(max(0, most))} of "
            f"{format_size(MEMORY_IN_ALL)}: leave one out, or make them smaller"
        )
    budget, seconds = (card.budget_ms or card.period_ms) / 1000, result.seconds
    if seconds > budget:
        per_device = f"{seconds / assets * 1e3:.3g} ms"
        each = f"{per_device} each" if result.sizes[-1] > 1 else f"one by one, {per_device}"
        raise ModelError(
            f"takes {seconds * 1e3:.3g} ms to score {assets} devices ({each}), more than its {budget * 1e3:.3g} ms: give it "
            "fewer devices, or a longer period"
        )
    session = ModelSession(file, card, result.sizes)
    return OpenModel(file, card, session, seconds, result.explain_seconds, model.signed_by, result.memory)


def checked_signature(file: OnnxFile, keys: Sequence[Path]) -> str:
    """Which of the keys has signed the file; empty without keys. Raises ModelError when none has."""
    if not keys:
        return ""
    try:
        return str(signer(file.path, file.content, keys))
    except SignatureError as error:
        raise ModelError(str(error)) from error


def same(left: Scores, right: Scores) -> bool:
    """Whether both are equal, bit for bit."""
    return _bytes(left) == _bytes(right)


def _timely(call: Callable[[], R]) -> R:
    begun = time.thread_time()
    result = call()
    if (spent := time.thread_time() - begun) > LOAD_CPU_SECONDS:
        raise ModelError(
            f"takes {spent:.1f} s of a core to load, more than {LOAD_CPU_SECONDS:.0f} s: export fewer nodes"
        )
    return result


def _probe(card: Card) -> Floats:
    """24 windows, always the same: the expected values, then some between the trained limits, and nearer and nearer to the
    expected ones, since many a graph tells only these apart."""
    low, high, expected = (
        np.array([getattr(entry, name) for entry in card.inputs]) for name in ("min", "max", "expected")
    )
    anywhere = low + (high - low) * np.random.default_rng(0).random((24, card.window, len(card.inputs)))
    nearness = np.resize(_NEARNESS, 24)[:, np.newaxis, np.newaxis]
    windows = expected + nearness * (anywhere - expected)
    windows[0] = expected
    probe: Floats = windows.astype(np.float32)
    return probe


def _checked(output: object, name: str, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(output)
    if array.dtype.kind != "f":
        raise ModelError(f'output "{name}" must be float, is {array.dtype}')
    if array.shape not in (shape, (*shape, 1)):
        raise ModelError(f'output "{name}" has shape {list(array.shape)} instead of {list(shape)}')
    return array.reshape(shape).astype(np.float32, copy=False)


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
