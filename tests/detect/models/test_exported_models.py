"""Models that scikit-learn and skl2onnx have really exported score here what they score there; those in the manner of PyTorch
score what their formula says. `exported/make.py` made the files."""

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.detect.models.onnx_file import ModelError, read_onnx, with_metadata
from gateway.detect.models.session import open_model
from tests.detect.graphs import CARD, onnx
from tests.detect.models.test_foreign_graphs import build
from tests.detect.test_detector import Plant, device

EXPORTED = Path(__file__).parent / "exported"
SAID = json.loads((EXPORTED / "scores.json").read_text())
WINDOWS = np.array(SAID["windows"], np.float32).reshape(-1, 3, 2)
OUTPUTS = {
    "one_class_svm": "scores",
    "isolation_forest": "scores",
    "local_outlier_factor": "scores",
    "gaussian_mixture": "score_samples",
    "random_forest": "variable",
    "network": "variable",
}


def packed(tmp_path, name, **card):
    """The exported file with a card put into it."""
    graph = {"input": "X", "layout": "flat", "score": OUTPUTS.get(name, "variable"), **card.pop("graph", {})}
    path = tmp_path / f"{name}.onnx"
    exported = (EXPORTED / f"{name}.onnx").read_bytes()
    path.write_bytes(with_metadata(exported, "card", json.dumps({**CARD, "graph": graph, **card})))
    return path


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_scores_are_those_of_scikit_learn(tmp_path, name):
    session = open_model(packed(tmp_path, name), len(WINDOWS)).session
    wanted = np.array(SAID["scores"][name])
    np.testing.assert_allclose(session.score(WINDOWS).score, wanted, rtol=1e-3, atol=1e-3)
    alone = [float(session.score(window[np.newaxis]).score[0]) for window in WINDOWS]
    assert alone == session.score(WINDOWS).score.tolist(), "bit for bit, alone and together"
    parts = session.explain(WINDOWS[-1]).contribution
    assert parts.shape == (1, 2)


def test_one_whose_scores_hang_on_their_neighbours_is_found_out_and_called_once_for_each(tmp_path):
    batched = {name: open_model(packed(tmp_path, name)).session.batched for name in OUTPUTS}
    assert [name for name, together in batched.items() if not together] == ["one_class_svm", "local_outlier_factor"]


@pytest.mark.parametrize(
    ("name", "graph", "told"),
    [
        ("one_class_svm", {"score": "label"}, 'output "label" must be float, is int64'),
        ("components", {}, r'output "variable" has shape \[1, 2\] instead of \[1\]'),
        ("gaussian_mixture", {"score": "probabilities"}, r'"probabilities" has shape \[1, 3\] instead of \[1\]'),
        ("network", {"score": "score"}, 'must have an output "score", has "variable"'),
        ("network", {"input": "window"}, 'must have one input "window", has "X"'),
        ("network", {"layout": "window"}, r"has shape .* the card says \[batch, 3, 2\]"),
    ],
)
def test_an_output_that_is_no_score_is_refused_by_name(tmp_path, name, graph, told):
    with pytest.raises(ModelError, match=told):
        open_model(packed(tmp_path, name, graph=graph))


async def test_one_of_scikit_learn_raises_and_names_the_tag_that_goes_its_own_way(tmp_path):
    inputs = [
        {"tag": "temp", "unit": "°C", "min": 45.0, "max": 55.0, "expected": 50.0, "max_age_ms": 5000},
        {"tag": "flow", "unit": "l/min", "min": 9.0, "max": 11.0, "expected": 10.0, "max_age_ms": 5000},
    ]
    packed(tmp_path, "one_class_svm", inputs=inputs, threshold=0.0, graph={"scale": -1.0})
    one = device()
    plant = Plant([("one_class_svm.onnx", {"devices": ("oven-1",)})], [one], tmp_path)
    await plant.detector.load()
    plant.seconds(10, [one])
    assert plant.devices()["oven-1"]["state"] == "running"
    assert plant.events == []
    plant.seconds(8, [one], flow=12.5)
    (event,) = plant.events
    assert (event.kind, event.state) == ("anomaly", "raised")
    assert event.contributions[0].tag == "flow"


