import numpy as np

from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags

DEVICE = Device("d", "x", Tags("d", [Tag(9, "d", "a"), Tag(4, "d", "b"), Tag(7, "d", "c")]))


def block(ids, values, t_ns=1, exact=None):
    n = len(values)
    tag = ids if ids is DEVICE.tags.ids else np.array(ids, np.uint32)
    return Readings(DEVICE, np.full(n, t_ns), tag, np.array(values, float), np.zeros(n, np.uint32), exact or {})


def values(table):
    return [live.value if live.t_ns else None for live in table["d"]]


def test_the_last_value_of_each_tag_stands_whatever_the_order_and_size_of_the_blocks():
    table = LiveTable([DEVICE])
    assert values(table) == [None, None, None]
    table.update(block([7, 9], [3.0, 1.0]), 5)
    assert values(table) == [1.0, None, 3.0]
    table.update(block(DEVICE.tags.ids, [10.0, 20.0, 30.0], 2), 6)
    table.update(block([4], [21.0], 3), 7)
    assert values(table) == [10.0, 21.0, 30.0]
    assert [live.seen_ns for live in table["d"]] == [6, 7, 6]


def test_a_block_that_was_taken_over_is_never_changed():
    table = LiveTable([DEVICE])
    whole = block(DEVICE.tags.ids, [1.0, 2.0, 3.0])
    table.update(whole, 1)
    table.update(block([4], [9.0], 2), 2)
    assert whole.value.tolist() == [1.0, 2.0, 3.0]
    assert whole.t_ns.tolist() == [1, 1, 1]


def test_a_text_gives_way_to_a_number_and_back():
    table = LiveTable([DEVICE])
    table.update(block([4], [np.nan], exact={0: "on"}), 1)
    assert table["d"].exact == {1: "on"}
    table.update(block(DEVICE.tags.ids, [1.0, 2.0, 3.0]), 2)
    assert values(table) == [1.0, 2.0, 3.0]


def test_a_snapshot_holds_what_was_read_and_its_own_copy():
    table = LiveTable([DEVICE])
    table.update(block([7], [3.0]), 1)
    snapshot = table["d"].snapshot()
    table.update(block([7], [4.0], 2), 2)
    assert snapshot.tag.tolist() == [7]
    assert snapshot.value.tolist() == [3.0]


def test_blocks_of_a_replaced_definition_are_ignored():
    table = LiveTable([DEVICE])
    table.define(Device("d", "x", Tags("d", [Tag(1, "d", "a")])))
    table.update(block([7], [3.0]), 1)
    assert values(table) == [None]
