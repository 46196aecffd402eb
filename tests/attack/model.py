"""Model files that take more than a model may: memory, time, or the gateway's patience."""

import json
import random
from collections.abc import Callable

from tests.attack import attacks
from tests.attack.attacks import Site, laid, wait
from tests.attack.onnx_bytes import CARD, attribute, field, floats, function, integers, model, node

TABLES = """
[[device]]
name = "oven"
driver = "simulated"
scan = "1s"
[device.tags]
temp = { mean = 50.0, unit = "°C" }
flow = { mean = 10.0, unit = "l/min" }

[[model]]
file = "hostile/model.onnx"
devices = ["oven"]
"""
DEEP = 100_000
HUGE = 250_000_000
"""Floats; a gigabyte."""
PLAIN = node("Neg", "window", "big")

BOMBS: dict[str, Callable[[], bytes]] = {}


def with_model(_: Site) -> str:
    return TABLES


def bomb(content: Callable[[], bytes]) -> Callable[[], bytes]:
    """A model file with this content is watched with from the start."""
    word = content.__name__.replace("_", "-")
    name = f"model.{word}"
    BOMBS[word] = content
    lay = _laying(content)
    attacks.ALL[name] = attacks.Attack(name, (content.__doc__ or "").strip(), wait, with_model, lay, soak=False)
    return content


def _laying(content: Callable[[], bytes]) -> Callable[[Site], None]:
    def lay(site: Site) -> None:
        (site.folder / "model.onnx").write_bytes(content())

    return lay


@laid(with_model)
def good(site: Site) -> None:
    """A good model of ours, to see that the gateway takes it."""
    (site.folder / "model.onnx").write_bytes(model([PLAIN]))


@bomb
def constant_of_shape() -> bytes:
    """ConstantOfShape of a gigabyte."""
    return model([node("ConstantOfShape", "huge", "big")], [integers("huge", [HUGE])])


