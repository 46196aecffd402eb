"""What the server reports at a time becomes few blocks, with every value once and each tag's in their order."""

import numpy as np
import structlog
from hypothesis import given
from hypothesis import strategies as st

from plugins.opcua.remarks import Remarks
from plugins.opcua.subscribe.quiet import Quiet
from plugins.opcua.subscribe.report import WORTH, ValueReport
from plugins.opcua.values.blocks import Block
from plugins.opcua.values.structures import NO_TYPES

from .conftest import make_device
from .fakes import FakeSession

TAGS = 150
DEVICE = make_device("opc.tcp://plc", [f"T{number}" for number in range(TAGS)])


def report() -> ValueReport:
    return ValueReport(DEVICE, NO_TYPES, Remarks(DEVICE, structlog.get_logger()), Quiet(FakeSession(), DEVICE))


def message(rows: list[int], begin: int = 0) -> tuple[np.ndarray, Block]:
    """Values that count up, every tenth of them a text."""
    numbers = np.arange(begin, begin + len(rows))
    exact = {at: f"text {number}" for at, number in enumerate(numbers.tolist()) if number % 10 == 0}
    value = np.where(numbers % 10 == 0, np.nan, numbers.astype(float))
    block = Block(numbers * 1000, value, np.zeros(len(rows), np.uint32), exact, {})
    return np.array(rows, np.intp), block


def values(blocks) -> dict[int, list[object]]:
    """Row → its values in the order in which they come."""
    found: dict[int, list[object]] = {}
    for block in blocks:
        for at, number in enumerate(block.tag.tolist()):
            found.setdefault(number - 100, []).append(block.exact.get(at, float(block.value[at])))
    return found


@given(
    st.lists(st.lists(st.integers(0, TAGS - 1), max_size=400), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_every_value_comes_once_and_those_of_a_tag_in_their_order(messages, random):
    made, wanted, begin = report(), {}, 0
    for rows in messages:
        rows = rows + random.choices(range(TAGS), k=random.choice([0, 300]))
        for number, row in enumerate(rows, begin):
            wanted.setdefault(row, []).append(float(number) if number % 10 else f"text {number}")
        made.add(*message(rows, begin), 0.0)
        begin += len(rows)
    assert values(made.take()) == wanted
    assert made.take() == []


def test_several_values_of_all_tags_become_blocks_of_the_devices_own_tags():
    made = report()
    made.add(*message([row for row in range(TAGS) for _ in range(3)]), 0.0)
    blocks = made.take()
    assert len(blocks) == 3
    assert all(block.tag is DEVICE.tags.ids for block in blocks)
    assert [block.t_ns[1] for block in blocks] == [3000, 4000, 5000]


def test_the_same_tags_in_whatever_order_have_the_same_ids_object():
    made = report()
    some = list(range(0, TAGS, 1))[: WORTH + 10]
    made.add(*message(some[::-1]), 0.0)
    made.add(*message(some), 0.0)
    first, second = made.take()
    assert first.tag is second.tag
    assert not first.tag.flags.writeable


def test_one_tag_with_many_values_does_not_make_many_blocks():
    made = report()
    made.add(*message([*range(TAGS), *[7] * 500]), 0.0)
    assert [len(block) for block in made.take()] == [TAGS + 500]
