"""Graphs that were not made for this gateway run too: one input, one score, spoken to as the card says."""

import json

import numpy as np
import pytest

from gateway.detect.models import session as session_module
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import ModelError, read_onnx, with_metadata
from gateway.detect.models.session import ModelSession, open_model
from tests.detect.graphs import CARD, onnx

WINDOWS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def build(path, nodes, inputs, outputs, graph, constants=(), **card):
    """A file as an exporter writes it, and the card put into it afterwards; `inputs`: (name, type, shape)."""
    from onnx import helper, numpy_helper

    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes, "exported", [tensor(*each) for each in inputs], [tensor(*each) for each in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )  # fmt: skip
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(body, ir_version=8, opset_imports=domains, producer_name="somebody")
    exported = model.SerializeToString()
    path.write_bytes(with_metadata(exported, "card", json.dumps({**CARD, "graph": graph, **card})))
    return open_model(path)


def trees(helper):
    """As scikit-learn's forests are exported: one fused node on flat rows."""
    return helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["variable"], domain="ai.onnx.ml", n_targets=1,
        nodes_falsenodeids=[2, 0, 0], nodes_truenodeids=[1, 0, 0], nodes_featureids=[4, 0, 0], nodes_hitrates=[1.0, 1.0, 1.0],
        nodes_missing_value_tracks_true=[0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids=[0, 1, 2],
        nodes_treeids=[0, 0, 0], nodes_values=[60.0, 0.0, 0.0], post_transform="NONE", target_ids=[0, 0],
        target_nodeids=[1, 2], target_treeids=[0, 0], target_weights=[0.25, -0.5],
    )  # fmt: skip