@bomb
def expand() -> bytes:
    """Expand to a gigabyte."""
    return model([node("Expand", "window wide", "big")], [integers("wide", [HUGE // 6, 1, 1, 1])])


@bomb
def tile() -> bytes:
    """Tile to a gigabyte."""
    return model([node("Tile", "window times", "big")], [integers("times", [1, HUGE // 6, 2])])


@bomb
def pad() -> bytes:
    """Pad to a gigabyte."""
    return model([node("Pad", "window pads", "big")], [integers("pads", [0, HUGE // 2, 0, 0, 0, 0])])


@bomb
def range_() -> bytes:
    """Range to a gigabyte."""
    numbers = [floats("zero", [0.0], []), floats("end", [float(HUGE)], []), floats("step", [1.0], [])]
    return model([node("Range", "zero end step", "big")], numbers)


@bomb
def one_hot() -> bytes:
    """OneHot of a depth of 40 million."""
    nodes = [node("Cast", "window", "i", attributes=attribute("to", i=7)), node("OneHot", "i depth values", "big")]
    return model(nodes, [integers("depth", [40_000_000]), floats("values", [0, 1], [2])])


@bomb
def eye() -> bytes:
    """EyeLike of 16,000 by 16,000."""
    nodes = [node("ConstantOfShape", "square", "s"), node("EyeLike", "s", "big")]
    return model(nodes, [integers("square", [16_000, 16_000])])


@bomb
def resize() -> bytes:
    """Resize by 9,000 in each direction."""
    nodes = [node("Resize", "window  scales", "big")]
    return model(nodes, [floats("scales", [1.0, 9000.0, 9000.0], [3])])


@bomb
def doubling() -> bytes:
    """A tensor joined with itself 27 times."""
    joined = [node("Concat", f"a{n} a{n}", f"a{n + 1}", attributes=attribute("axis", i=1)) for n in range(27)]
    return model([node("Identity", "window", "a0"), *joined, node("Identity", "a27", "big")])


@bomb
def einsum() -> bytes:
    """Einsum that makes 6 to the power of 10 numbers of six."""
    nodes = [node("Reshape", "window flat", "f")]
    equation = field(5, field(1, "equation") + field(4, "a,b,c,d,e,f,g,h,i,j->abcdefghij") + field(20, 3))
    nodes += [node("Einsum", " ".join(["f"] * 10), "big", attributes=equation)]
    return model(nodes, [integers("flat", [6])])


@bomb
def products() -> bytes:
    """Products of matrices of 6,000 by 6,000, thirty of them: a core for minutes."""
    nodes = [node("ConstantOfShape", "square", "m0")]
    nodes += [node("MatMul", f"m{n} m0", f"m{n + 1}") for n in range(30)]
    return model([*nodes, node("Identity", "m30", "big")], [integers("square", [6000, 6000])])


@bomb
def shape_by_data() -> bytes:
    """A shape that hangs on the data: only a score makes it large."""
    nodes = [
        node("ReduceMax", "window", "top", attributes=attribute("keepdims", i=0)),
        node("Cast", "top", "i", attributes=attribute("to", i=7)),
        node("Mul", "i factor", "shape"),
        node("ConstantOfShape", "shape", "big"),
    ]
    return model(nodes, [integers("factor", [5_000_000])])


def calling(depth: int, each: int) -> bytes:
    """Functions that call the next one so many times: each^depth nodes."""
    functions = []
    for level in range(depth):
        calls = [
            node(f"F{level + 1}", f"x{n}" if n else "x", f"x{n + 1}" if n < each - 1 else "y", "f") for n in range(each)
        ]
        functions.append(function(f"F{level}", calls))
    last = function(f"F{depth}", [node("Neg", "x", "y")])
    return model([node("F0", "window", "big", "f")], functions=[*functions, last])


@bomb
def functions_2_to_30() -> bytes:
    """Functions that call the next one twice, 30 deep."""
    return calling(30, 2)


@bomb
def functions_10_to_8() -> bytes:
    """Functions that call the next one ten times, 8 deep."""
    return calling(8, 10)


@bomb
def functions_in_a_ring() -> bytes:
    """Functions that call each other in a ring."""
    ring = [function("A", [node("B", "x", "y", "f")]), function("B", [node("A", "x", "y", "f")])]
    return model([node("A", "window", "big", "f")], functions=ring)


@bomb
def graphs_600_deep() -> bytes:
    """Subgraphs in subgraphs, 600 deep."""
    deep = PLAIN
    for _ in range(600):
        deep = node("If", "window", "big", attributes=attribute("then_branch", g=field(1, deep)))
    return model([deep])


@bomb
def card_deep() -> bytes:
    """A card nested 100,000 deep."""
    return model([PLAIN], card="[" * DEEP + "]" * DEEP)


@bomb
def card_deep_in_a_field() -> bytes:
    """A card, right but for one field that is nested 100,000 deep."""
    return model([PLAIN], card=json.dumps(CARD)[:-1] + ', "approval": ' + '{"a":' * DEEP + "1" + "}" * DEEP + "}")


@bomb
def card_of_numbers() -> bytes:
    """A card whose numbers have 5,000 digits, or are beyond what a float holds."""
    return model([PLAIN], card=json.dumps(CARD).replace("1000", "9" * 5000).replace("50.0", "1e999"))


@bomb
def card_of_escapes() -> bytes:
    """A card whose name is escapes and half a surrogate."""
    return model([PLAIN], card=json.dumps(CARD | {"name": "\x1b[2J\ud800\n"}))


@bomb
def metadata_in_latin_1() -> bytes:
    """Metadata that is not UTF-8."""
    return model([PLAIN]) + field(14, field(1, b"\xb0C") + field(2, b"\xff\xfe"))


@bomb
def no_graph() -> bytes:
    """A card and no graph."""
    return field(1, 8) + field(14, field(1, "card") + field(2, json.dumps(CARD)))


@bomb
def fields_by_the_million() -> bytes:
    """A million empty fields behind a good model."""
    return model([PLAIN]) + field(14, b"") * 1_000_000


@bomb
def noise() -> bytes:
    """Random bytes."""
    return random.Random(3).randbytes(200_000)


@bomb
def cut_off() -> bytes:
    """A good model that is cut off."""
    return model([PLAIN])[:-40]
