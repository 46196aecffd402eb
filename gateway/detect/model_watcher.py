"""One model over all the devices it watches."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.alarms import Alarms, Evidence, Key
from gateway.config.model import ModelSection
from gateway.core.tag import Device
from gateway.detect import event_words
from gateway.detect.fault import fault
from gateway.detect.models import INLINE_SECONDS, Card, ModelError, OpenModel
from gateway.detect.own_thread import in_own_thread
from gateway.detect.watcher import Spawn
from gateway.detect.windows import (
    ABOVE,
    AT_LIMIT,
    NO_NUMBER,
    NORMAL,
    OUT_OF_RANGE,
    REASONS,
    WAITING,
    WARMUP,
    Binding,
    Figures,
    Judge,
    Samples,
    Tick,
    Transition,
    drift_file,
    is_scored,
)
from gateway.status import WatchedStatus
from gateway.supervise.contained import contained, containing

ANSWER_SECONDS = 10.0
"""A model that has not answered after this long has failed."""

SLOW_TIMES = 20
"""A model that has taken so much longer than INLINE_SECONDS once is scored in a thread from then on."""


class ModelWatcher:
    """Binds devices to a model's inputs, keeps their windows, scores them, and says what it finds.

    Assets are rows, in the order of `devices`. Only for one thread, the event loop's.
    """

    def __init__(
        self,
        identity: event_words.ModelIdentity,
        opened: OpenModel,
        devices: Sequence[str],
        section: ModelSection,
        alarms: Alarms,
        slow: asyncio.Semaphore | None = None,
    ) -> None:
        """`opened` for as many devices; `slow`: how many slow models may score at once. What `alarms` knows to be raised
        goes on."""
        card = identity.card
        count = len(devices)
        self.identity = identity
        self.session = opened.session
        self.seconds = opened.seconds
        self.memory = opened.memory
        self.signed_by = opened.signed_by
        self._file = opened.file
        self._inline = max(opened.seconds, opened.explain_seconds) < INLINE_SECONDS
        self.devices = tuple(devices)
        self.binding = Binding(card, devices, section.tags)
        self.skipped = 0
        """Ticks without a score because the model was still busy."""
        self.failure = ""
        self._section = section
        self._slow = slow or asyncio.Semaphore()
        self._row = {name: row for row, name in enumerate(devices)}
        self.judge = Judge(card, count, round(section.drift_span * 1e9))
        self.tell_to(alarms)
        self._busy = False
        self._figures: list[Figures | None] = [None] * count

    def tell_to(self, alarms: Alarms) -> None:
        """From now on these hear of what is found; what they know to be raised goes on, and all else is found anew."""
        self._alarms = alarms
        self.judge.n_of_m.active[:] = False
        for name in alarms.holding("anomaly", self.identity.model).keys() & self._row.keys():
            self.judge.n_of_m.active[self._row[name]] = True

    def continue_from(self, other: "ModelWatcher") -> None:
        """Take over from another watch, which is not used any more, the windows of the devices that both are bound to in the
        same way. For that, inputs, age limits, period and window must be the same."""
        if _form(self.identity.card) != _form(other.identity.card):
            return
        shared = [
            (row, other._row[name])
            for name, row in self._row.items()
            if name in other._row and self.binding.slots.same(row, other.binding.slots, other._row[name])
        ]
        mine, theirs = np.array(shared, np.intp).reshape(-1, 2).T
        same_card = self.identity.sha256 == other.identity.sha256
        self.judge.continue_from(other.judge, mine, theirs, same_card)
        if same_card:
            for row, others_row in shared:
                self._figures[row] = other._figures[others_row]

    def kept(self) -> drift_file.KeptDrift:
        """What is to outlive the gateway."""
        return drift_file.KeptDrift(self.identity.model, self.identity.sha256, self.devices, self.judge.drift.counts())

    def restore(self, kept: drift_file.KeptDrift) -> None:
        """Go on with the counts of drift of an earlier gateway, for the devices that are still watched."""
        shared = [(row, kept.devices.index(name)) for name, row in self._row.items() if name in kept.devices]
        mine, theirs = np.array(shared, np.intp).reshape(-1, 2).T
        if self.judge.drift.restore(kept.counts, mine, theirs):
            for row, _ in shared:
                self._look_at_drift(row)

    def bind(self, device: Device, described: bool) -> None:
        """See `Binding.bind`."""
        if self.binding.bind(device, described):
            self.judge.forget(self._row[device.name])

    def advance(self, samples: Samples | None, boot_ns: int, spawn: Spawn) -> None:
        """Take samples, close the cells that are over, and score what is complete: at once, or with `spawn` in a thread.
        Raises ModelError when the model fails."""
        for closed in self.judge.grid.advance(samples, boot_ns):
            tick, stepped = self.judge.close(closed)
            for at in stepped.tolist():
                self._judge_drift(int(closed.assets[at]), int(closed.end_ns[at]))
            if not len(tick.assets):
                continue
            if self._inline:
                self._score_at_once(tick)
            elif self._busy:
                self.skipped += len(tick.assets)
            else:
                self._busy = True
                spawn(self._score_in_thread(replace(tick, windows=tick.windows.copy())))

    def try_advance(self, columns: tuple[Any, ...] | None, boot_ns: int, spawn: Spawn) -> None:
        """The same with common columns of many devices; what goes wrong becomes its `failure`."""
        try:
            with containing():
                self.advance(self.binding.slots.samples(*columns) if columns else None, boot_ns, spawn)
        except ModelError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - the other models and limits go on
            self.failure = fault(error)

    def _score_at_once(self, tick: Tick) -> None:
        begun = time.thread_time()  # of the processor: on a busy machine all waits
        transitions = self.judge.verdicts(tick, self.session.score(tick.windows))
        self._tell([*map(self._explained, transitions)])
        if time.thread_time() - begun > SLOW_TIMES * INLINE_SECONDS:
            self._inline = False

    def key(self, device: str, kind: str = "anomaly") -> Key:
        """Under which a device's alarm is known."""
        return Key(kind, self.identity.model, device)

    @property
    def alarm_keys(self) -> set[Key]:
        """All alarms that it may raise."""
        return {self.key(device, kind) for device in self.devices for kind in ("anomaly", "drift")}

    async def _score_in_thread(self, tick: Tick) -> None:
        try:
            async with self._slow:
                await contained(self._score_and_tell(tick))
        except ModelError as error:
            self.failure = str(error)
        except TimeoutError:
            self.failure = f"gave no answer within {ANSWER_SECONDS:.0f} s"
        except Exception as error:  # noqa: BLE001 - the other models go on
            self.failure = fault(error)
        finally:
            self._busy = False

    async def _score_and_tell(self, tick: Tick) -> None:
        stop = self.session.stop
        scores = await in_own_thread(lambda: self.session.score(tick.windows), ANSWER_SECONDS, stop)
        if transitions := self.judge.verdicts(tick, scores):
            self._tell(await in_own_thread(lambda: [*map(self._explained, transitions)], ANSWER_SECONDS, stop))

    def _judge_drift(self, row: int, t_ns: int) -> None:
        """Tell that a device's inputs have drifted, or are again as in training."""
        figures = self._look_at_drift(row)
        if figures is None or self._section.on_drift == "ignore":
            return
        device = self.devices[row]
        key = self.key(device, "drift")
        begun = self._alarms.get(key)
        if figures.reasons and not (begun and begun.active):
            self._alarms.raised(key, event_words.drifted(self.identity, device, t_ns, figures))
        elif not figures.reasons and begun and begun.active:
            self._alarms.cleared(key, event_words.settled(self.identity, device, t_ns, figures, begun.event))

    def _look_at_drift(self, row: int) -> Figures | None:
        figures = self._figures[row] = self.judge.drift.figures(row)
        if figures is not None:
            self.judge.drifted[row] = figures.is_far and self._section.on_drift == "undecided"
        return figures

    def _explained(self, transition: Transition) -> Transition:
        """With the contribution of each tag, which a graph without them gives by one score for each."""
        if transition.scores.contribution is not None:
            return transition
        return replace(transition, scores=self.session.explain(transition.window))

    def _tell(self, transitions: Sequence[Transition]) -> None:
        for transition in transitions:
            scored, key = self._scored_window(transition), self.key(self.devices[transition.asset])
            evidence = self._evidence(transition)
            if transition.is_raise:
                self._alarms.raised(key, event_words.raised(self.identity, scored), self._section.latch, evidence)
            elif begin := self._alarms.get(key):
                event = event_words.cleared(self.identity, scored, begin.event, begin.raised_ns)
                self._alarms.cleared(key, event, evidence)

    def _evidence(self, transition: Transition) -> Evidence:
        file, scores, batched = self._file, transition.scores, self.session.batched
        return Evidence(
            file.content, file.sha256, batched, transition.window, scores.score, scores.contribution, scores.expected
        )

    def _scored_window(self, transition: Transition) -> event_words.ScoredWindow:
        card, scores = self.identity.card, transition.scores
        assert scores.contribution is not None
        expected = scores.expected[0] if scores.expected is not None else None
        parts = event_words.contributions(card, scores.contribution[0], transition.window[-1], expected)
        begin = transition.end_ns - card.window * card.period_ms * 1_000_000
        digest = hashlib.sha256(transition.window.astype("<f4").tobytes()).hexdigest()
        return event_words.ScoredWindow(
            self.devices[transition.asset], float(scores.score[0]), begin, transition.end_ns, digest, parts
        )

    def without_number(self) -> list[str]:
        """Devices of which the model last gave no finite score."""
        return [name for name, row in self._row.items() if self.judge.said[row] == NO_NUMBER]

    def asset_status(self, name: str) -> WatchedStatus:
        """One device as this model sees it."""
        row = self._row[name]
        state, reason = self._state(row, name)
        score = float(self.judge.score[row])
        alarm = self._alarms.get(self.key(name))
        return WatchedStatus(
            device=name,
            state=state,
            reason=reason,
            score=round(score, 4) if np.isfinite(score) else None,
            event=alarm.event if alarm and alarm.active else None,
            drift=figures.status() if (figures := self._figures[row]) else None,
        )

    def scores(self, name: str) -> tuple[list[int], list[float]]:
        """Of one device: see `ScoreTrend.of`."""
        return self.judge.trend.of(self._row[name])

    def _state(self, row: int, name: str) -> tuple[str, str]:
        if name in self.binding.unfit:
            return "failed", self.binding.unfit[name]
        judge, said = self.judge, int(self.judge.said[row])
        if said == WAITING:
            return "waiting", "" if judge.grid.run[row] else "nothing read yet"
        if said == WARMUP:
            return "warmup", f"{judge.grid.run[row]} of {self.identity.card.window} samples"
        if said in (NORMAL, ABOVE):
            figures = self._figures[row]
            if judge.drifted[row]:
                return "degraded", "; ".join(figures.reasons) if figures else ""
            return "running", ""
        if said == OUT_OF_RANGE:
            # A value that stands at the end of its tag's range was cut off there: that says more than where it lies.
            limited = self._named(row, judge.grid.codes[row] == AT_LIMIT)
            outside = ", ".join(self.identity.card.tags[i] for i in np.flatnonzero(judge.outside(row)))
            return "degraded", limited or f"outside the trained range: {outside}"
        if said == NO_NUMBER:
            return "degraded", "the model gives no number"
        return "degraded", self._named(row, ~is_scored(judge.grid.codes[row]))

    def _named(self, row: int, which: NDArray[np.bool_]) -> str:
        """What is wrong with these inputs, in words."""
        codes = self.judge.grid.codes[row]
        wrong = [f"{self.identity.card.tags[i]} is {REASONS[codes[i]]}" for i in np.flatnonzero(which)]
        return ", ".join(wrong)


def _form(card: Card) -> tuple[object, ...]:
    """What must be the same for two versions to share windows."""
    return card.period_ms, card.window, [(entry.tag, entry.unit, entry.max_age_ms) for entry in card.inputs]