def test_a_forest_on_flat_rows_whose_low_scores_are_the_unusual_ones(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    graph = {"input": "X", "layout": "flat", "score": "variable", "scale": -2.0, "offset": 0.5}
    opened = build(
        tmp_path / "m.onnx", [trees(helper)], [("X", tensor.FLOAT, [None, 6])],
        [("variable", tensor.FLOAT, [None, 1])], graph,
    )  # fmt: skip
    assert opened.session.batched
    assert opened.session.score(WINDOWS * 5).score.tolist() == [0.0, 0.0, 1.5, 1.5]
    assert opened.session.explain(WINDOWS[2] * 5).contribution.tolist() == [[1.5, 0.0]]


def test_a_network_that_takes_channels_first_and_doubles(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    nodes = [
        helper.make_node("ReduceMean", ["input.1"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["out"]),
        helper.make_node("Cast", ["out"], ["output"], to=tensor.FLOAT),
    ]
    opened = build(
        tmp_path / "m.onnx", nodes, [("input.1", tensor.DOUBLE, ["batch", 2, 3])], [("output", tensor.FLOAT, ["batch", 1])],
        {"input": "input.1", "layout": "channels_first", "score": "output"},
        [("weight", np.array([[1.0], [0.0]]))],
    )  # fmt: skip
    assert opened.session.score(WINDOWS).score.tolist() == [2, 8, 14, 20]


def test_a_network_exported_for_one_row_at_a_time_is_called_once_for_each(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    opened = build(
        tmp_path / "m.onnx", nodes, [("x", tensor.FLOAT, [1, 3, 2])], [("y", tensor.FLOAT, [1])],
        {"input": "x", "score": "y"},
    )  # fmt: skip
    assert not opened.session.batched
    assert opened.session.score(WINDOWS).score.tolist() == [5, 11, 17, 23]


def test_contributions_of_another_name_are_taken(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    nodes = [
        helper.make_node("ReduceMax", ["window"], ["parts"], axes=[1], keepdims=0),
        helper.make_node("ReduceMax", ["parts"], ["score"], axes=[1], keepdims=0),
    ]
    opened = build(
        tmp_path / "m.onnx", nodes, [("window", tensor.FLOAT, ["n", 3, 2])],
        [("score", tensor.FLOAT, ["n"]), ("parts", tensor.FLOAT, ["n", 2])], {"contribution": "parts"},
    )  # fmt: skip
    assert opened.session.explain(WINDOWS[0]).contribution.tolist() == [[4, 5]]


@pytest.mark.parametrize(
    ("graph", "shape", "told"),
    [
        ({"input": "X"}, ["n", 3, 2], 'must have one input "X", has "x"'),
        ({"input": "x", "score": "z"}, ["n", 3, 2], 'must have an output "z", has "y"'),
        ({"input": "x", "score": "y", "layout": "flat"}, ["n", 3, 2], r"shape .* the card says \[batch, 6\]"),
        ({"input": "x", "score": "y", "layout": "channels_first"}, ["n", 3, 2], r"the card says \[batch, 2, 3\]"),
        ({"input": "x", "score": "y", "layout": "sideways"}, ["n", 3, 2], "layout: must be one of window, flat"),
    ],
)
def test_a_card_that_does_not_fit_its_graph_is_refused_with_the_reason(tmp_path, graph, shape, told):
    helper, tensor = onnx().helper, onnx().TensorProto
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    with pytest.raises(ModelError, match=told):
        build(tmp_path / "m.onnx", nodes, [("x", tensor.FLOAT, shape)], [("y", tensor.FLOAT, ["n"])], graph)


def plain(path, nodes=1, **card):
    helper, tensor = onnx().helper, onnx().TensorProto
    chain = [helper.make_node("Abs", [f"v{i}"], [f"v{i + 1}"]) for i in range(nodes - 1)]
    chain += [helper.make_node("ReduceMax", [f"v{nodes - 1}"], ["y"], axes=[1, 2], keepdims=0)]
    return build(
        path,
        chain,
        [("v0", tensor.FLOAT, ["n", 3, 2])],
        [("y", tensor.FLOAT, ["n"])],
        {"input": "v0", "score": "y"},
        **card,
    )


def test_a_graph_of_too_many_nodes_is_refused_with_what_to_do(tmp_path):
    assert plain(tmp_path / "m.onnx", 900).session.batched
    with pytest.raises(ModelError, match="has 1001 nodes, more than 1000: export it with fused operators"):
        plain(tmp_path / "m.onnx", 1001)


def test_loops_are_refused(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    body = helper.make_graph([], "body", [], [])
    nodes = [helper.make_node("Loop", ["", ""], ["y"], body=body)]
    with pytest.raises(ModelError, match="may not use: Loop"):
        build(tmp_path / "m.onnx", nodes, [("x", tensor.FLOAT, ["n", 3, 2])], [("y", tensor.FLOAT, ["n"])], {})


def test_a_model_that_cannot_keep_up_with_its_period_is_refused_with_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(ModelSession, "seconds", lambda self, windows: windows * 0.3)
    plain(tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=r"takes 1.2e\+03 ms to score 4 devices \(300 ms each\), more than its 1e\+03 ms"
    ):
        open_model(tmp_path / "m.onnx", 4)
    with pytest.raises(ModelError, match="more than its 100 ms"):
        plain(tmp_path / "n.onnx", budget_ms=100)


def test_a_model_that_takes_long_to_load_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    plain(path)
    monkeypatch.setattr(session_module, "LOAD_CPU_SECONDS", 0.0)
    file = read_onnx(path)
    with pytest.raises(ModelError, match="s of a core to load"):
        ModelSession(file, parse_card(file.metadata))


def test_the_last_card_put_into_a_file_holds(tmp_path):
    path = tmp_path / "m.onnx"
    plain(path)
    path.write_bytes(with_metadata(path.read_bytes(), "card", json.dumps({**CARD, "name": "ü" * 200})))
    assert parse_card(read_onnx(path).metadata).name == "ü" * 200
    assert {entry.key for entry in onnx().load(path).metadata_props} == {"card"}
