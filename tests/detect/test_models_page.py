"""docs/models.md says what is so: its examples are run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from gateway.config.model import AlarmSection, ModelSection
from gateway.detect.models import session
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import MAX_NODES, MAX_SIZE
from gateway.detect.models.session import open_model
from tests.detect.graphs import onnx

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def test_the_tables_of_the_configuration_are_right():
    limit = AlarmSection.model_validate(tomli.loads(EXAMPLES["limits"])["alarm"][0])
    assert (limit.condition, limit.on_delay) == ("high", 5.0)
    model = ModelSection.model_validate(tomli.loads(EXAMPLES["model"])["model"][0])
    assert model.on_drift == "undecided"


def test_the_card_is_right_and_every_optional_member_may_be_left_out():
    whole = json.loads(EXAMPLES["card"])
    assert parse_card({"card": json.dumps(whole)}).graph.layout == "flat"
    named = re.findall(r"`(\w+)`", PAGE.partition("are optional")[0].rpartition("\n\n")[2])
    assert len(named) == 6
    for name in [*named, "author", "approval", "intended_use"]:
        body = {key: value for key, value in whole.items() if key != name}
        body["inputs"] = [{k: v for k, v in entry.items() if k != name} for entry in body["inputs"]]
        parse_card({"card": json.dumps(body)})


def test_the_script_packs_an_exported_graph_with_its_card(tmp_path):
    helper, tensor = onnx().helper, onnx().TensorProto
    node = helper.make_node("ReduceMean", ["X"], ["scores"], axes=[1], keepdims=0)
    graph = helper.make_graph(
        [node], "exported", [helper.make_tensor_value_info("X", tensor.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("scores", tensor.FLOAT, ["n"])],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "exported.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "card.json").write_text(EXAMPLES["card"])
    (tmp_path / "pack.py").write_text(EXAMPLES["pack"])
    line = [sys.executable, "pack.py", "exported.onnx", "card.json", "packed.onnx"]
    subprocess.run(line, cwd=tmp_path, check=True, timeout=100)
    assert open_model(tmp_path / "packed.onnx").card.name == "tablet-coater"


@pytest.mark.parametrize(
    ("said", "so"),
    [
        (r"at most (\d+) MiB", MAX_SIZE // 2**20),
        (r"and (\d+) nodes", MAX_NODES),
        (r"load within (\d+) s", round(session.LOAD_CPU_SECONDS)),
    ],
)
def test_the_bounds_are_those_of_the_code(said, so):
    assert int(re.findall(said, PAGE)[0]) == so
