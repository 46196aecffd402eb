"""An .onnx file is read without an ONNX library, and what must not run is refused."""

import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import ModelError, parse_onnx, read_onnx
from gateway.detect.models.protobuf import field
from tests.detect.graphs import CARD, onnx, save

SHIPPED = Path(__file__).parents[3] / "gateway/demo/models/coater.onnx"


def test_metadata_operators_and_hash_are_those_that_the_onnx_package_sees():
    model = onnx().load(SHIPPED)
    file = read_onnx(SHIPPED)
    assert file.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert file.operators == {(node.domain, node.op_type) for node in model.graph.node}
    assert file.sha256 == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert not file.external_data
    assert file.refusal() is None


def test_random_operators_are_refused_also_in_a_branch(tmp_path):
    helper = onnx().helper
    noise = helper.make_node("RandomNormal", [], ["noise"], shape=[1])
    branch = helper.make_graph([noise], "branch", [], [helper.make_tensor_value_info("noise", 1, [1])])
    condition = helper.make_node("If", ["condition"], ["score"], then_branch=branch, else_branch=branch)
    assert "RandomNormal" in read_onnx(save(tmp_path / "m.onnx", nodes=[noise])).refusal()
    assert "RandomNormal" in read_onnx(save(tmp_path / "m.onnx", nodes=[condition])).refusal()


def test_operators_outside_the_standard_are_refused_by_name(tmp_path):
    node = onnx().helper.make_node("Shell", ["window"], ["score"], domain="com.evil")
    path = save(tmp_path / "m.onnx", nodes=[node], domains=[("", 17), ("com.evil", 1)])
    assert "com.evil.Shell" in read_onnx(path).refusal()


def test_functions_that_the_file_defines_itself_are_no_foreign_operators_but_their_content_counts(tmp_path):
    helper = onnx().helper
    model = onnx().load(SHIPPED)
    opset = [helper.make_opsetid("", 17)]
    for operator, refused in (("Abs", False), ("RandomNormalLike", True)):
        inner = helper.make_node(operator, ["x"], ["y"])
        model.functions.append(helper.make_function("own", operator + "Twice", ["x"], ["y"], [inner], opset))
        model.graph.node.append(helper.make_node(operator + "Twice", ["window"], ["unused"], domain="own"))
        path = tmp_path / "f.onnx"
        path.write_bytes(model.SerializeToString())
        assert bool(read_onnx(path).refusal()) is refused


def test_weights_in_other_files_are_refused(tmp_path):
    model = onnx().load(SHIPPED)
    onnx().save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="weights")
    assert "other files" in read_onnx(tmp_path / "m.onnx").refusal()


def test_a_missing_file_an_empty_one_and_a_text_are_told_by_name(tmp_path):
    for content in (None, b"", b"hello, this is no model", b"\x3a\xff\xff\xff\xff\x0f"):
        path = tmp_path / "m.onnx"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=r"m\.onnx"):
            read_onnx(path)


def test_the_numbers_of_a_forest_are_passed_over_and_what_stands_among_them_is_seen():
    inner = field(1, field(4, b"RandomNormal"))
    numbers = b"\x3d\0\0\x80\x3f\x40\x07\x40\xff\xff\x03" + field(9, b"BRANCH_LEQ")
    attribute = numbers * 200_000 + field(6, inner) + numbers
    file = parse_onnx(Path("x"), field(7, field(1, field(4, b"If") + field(5, attribute))))
    assert file.operators == {("", "If"), ("", "RandomNormal")}
    for odd in (field(9, b"x" * 65), b"\x3d\0", b"\x40\xff", b"\x43"):
        with pytest.raises(ModelError):
            parse_onnx(Path("x"), field(7, field(1, field(5, numbers + odd))))


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(data, tmp_path_factory):
    content = bytearray(SHIPPED.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        file = read_onnx(path)
        file.refusal()
        parse_card(file.metadata)
    except ModelError as error:
        assert str(error)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_crash(content):
    with contextlib.suppress(ModelError):
        parse_onnx(Path("x"), content)


def test_the_card_of_a_saved_model_is_found(tmp_path):
    assert parse_card(read_onnx(save(tmp_path / "m.onnx")).metadata).name == CARD["name"]
