"""Builds the demo's model from simulated normal running: `python -m gateway.demo.build_model [OUT]`. Needs the package onnx.

The model scores the means of a window, each tag scaled by its usual spread, in two ways: how far they lie from their
centre given how the tags move together (Mahalanobis distance), and how far the farthest tag lies off on its own. The
score is the geometric mean of both, divided by a limit that is set on rows which the fit did not see. Scaling comes before
averaging, and averaging is a matrix product, so that a window scores the same alone and among others. The same sources
give the same file, byte for byte: fitted numbers are rounded before use.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.demo.coater import TAGS, Coater

MODEL = Path(__file__).parent / "models" / "coater.onnx"
PERIOD_SECONDS = 1.0
WINDOW = 8
FIT_SEEDS = range(101, 107)
FIT_SECONDS = 2400
LIMIT_SEEDS = range(201, 205)
LIMIT_SECONDS = 3600
HEADROOM = 1.25
"""Limit / highest value on normal rows."""
SHRINKAGE = 0.05
"""How far the correlations are drawn towards none, so that their inverse is sound."""
MAX_AGE_MS = 90_000
"""A little more than the gateway's default heartbeat of a tag with a deadband; a lost device is marked as stale anyway."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """What the model has learned; T inputs."""

    center: Floats
    scale: Floats
    inverse: Floats
    """Inverse covariance of scaled window means, [T, T]."""
    limit: float

    def raw(self, means: Floats) -> Floats:
        """Scores before the division by the limit, of scaled window means [n, T]."""
        distance = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", means, self.inverse, means), 0))
        raw: Floats = np.sqrt(distance * np.abs(means).max(axis=1))
        return raw

    def score(self, windows: Floats) -> Floats:
        """Scores of windows [n, W, T]; what the graph computes, in double precision."""
        return self.raw(((windows - self.center) / self.scale).mean(axis=1)) / self.limit


def record(seed: int, seconds: int) -> Floats:
    """Normal running as rows, one per period, in the order of TAGS."""
    coater = Coater(seed)
    rows = []
    for _ in range(round(seconds / PERIOD_SECONDS)):
        coater.step(PERIOD_SECONDS)
        rows.append(list(coater.state().values()))
    return np.array(rows)


def fit(normal: Sequence[Floats], unseen: Sequence[Floats]) -> Fit:
    """Learn centre, spread and correlation from `normal`, and the limit from `unseen` runs."""
    rows = np.concatenate(normal)
    center, scale = _round(rows.mean(axis=0)), _round(rows.std(axis=0))
    means = np.concatenate([_means((run - center) / scale) for run in normal])
    covariance = np.cov(means.T)
    covariance += SHRINKAGE * (np.diag(np.diag(covariance)) - covariance)
    found = Fit(center, scale, _round(np.linalg.inv(covariance)), 1.0)
    highest = max(float(found.raw(_means((run - center) / scale)).max()) for run in unseen)
    return Fit(center, scale, found.inverse, float(_round(np.array(HEADROOM * highest))))


def card(found: Fit, normal: Sequence[Floats], unseen: Sequence[Floats]) -> Mapping[str, object]:
    """The model card, see gateway.detect.models.card."""
    rows = np.concatenate(normal)
    golden = unseen[0][:WINDOW]
    return {
        "format": 1,
        "name": "tablet-coater",
        "version": "1.0.0",
        "asset_type": "tablet film coater",
        "period_ms": round(PERIOD_SECONDS * 1000),
        "window": WINDOW,
        "inputs": [
            {
                "tag": tag,
                "unit": unit,
                "min": float(rows[:, i].min()),
                "max": float(rows[:, i].max()),
                "expected": float(found.center[i]),
                "max_age_ms": MAX_AGE_MS,
            }
            for i, (tag, unit) in enumerate(TAGS.items())
        ],
        "threshold": 1.0,
        "raise": {"n": 5, "of": 6},
        "clear": {"n": 6, "of": 6},
        "severity": "warning",
        "training": {
            "rows": len(rows),
            "sha256": hashlib.sha256(np.ascontiguousarray(rows, "<f8").tobytes()).hexdigest(),
            "source": f"simulated normal running, {len(normal)} runs of {FIT_SECONDS // 60} min",
            "limit": f"{HEADROOM} × the highest score of {len(unseen)} other runs of {LIMIT_SECONDS // 60} min",
        },
        "author": "gateway.demo.build_model",
        "approval": {"by": "", "at": ""},
        "intended_use": "The simulated coater of the demo. Not for a real machine: make a model from its own data.",
        "golden": {"window": golden.tolist(), "score": float(_round(found.score(golden[np.newaxis]))[0])},
    }


