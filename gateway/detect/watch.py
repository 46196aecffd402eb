"""One model over all the devices it watches."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.config.model import ModelSection
from gateway.core.tag import Device
from gateway.detect import events
from gateway.detect.alarm import Key
from gateway.detect.alarms import Alarms
from gateway.detect.binding import Binding
from gateway.detect.decide import Decisions
from gateway.detect.drift import Drift, Figures
from gateway.detect.evidence import Evidence
from gateway.detect.graph import Floats
from gateway.detect.grid import AT_LIMIT, REASONS, USABLE, Closed, Grid, Rows, Samples, Times, is_scored
from gateway.detect.onnx_file import ModelError
from gateway.detect.own_thread import in_own_thread
from gateway.detect.session import INLINE_SECONDS, OpenModel, Scores

RANGE_MARGIN = 0.1
"""How far beyond its trained range a value may lie and still be called normal, as a share of the range."""
ANSWER_SECONDS = 10.0
"""A model that has not answered after this long has failed."""

WAITING, WARMUP, NORMAL, ABOVE, INPUTS, OUT_OF_RANGE, NO_NUMBER = range(7)
"""What a model last said of an asset."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


@dataclass(frozen=True, slots=True)
class _Tick:
    """Complete windows that are scored together."""

    assets: Rows
    end_ns: Times
    windows: Floats
    inside: NDArray[np.bool_]
    """Whether all of the window lies in the trained range."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A raise or a clear, with what led to it."""

    asset: int
    is_raise: bool
    end_ns: int
    window: Floats
    """float32[W, T]"""
    scores: Scores
    """Of this window alone."""


