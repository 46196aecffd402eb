"""An ensemble as an ONNX graph: from windows in the units of the tags to score, contribution and expected value.

Scaling comes before averaging, and averages are matrix products, so that a window scores the same alone and among others.
"""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.learn.ensemble import FARTHEST, LONG, SHORT, Ensemble, Floats
from gateway.detect.learn.onnx_writer import model, node


def graph(found: Ensemble, center: Floats, scale: Floats, limits: Floats, limit: float) -> bytes:
    """The file's bytes, without a card. `center`, `scale`: of rows; `limits` are of the views, `limit` is the score's."""
    inputs = len(center)
    floats = {name: value.astype(np.float32) for name, value in _numbers(found, center, scale, limits, limit).items()}
    axis: dict[str, NDArray[np.int64]] = {"axis": np.array([1], np.int64)}
    nodes = [*_means(), *_distance(), *_place(), *_unlike(), *_principal(), *_score(), *_contribution()]
    return model(
        "ensemble",
        nodes,
        {**floats, **axis},
        {"window": ("batch", LONG, inputs)},
        {"score": ("batch",), "contribution": ("batch", inputs), "expected": ("batch", inputs)},
    )


def _numbers(found: Ensemble, center: Floats, scale: Floats, limits: Floats, limit: float) -> dict[str, Floats]:
    short = np.zeros((1, LONG))
    short[0, -SHORT:] = 1 / SHORT
    per_limits = 1 / limits
    return {
        "center": center,
        "per_scale": 1 / scale,
        "average_long": np.full((1, LONG), 1 / LONG),
        "average_short": short,
        "long_center": found.long_center,
        "inverse": found.inverse,
        "per_diagonal": 1 / np.diag(found.inverse),
        "short_center": found.short_center,
        "per_short": 1 / found.short_scale,
        "prototypes": found.prototypes,
        "prototypes_across": found.prototypes.T / found.bandwidth,
        "half_squares": 0.5 * (found.prototypes**2).sum(axis=1) / found.bandwidth,
        "axes": found.axes,
        "axes_across": found.axes.T,
        "per_variance": per_limits[3] ** 2 / found.variances / 2,
        "per_unexplained": np.array(per_limits[4] ** 2 / 2),
        "per_distance": np.array(per_limits[0]),
        "per_unlike": np.array(per_limits[1]),
        "per_farthest": np.array(per_limits[2]),
        "per_limit": np.array(1 / limit),
        "lowest": np.array(-FARTHEST),
        "highest": np.array(FARTHEST),
        "spread": found.short_scale * scale,
        "middle": found.short_center * scale + center,
        "tiny": np.array(1e-30),
        "ones": np.ones((len(center), 1)),
        "ones_along": np.ones((len(found.variances), 1)),
    }


def _sum(rows: str, ones: str, result: str) -> list[bytes]:
    """Sums of rows. As a matrix product, for ReduceSum rounds otherwise alone than among others."""
    return [node("MatMul", [rows, ones], f"{result}_column"), node("Squeeze", [f"{result}_column", "axis"], result)]


def _means() -> list[bytes]:
    return [
        node("Sub", ["window", "center"], "off_center"),
        node("Mul", ["off_center", "per_scale"], "scaled_far"),
        node("Clip", ["scaled_far", "lowest", "highest"], "scaled"),
        node("MatMul", ["average_long", "scaled"], "long_row"),
        node("Squeeze", ["long_row", "axis"], "long"),
        node("MatMul", ["average_short", "scaled"], "short_row"),
        node("Squeeze", ["short_row", "axis"], "short"),
    ]


def _distance() -> list[bytes]:
    return [
        node("Sub", ["long", "long_center"], "off"),
        node("MatMul", ["off", "inverse"], "pull"),
        node("Mul", ["off", "pull"], "pulls"),
        *_sum("pulls", "ones", "distance_squared_signed"),
        node("Relu", ["distance_squared_signed"], "distance_squared"),
        node("Sqrt", ["distance_squared"], "distance"),
    ]


def _place() -> list[bytes]:
    return [
        node("Sub", ["short", "short_center"], "off_short"),
        node("Mul", ["off_short", "per_short"], "place"),
        node("Abs", ["place"], "far"),
        node("ReduceMax", ["far"], "farthest", axes=[1], keepdims=0),
    ]


def _unlike() -> list[bytes]:
    """Kernel regression is attention: softmax of nearness, times the prototypes."""
    return [
        node("MatMul", ["place", "prototypes_across"], "products"),
        node("Sub", ["products", "half_squares"], "nearness"),
        node("Softmax", ["nearness"], "weights", axis=-1),
        node("MatMul", ["weights", "prototypes"], "usual"),
        node("Sub", ["place", "usual"], "unusual"),
        node("Mul", ["unusual", "unusual"], "unusual_squares"),
        *_sum("unusual_squares", "ones", "unlike_squared"),
        node("Sqrt", ["unlike_squared"], "unlike"),
        node("Mul", ["usual", "spread"], "usual_spread"),
        node("Add", ["usual_spread", "middle"], "expected"),
    ]


def _principal() -> list[bytes]:
    return [
        node("MatMul", ["place", "axes"], "along"),
        node("Mul", ["along", "along"], "along_squares"),
        node("Mul", ["along_squares", "per_variance"], "explained_parts"),
        *_sum("explained_parts", "ones_along", "explained"),
        node("MatMul", ["along", "axes_across"], "back"),
        node("Sub", ["place", "back"], "rest"),
        node("Mul", ["rest", "rest"], "rest_squares"),
        *_sum("rest_squares", "ones", "rest_squared"),
        node("Mul", ["rest_squared", "per_unexplained"], "unexplained"),
        node("Add", ["explained", "unexplained"], "both_squared"),
        node("Sqrt", ["both_squared"], "both"),
    ]


def _score() -> list[bytes]:
    return [
        node("Mul", ["distance", "per_distance"], "distance_ratio"),
        node("Mul", ["unlike", "per_unlike"], "unlike_ratio"),
        node("Mul", ["farthest", "per_farthest"], "farthest_ratio"),
        node("Mul", ["distance_ratio", "unlike_ratio"], "first_pair"),
        node("Sqrt", ["first_pair"], "first"),
        node("Mul", ["farthest_ratio", "both"], "second_pair"),
        node("Sqrt", ["second_pair"], "second"),
        node("Mul", ["first", "second"], "all_four"),
        node("Sqrt", ["all_four"], "raw"),
        node("Mul", ["raw", "per_limit"], "score"),
    ]


def _contribution() -> list[bytes]:
    """Of each tag: its own offset, what usual windows do not explain, and what the other tags do not (pull² / diagonal)."""
    nodes = [
        node("Mul", ["place", "place"], "own"),
        node("Mul", ["pull", "pull"], "pull_squares"),
        node("Mul", ["pull_squares", "per_diagonal"], "alone"),
    ]
    for part in ("own", "unusual_squares", "alone"):
        nodes += [
            node("MatMul", [part, "ones"], f"{part}_sum"),
            node("Add", [f"{part}_sum", "tiny"], f"{part}_all"),
            node("Div", [part, f"{part}_all"], f"{part}_share"),
        ]
    return [
        *nodes,
        node("Add", ["own_share", "unusual_squares_share"], "two_shares"),
        node("Add", ["two_shares", "alone_share"], "contribution"),
    ]