def onnx_model(found: Fit, model_card: Mapping[str, object]) -> bytes:
    """The file's bytes: graph and card."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "center": found.center,
        "per_scale": 1 / found.scale,
        "average": np.full((1, WINDOW), 1 / WINDOW),
        "inverse": found.inverse,
        "per_diagonal": 1 / np.diag(found.inverse),
        "per_limit": np.array(1 / found.limit),
    }
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    node = helper.make_node
    nodes = [
        node("Sub", ["window", "center"], ["off"]),
        node("Mul", ["off", "per_scale"], ["scaled"]),
        node("MatMul", ["average", "scaled"], ["mean_row"]),
        node("Squeeze", ["mean_row", "axis"], ["mean"]),
        node("MatMul", ["mean", "inverse"], ["pull"]),
        node("Mul", ["mean", "pull"], ["terms"]),
        node("ReduceSum", ["terms", "axis"], ["squared"], keepdims=0),
        node("Relu", ["squared"], ["not_negative"]),
        node("Sqrt", ["not_negative"], ["distance"]),
        node("Abs", ["mean"], ["far"]),
        node("ReduceMax", ["far"], ["farthest"], axes=[1], keepdims=0),
        node("Mul", ["distance", "farthest"], ["product"]),
        node("Sqrt", ["product"], ["raw"]),
        node("Mul", ["raw", "per_limit"], ["score"]),
        # Each tag's part: of its own offset, and of what the other tags do not explain of it (pull² / diagonal).
        node("Mul", ["mean", "mean"], ["own"]),
        node("Mul", ["pull", "pull"], ["pull_squared"]),
        node("Mul", ["pull_squared", "per_diagonal"], ["unexplained"]),
        node("ReduceSum", ["own", "axis"], ["all_own"], keepdims=1),
        node("ReduceSum", ["unexplained", "axis"], ["all_unexplained"], keepdims=1),
        node("Div", ["own", "all_own"], ["own_share"]),
        node("Div", ["unexplained", "all_unexplained"], ["unexplained_share"]),
        node("Add", ["own_share", "unexplained_share"], ["contribution"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "coater",
        [tensor("window", TensorProto.FLOAT, ["batch", WINDOW, len(TAGS)])],
        [
            tensor("score", TensorProto.FLOAT, ["batch"]),
            tensor("contribution", TensorProto.FLOAT, ["batch", len(TAGS)]),
        ],
        [*(numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()), axis],
    )
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="edge-gateway"
    )
    helper.set_model_props(model, {"card": json.dumps(model_card, ensure_ascii=False)})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def build() -> bytes:
    """The whole model file."""
    normal = [record(seed, FIT_SECONDS) for seed in FIT_SEEDS]
    unseen = [record(seed, LIMIT_SECONDS) for seed in LIMIT_SEEDS]
    found = fit(normal, unseen)
    return onnx_model(found, card(found, normal, unseen))


def _means(scaled: Floats) -> Floats:
    """The mean of every window of a run [n, T]."""
    means: Floats = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW, axis=0).mean(axis=-1)
    return means


def _round(values: Floats) -> Floats:
    """To six digits, which every computer finds alike."""
    rounded: Floats = np.vectorize(lambda value: float(f"{value:.6g}"), otypes=[np.float64])(values)
    return rounded


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL
    content = build()
    path.write_bytes(content)
    sys.stdout.write(f"{path}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    main()
