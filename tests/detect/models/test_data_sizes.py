"""What a score costs must follow from the number of windows alone; graphs in which it does are taken, all others are not."""

import numpy as np
import pytest

from gateway.detect.models.onnx_file import parse_onnx
from tests.detect.graphs import onnx
from tests.peers.hostile_models import model


def found(nodes, constants=(), functions=()):
    return set(parse_onnx("m.onnx", model(nodes, constants, functions)).sized_by_data)


def node(operator, given, made, **attributes):
    return onnx().helper.make_node(operator, given.split(), made.split(), **attributes)


AXES = {"axis": np.array([0]), "one": np.array([1]), "tensor": np.ones(3, np.float32), "least": np.array([-(2**63)])}


@pytest.mark.parametrize(
    "nodes",
    [
        [("Shape", "window", "s"), ("ConstantOfShape", "s", "extra")],
        [("Shape", "window", "s"), ("Expand", "tensor s", "extra")],
        [("ReduceMax", "window", "m"), ("Div", "tensor m", "extra")],
        [("Shape", "window", "s"), ("Cast", "s", "f", {"to": 1}), ("Div", "tensor f", "extra")],
        [("ArgMax", "window", "a"), ("Cast", "a", "f", {"to": 1}), ("Div", "window f", "extra")],
        [("ArgMax", "window", "a"), ("Div", "a one", "extra")],
        [("TopK", "window one", "v i"), ("Gather", "tensor i", "g"), ("Div", "g v", "extra")],
        [("Split", "window", "a b c", {"axis": 1}), ("Div", "a b", "extra")],
    ],
)
def test_what_depends_on_the_number_of_windows_alone_is_taken(nodes):
    assert found([node(*each[:3], **(each[3] if len(each) > 3 else {})) for each in nodes], AXES) == set()


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([("Cast", "window", "i", {"to": 7}), ("Reshape", "i axis", "r"), ("Expand", "tensor r", "extra")], "Expand"),
        ([("ArgMax", "window", "a"), ("Flatten", "a", "f"), ("Tile", "tensor f", "extra")], "Tile"),
        ([("Reshape", "tensor window", "extra")], "Reshape"),
        ([("TopK", "tensor window", "v extra")], "TopK"),
        ([("NonZero", "window", "extra")], "NonZero"),
        ([("Unique", "window", "extra")], "Unique"),
        ([("ArgMax", "window", "a"), ("Div", "least a", "extra")], "Div of whole numbers"),
        ([("TopK", "window one", "v i"), ("Mod", "least i", "extra")], "Mod of whole numbers"),
        (
            [("Cast", "window", "i", {"to": 7}), ("Where", "i i i", "w"), ("Div", "w w", "extra")],
            "Div of whole numbers",
        ),
        ([("Expand", "tensor unheard-of", "extra")], "Expand"),
    ],
)
def test_what_depends_on_values_is_named(nodes, told):
    assert found([node(*each[:3], **(each[3] if len(each) > 3 else {})) for each in nodes], AXES) == {told}


def test_it_is_followed_into_functions_by_what_they_are_given():
    helper = onnx().helper
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    grown = helper.make_function("own", "Grown", ["v", "to"], ["y"], [node("Expand", "v to", "y")], domains)
    by_shape = [node("Shape", "window", "s"), node("Grown", "tensor s", "extra", domain="own")]
    by_value = [node("Cast", "window", "s", to=7), node("Grown", "tensor s", "extra", domain="own")]
    assert found(by_shape, AXES, [grown]) == set()
    assert found(by_value, AXES, [grown]) == {"Expand"}


def test_it_is_followed_into_the_bodies_of_scans():
    helper = onnx().helper
    info = helper.make_tensor_value_info

    def scan(*inner):
        body = helper.make_graph(
            [node("Identity", "state", "kept"), *inner], "body", [info("state", 1, []), info("each", 1, [3, 2])],
            [info("kept", 1, []), info("out", 1, None)],
        )  # fmt: skip
        first = node("ReduceMax", "window", "begin", keepdims=0)
        return [first, node("Scan", "begin window", "end extra", body=body, num_scan_inputs=1)]

    assert found(scan(node("Div", "each state", "out")), AXES) == set()
    assert found(scan(node("Cast", "state", "i", to=7), node("Expand", "each i", "out")), AXES) == {"Expand"}
