"""The model card: what a model was made for, from and by whom. It travels as JSON in the file's metadata.

    {"format": 1, "name": "tablet-coater", "version": "1.0.0", "asset_type": "tablet film coater",
     "period_ms": 1000, "window": 8,
     "inputs": [{"tag": "bed_temp", "unit": "°C", "min": 40.1, "max": 46.0, "expected": 43.2, "max_age_ms": 5000}, …],
     "threshold": 1.0, "raise": {"n": 5, "of": 6}, "clear": {"n": 6, "of": 6}, "severity": "warning",
     "training": {"rows": 7200, "sha256": "…", "limit": "how the threshold was set"}, "author": "…",
     "approval": {"by": "", "at": ""}, "intended_use": "…", "golden": {"window": [[…], …], "score": 0.31}}

The order of `inputs` is that of the model's last axis. `raise`: n of the last `of` scores above the threshold; `clear`: n
of them at or below. Optional are: `golden`, an input and the score that every computer must find for it; `budget_ms`, how
long scoring all devices may take (default: the period); `min_duration_ms`, how long `raise` must hold; in an input
`quantiles`, nine values that cut its training data into ten parts, and `shares`, how much of it lies in each (default: a
tenth; see `gateway.detect.windows.drift.trained_bins`); `expected_alarm_rate`, the share of normal
windows above the threshold; and for a graph that was not made for this gateway

    "graph": {"input": "X", "layout": "flat", "score": "scores", "scale": -1.0, "offset": 0.0,
              "contribution": "…", "expected": "…"}

with the names of its input and outputs, how a window lies in the input (see LAYOUTS), and score = output × scale + offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.parsing import doubting, parse_json
from gateway.core.text import encodable
from gateway.detect.models.json_fields import Fields
from gateway.detect.models.onnx_file import ModelError

METADATA_KEY = "card"
FORMAT = 1
MAX_HISTORY = 64
"""Longest persistence, in scores."""
MAX_CELLS = 1_000_000
"""Largest window × inputs."""
MAX_INPUTS = 1000
MAX_CARD = 4 * 1024 * 1024
"""Bytes of its JSON."""
_LARGEST = 1e38
"""Of numbers that are compared with readings, which a model sees as float32."""
SEVERITIES = ("info", "advisory", "warning", "alarm")
LAYOUTS = ("window", "flat", "channels_first")
"""[batch, W, T]; [batch, W × T], the oldest row first; [batch, T, W]."""
CUTS = 9
"""Numbers in `quantiles`."""


@dataclass(frozen=True, slots=True)
class Input:
    """One column of the window."""

    tag: str
    unit: str
    min: float
    """Least value in the training data."""
    max: float
    expected: float
    """Usual value in the training data."""
    max_age_ms: int
    """How long a value may stand in for newer ones, counted from when the device last confirmed it."""
    quantiles: tuple[float, ...] = ()
    """What cuts the training data into ten parts: nine ascending values, or none."""
    shares: tuple[float, ...] = ()
    """How much of the training data lies in each part; none for a tenth in each."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """n of the last `of` scores."""

    n: int
    of: int


@dataclass(frozen=True, slots=True)
class Golden:
    """An input, float32[W, T], and the score that belongs to it."""

    window: NDArray[np.float32]
    score: float
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True)
class GraphSignature:
    """How the graph is spoken to."""

    input: str = "window"
    layout: str = "window"
    score: str = "score"
    contribution: str = "contribution"
    expected: str = "expected"
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """A model card, checked."""

    name: str
    version: str
    asset_type: str
    period_ms: int
    window: int
    inputs: tuple[Input, ...]
    threshold: float
    raise_at: Persistence
    clear_at: Persistence
    severity: str
    training: Mapping[str, Any] = field(default_factory=dict)
    author: str = ""
    approval: Mapping[str, Any] = field(default_factory=dict)
    intended_use: str = ""
    golden: Golden | None = None
    graph: GraphSignature = GraphSignature()
    budget_ms: int = 0
    """How long scoring all devices may take; 0 for the period."""
    min_duration_ms: int = 0
    expected_alarm_rate: float = 0.0
    """Share of normal windows above the threshold."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The inputs' names, in the model's order."""
        return tuple(entry.tag for entry in self.inputs)

    def misfits(self, units: Mapping[str, str], types: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
        """What keeps a device from this model, in words; empty when it fits.

        `units` and `types` by tag of the device; `names`: input → tag, where they differ.
        """
        problems = [f'[model.tags] "{name}": the model has no such input' for name in names if name not in self.tags]
        wanted = [(names.get(entry.tag, entry.tag), entry) for entry in self.inputs]
        if missing := [f'"{tag}"' for tag, _ in wanted if tag not in units]:
            one = len(missing) == 1
            which = (
                f"tag {missing[0]} is missing: add it" if one else f"tags {', '.join(missing)} are missing: add them"
            )
            problems.append(f"{which} to the device, or name others in [model.tags]")
        present = (_misfit(entry, tag, units[tag], types.get(tag)) for tag, entry in wanted if tag in units)
        return problems + [problem for problem in present if problem]

    def may_still_fit(self, units: Mapping[str, str], types: Mapping[str, str], names: Mapping[str, str]) -> bool:
        """Whether the device has all tags, and has yet to tell the unit or type of one of them."""
        wanted = [names.get(tag, tag) for tag in self.tags]
        return all(tag in units for tag in wanted) and not all(units[tag] and types[tag] for tag in wanted)


def _misfit(entry: Input, tag: str, unit: str, type_: str | None) -> str | None:
    if type_ in ("string", "bytes"):
        return f'tag "{tag}" is {type_}, the model needs a number'
    if unit == entry.unit:
        return None
    if not unit:
        return f'tag "{tag}" has no unit; the model was trained in {entry.unit}: write unit = "{entry.unit}"'
    trained = f"in {entry.unit}" if entry.unit else "without a unit"
    return f'tag "{tag}" is in {unit}, the model was trained {trained}: scale the tag'


def parse_card(metadata: Mapping[str, str]) -> Card:
    """The card in a model file's metadata. Raises ModelError that lists every mistake."""
    if METADATA_KEY not in metadata:
        raise ModelError(f'has no model card: its metadata must hold one as JSON under "{METADATA_KEY}"')
    with doubting(lambda reason: ModelError(f"the model card is wrong: {reason}")):
        return _parsed(metadata[METADATA_KEY])


def _parsed(text: str) -> Card:
    try:
        body = _encodable(parse_json(text, size=MAX_CARD))
    except ValueError as error:
        raise ModelError(f"the model card is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ModelError("the model card must be a JSON object")
    if body.get("format") != FORMAT:
        raise ModelError(f"the model card has format {body.get('format')!r}; this gateway reads format {FORMAT}")
    reader = Fields(body)
    card = _card(reader)
    if reader.problems:
        raise ModelError("the model card is wrong: " + "; ".join(reader.problems))
    return card


def _encodable(value: Any) -> Any:
    """Without the halves of characters that JSON can hold: UTF-8 cannot, and what goes out is UTF-8."""
    match value:
        case str():
            return encodable(value)
        case list():
            return [_encodable(each) for each in value]
        case dict():
            return {encodable(key): _encodable(each) for key, each in value.items()}
    return value


def _card(card: Fields) -> Card:
    window = card.integer("window", 1, MAX_CELLS)
    inputs = tuple(_input(entry) for entry in card.entries("inputs"))
    if len(inputs) > MAX_INPUTS:
        card.problems.append(f"inputs: {len(inputs)} are more than {MAX_INPUTS}")
    if len({entry.tag for entry in inputs}) < len(inputs):
        card.problems.append("inputs: two have the same tag")
    if window * len(inputs) > MAX_CELLS:
        card.problems.append(f"window: {window} × {len(inputs)} inputs is more than {MAX_CELLS} numbers")
    severity = card.text("severity")
    if severity not in SEVERITIES:
        card.problems.append(f"severity: must be one of {', '.join(SEVERITIES)}")
    return Card(
        name=card.text("name"),
        version=card.text("version"),
        asset_type=card.text("asset_type"),
        period_ms=card.integer("period_ms", 10, 86_400_000),
        window=window,
        inputs=inputs,
        threshold=card.number("threshold"),
        raise_at=_persistence(card, "raise"),
        clear_at=_persistence(card, "clear"),
        severity=severity,
        training=card.table("training"),
        author=card.text("author", ""),
        approval=card.table("approval"),
        intended_use=card.text("intended_use", "", 10_000),
        golden=_golden(card, (window, len(inputs))),
        graph=_graph(card),
        budget_ms=card.integer("budget_ms", 0, 86_400_000, 0),
        min_duration_ms=card.integer("min_duration_ms", 0, 86_400_000, 0),
        expected_alarm_rate=card.number("expected_alarm_rate", 0.0),
    )


def _input(entry: Fields) -> Input:
    found = Input(
        tag=entry.text("tag"),
        unit=entry.text("unit", ""),
        min=entry.number("min"),
        max=entry.number("max"),
        expected=entry.number("expected"),
        max_age_ms=entry.integer("max_age_ms", 1, 7 * 86_400_000),
        quantiles=entry.numbers("quantiles"),
        shares=entry.numbers("shares"),
    )
    if len(found.quantiles) not in (0, CUTS) or list(found.quantiles) != sorted(found.quantiles):
        entry.problems.append(f"{entry.where}quantiles: must be {CUTS} ascending numbers")
    if len(found.shares) not in (0, CUTS + 1) or any(not 0 <= share <= 1 for share in found.shares):
        entry.problems.append(f"{entry.where}shares: must be {CUTS + 1} numbers from 0 to 1")
    if max(map(abs, (found.min, found.max, found.expected, *found.quantiles))) > _LARGEST:
        entry.problems.append(f"{entry.where}min, max, expected, quantiles: must lie within ±{_LARGEST:g}")
    if found.min > found.max:
        entry.problems.append(f"{entry.where}min: is larger than max")
    return found


def _persistence(card: Fields, key: str) -> Persistence:
    entry = Fields(card.table(key), f"{key}: ", card.problems)
    of = entry.integer("of", 1, MAX_HISTORY)
    return Persistence(entry.integer("n", 1, of), of)


def _graph(card: Fields) -> GraphSignature:
    entry = Fields(card.table("graph"), "graph: ", card.problems)
    plain = GraphSignature()
    names = {
        key: entry.text(key, getattr(plain, key)) for key in ("input", "score", "contribution", "expected", "layout")
    }
    if names["layout"] not in LAYOUTS:
        entry.problems.append(f"graph: layout: must be one of {', '.join(LAYOUTS)}")
    return GraphSignature(**names, scale=entry.number("scale", 1.0), offset=entry.number("offset", 0.0))


def _golden(card: Fields, shape: tuple[int, int]) -> Golden | None:
    if "golden" not in card.body:
        return None
    entry = Fields(card.table("golden"), "golden: ", card.problems)
    try:
        window = np.array(entry.body.get("window"), np.float64)
    except (ValueError, TypeError, OverflowError):
        window = np.empty(0)
    if window.shape != shape or not (np.abs(window) < 1e38).all():
        entry.problems.append(f"golden: window: must be {shape[0]} rows of {shape[1]} numbers")
        window = np.empty(0)
    return Golden(window.astype(np.float32), entry.number("score"), entry.number("tolerance", 1e-3))