class Watch:
    """Binds devices to a model's inputs, keeps their windows, scores them, and says what it finds.

    Assets are rows, in the order of `devices`. Only for one thread, the event loop's.
    """

    def __init__(
        self,
        source: events.Source,
        opened: OpenModel,
        devices: Sequence[str],
        section: ModelSection,
        alarms: Alarms,
        slow: asyncio.Semaphore | None = None,
    ) -> None:
        """`opened` for as many devices; `slow`: how many slow models may score at once. What `alarms` knows to be raised
        goes on."""
        card = source.card
        count = len(devices)
        self.source = source
        self.session = opened.session
        self.seconds = opened.seconds
        self._file = opened.file
        self._inline = max(opened.seconds, opened.explain_seconds) < INLINE_SECONDS
        self.devices = tuple(devices)
        self.binding = Binding(card, devices, section.tags)
        self.skipped = 0
        """Ticks without a score because the model was still busy."""
        self.failure = ""
        self._alarms = alarms
        self._section = section
        self._slow = slow or asyncio.Semaphore()
        self._row = {name: row for row, name in enumerate(devices)}
        ages = np.array([entry.max_age_ms for entry in card.inputs], np.int64) * 1_000_000
        self.grid = Grid(count, card.window, card.period_ms * 1_000_000, ages)
        hold = -(-card.min_duration_ms // card.period_ms)
        self.decisions = Decisions(count, card.raise_at, card.clear_at, hold)
        for name in alarms.holding("anomaly", source.model).keys() & self._row.keys():
            self.decisions.active[self._row[name]] = True
        low, high = (np.array([getattr(entry, end) for entry in card.inputs]) for end in ("min", "max"))
        margin = RANGE_MARGIN * (high - low)
        self._low, self._high = (low - margin).astype(np.float32), (high + margin).astype(np.float32)
        self._inside_run = np.zeros(count, np.int64)
        self._said = np.full(count, WAITING, np.uint8)
        self._score = np.full(count, np.nan)
        self._busy = False
        self._drift = Drift(card, count, round(section.drift_span * 1e9))
        self._figures: list[Figures | None] = [None] * count
        self._drifted = np.zeros(count, np.bool_)
        """Assets of which nothing is called normal, because their inputs are far from the training."""

    def bind(self, device: Device, described: bool) -> None:
        """See `Binding.bind`."""
        if self.binding.bind(device, described):
            self.grid.forget(np.array([self._row[device.name]]))

    def advance(self, samples: Samples | None, boot_ns: int, spawn: Spawn) -> None:
        """Take samples, close the cells that are over, and score what is complete: at once, or with `spawn` in a thread.
        Raises ModelError when the model fails."""
        for closed in self.grid.advance(samples, boot_ns):
            complete = self._prepare(closed)
            assets, end_ns = closed.assets[complete], closed.end_ns[complete]
            if not len(assets):
                continue
            inside = self._inside_run[assets] >= self.source.card.window
            if self._inline:
                windows = self.grid.windows if len(assets) == len(self.devices) else self.grid.windows[assets]
                tick = _Tick(assets, end_ns, windows, inside)
                self._tell([self._explained(turn) for turn in self._judge(tick, self.session.score(windows))])
            elif self._busy:
                self.skipped += len(assets)
            else:
                self._busy = True
                spawn(self._score_in_thread(_Tick(assets, end_ns, self.grid.windows[assets], inside)))

    def _prepare(self, closed: Closed) -> NDArray[np.bool_]:
        """Which of these assets can be scored; the others get a tick without a verdict."""
        assets = closed.assets
        self.decisions.forget(assets[closed.anew])
        cell = self.grid.windows[assets, -1]
        codes = self.grid.codes[assets]
        within = (cell >= self._low) & (cell <= self._high) & (codes == USABLE)
        inside = np.logical_and.reduce(within, axis=1)
        self._inside_run[assets] = np.where(inside, self._inside_run[assets] + 1, 0)
        scored = np.logical_and.reduce(is_scored(codes), axis=1)
        for at in self._drift.tick(assets, closed.end_ns, cell, scored, inside).tolist():
            self._judge_drift(int(assets[at]), int(closed.end_ns[at]))
        complete: NDArray[np.bool_] = self.grid.run[assets] >= self.source.card.window
        rest = assets[~complete]
        if len(rest):
            none = np.zeros(len(rest), np.bool_)
            self.decisions.tick(rest, none, none)
            self._said[rest] = np.where(scored[~complete], WARMUP, INPUTS)
            self._score[rest] = np.nan
        return complete

    def key(self, device: str, kind: str = "anomaly") -> Key:
        """Under which a device's alarm is known."""
        return Key(kind, self.source.model, device)

    @property
    def alarm_keys(self) -> set[Key]:
        """All alarms that it may raise."""
        return {self.key(device, kind) for device in self.devices for kind in ("anomaly", "drift")}

    async def _score_in_thread(self, tick: "_Tick") -> None:
        try:
            async with self._slow:
                await self._score_and_tell(tick)
        except ModelError as error:
            self.failure = str(error)
        except TimeoutError:
            self.failure = f"gave no answer within {ANSWER_SECONDS:.0f} s"
        finally:
            self._busy = False

    async def _score_and_tell(self, tick: "_Tick") -> None:
        scores = await in_own_thread(lambda: self.session.score(tick.windows), ANSWER_SECONDS)
        if turns := self._judge(tick, scores):
            self._tell(await in_own_thread(lambda: [self._explained(turn) for turn in turns], ANSWER_SECONDS))

    def _judge(self, tick: "_Tick", scores: Scores) -> list["_Turn"]:
        """Draw the verdicts of one tick. Gives what is raised and what cleared by them."""
        known = np.isfinite(scores.score)
        above = known & (scores.score > self.source.card.threshold)
        below = known & ~above & tick.inside & ~self._drifted[tick.assets]
        self._drift.above(tick.assets[above])
        self._score[tick.assets] = scores.score
        self._said[tick.assets] = np.select([above, below, known], [ABOVE, NORMAL, OUT_OF_RANGE], NO_NUMBER)
        raised, cleared = self.decisions.tick(tick.assets, above, below)
        return [
            _Turn(int(tick.assets[at]), is_raise, int(tick.end_ns[at]), tick.windows[at].copy(), scores.of(at))
            for is_raise, turned in ((True, raised), (False, cleared))
            for at in turned.tolist()
        ]

    def _judge_drift(self, row: int, t_ns: int) -> None:
        """Tell that a device's inputs have drifted, or are again as in training."""
        figures = self._figures[row] = self._drift.figures(row)
        if figures is None or self._section.on_drift == "ignore":
            return
        self._drifted[row] = figures.is_far and self._section.on_drift == "undecided"
        device = self.devices[row]
        key = self.key(device, "drift")
        begun = self._alarms.get(key)
        if figures.reasons and not (begun and begun.active):
            self._alarms.raised(key, events.drifted(self.source, device, t_ns, figures))
        elif not figures.reasons and begun and begun.active:
            self._alarms.cleared(key, events.settled(self.source, device, t_ns, figures, begun.event))

    def _explained(self, turn: "_Turn") -> "_Turn":
        """With the contribution of each tag, which a graph without them gives by one score for each."""
        return turn if turn.scores.contribution is not None else replace(turn, scores=self.session.explain(turn.window))

    def _tell(self, turns: Sequence["_Turn"]) -> None:
        for turn in turns:
            finding, key = self._finding(turn), self.key(self.devices[turn.asset])
            evidence = Evidence(self._file, self.session.batched, turn.window, turn.scores)
            if turn.is_raise:
                self._alarms.raised(key, events.raised(self.source, finding), self._section.latch, evidence)
            elif begin := self._alarms.get(key):
                event = events.cleared(self.source, finding, begin.event, begin.raised_ns)
                self._alarms.cleared(key, event, evidence)

    def _finding(self, turn: "_Turn") -> events.Finding:
        card, scores = self.source.card, turn.scores
        assert scores.contribution is not None
        expected = scores.expected[0] if scores.expected is not None else None
        parts = events.contributions(card, scores.contribution[0], turn.window[-1], expected)
        begin = turn.end_ns - card.window * card.period_ms * 1_000_000
        digest = hashlib.sha256(turn.window.astype("<f4").tobytes()).hexdigest()
        return events.Finding(self.devices[turn.asset], float(scores.score[0]), begin, turn.end_ns, digest, parts)

    def asset_status(self, name: str) -> dict[str, Any]:
        """One device as this model sees it, as JSON values."""
        row = self._row[name]
        state, reason = self._state(row, name)
        score = float(self._score[row])
        alarm = self._alarms.get(self.key(name))
        return {
            "device": name,
            "state": state,
            "reason": reason,
            "score": round(score, 4) if np.isfinite(score) else None,
            "event": alarm.event if alarm and alarm.active else None,
            "drift": figures.status() if (figures := self._figures[row]) else None,
        }

    def _state(self, row: int, name: str) -> tuple[str, str]:
        if name in self.binding.unfit:
            return "failed", self.binding.unfit[name]
        match int(self._said[row]):
            case 0:
                return "waiting", "nothing read yet"
            case 1:
                return "warmup", f"{self.grid.run[row]} of {self.source.card.window} samples"
            case 2 | 3 if self._drifted[row]:
                figures = self._figures[row]
                return "degraded", "; ".join(figures.reasons) if figures else ""
            case 2 | 3:
                return "running", ""
            case 5:
                return "degraded", self._limited(row) or "outside the trained range"
            case 6:
                return "degraded", "the model gives no number"
        return "degraded", self._named(row, ~is_scored(self.grid.codes[row]))

    def _limited(self, row: int) -> str:
        return self._named(row, self.grid.codes[row] == AT_LIMIT)

    def _named(self, row: int, which: NDArray[np.bool_]) -> str:
        """What is wrong with these inputs, in words."""
        codes = self.grid.codes[row]
        wrong = [f"{self.source.card.tags[i]} is {REASONS[codes[i]]}" for i in np.flatnonzero(which)]
        return ", ".join(wrong)