def test_an_autoencoder_in_the_manner_of_pytorch(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    rng = np.random.default_rng(3)
    narrow, wide = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((1, 2, 3), (1, 2, 3)))
    mean, scale = np.array([[[50.0], [10.0]]], np.float32), np.array([[[2.0], [0.5]]], np.float32)
    nodes = [
        helper.make_node("Sub", ["input.1", "mean"], ["/Sub_output_0"], name="/Sub"),
        helper.make_node("Div", ["/Sub_output_0", "scale"], ["/Div_output_0"], name="/Div"),
        helper.make_node(
            "Conv", ["/Div_output_0", "encoder.0.weight"], ["/encoder/encoder.0/Conv_output_0"],
            dilations=[1], group=1, kernel_shape=[3], pads=[1, 1], strides=[1],
        ),
        helper.make_node("Relu", ["/encoder/encoder.0/Conv_output_0"], ["/encoder/encoder.1/Relu_output_0"]),
        helper.make_node(
            "ConvTranspose", ["/encoder/encoder.1/Relu_output_0", "decoder.0.weight"], ["/decoder/decoder.0/out"],
            dilations=[1], group=1, kernel_shape=[3], pads=[1, 1], strides=[1],
        ),
        helper.make_node("Sub", ["/decoder/decoder.0/out", "/Div_output_0"], ["/Sub_1_output_0"]),
        helper.make_node("Mul", ["/Sub_1_output_0", "/Sub_1_output_0"], ["/Pow_output_0"]),
        helper.make_node("ReduceMean", ["/Pow_output_0"], ["contribution"], axes=[2], keepdims=0),
        helper.make_node("ReduceMean", ["contribution"], ["31"], axes=[1], keepdims=0),
    ]  # fmt: skip
    opened = build(
        tmp_path / "m.onnx", nodes, [("input.1", tensor.FLOAT, ["batch_size", 2, 3])],
        [("31", tensor.FLOAT, ["batch_size"]), ("contribution", tensor.FLOAT, ["batch_size", 2])],
        {"input": "input.1", "layout": "channels_first", "score": "31"},
        [("encoder.0.weight", narrow), ("decoder.0.weight", wide), ("mean", mean), ("scale", scale)],
    )  # fmt: skip
    scaled = (WINDOWS.transpose(0, 2, 1) - mean) / scale
    padded = np.pad(scaled, ((0, 0), (0, 0), (1, 1)))
    code = np.stack([(padded[:, :, at : at + 3] * narrow).sum(axis=(1, 2)) for at in range(3)], axis=1)
    code = np.pad(np.maximum(code, 0), ((0, 0), (1, 1)))
    back = np.stack([(code[:, np.newaxis, at : at + 3] * wide[:, :, ::-1]).sum(axis=2) for at in range(3)], axis=2)
    np.testing.assert_allclose(opened.session.score(WINDOWS).score, ((back - scaled) ** 2).mean(axis=(1, 2)), rtol=1e-4)
    assert opened.session.explain(WINDOWS[0]).contribution.shape == (1, 2)


def test_a_graph_for_pictures_passes_the_checks_of_its_file(tmp_path):
    """A camera's frame is no window of tags: it needs a session of its own, but no check before it stands in the way."""
    helper, tensor = onnx().helper, onnx().TensorProto
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["map"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalMaxPool", ["map"], ["peak"]),
        helper.make_node("Flatten", ["peak"], ["score"], axis=1),
    ]
    weight = onnx().numpy_helper.from_array(np.ones((1, 3, 3, 3), np.float32), "weight")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "pictures", [value("image", tensor.FLOAT, [1, 3, 128, 128])],
        [value("score", tensor.FLOAT, [1, 1]), value("map", tensor.FLOAT, [1, 1, 128, 128])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_onnx(path).refusal() is None
