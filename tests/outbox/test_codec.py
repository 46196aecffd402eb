import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gateway.core.readings import Readings
from gateway.core.record import Kind, Lane
from gateway.core.tag import Device, Tag, Tags
from gateway.encode import columns
from gateway.encode import exact_bytes as exact
from gateway.outbox.format import frames

device = Device("press-1", "fake", Tags("press-1", [Tag(i, "press-1", f"tag{i}") for i in (7, 8, 9, 20)]))

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
exacts = st.dictionaries(
    st.integers(0, 2**32 - 1),
    st.integers()
    | st.text()
    | st.binary()
    | st.recursive(
        st.lists(leaves) | st.dictionaries(st.text(), leaves),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
)


def column(dtype, n, elements=None):
    return npst.arrays(dtype, n, elements=elements)


@st.composite
def blocks(draw):
    n = draw(st.integers(1, 12))
    same = draw(st.booleans())
    tag = st.just(np.arange(n, dtype=np.uint32) + draw(st.integers(0, 2**32 - 13))) | column(np.uint32, n)
    whole = draw(st.booleans())
    n = 4 if whole else n
    return Readings(
        device,
        np.full(n, draw(st.integers(-(2**63), 2**63 - 1)), np.int64) if same else draw(column(np.int64, n)),
        device.tags.ids if whole else draw(tag).astype(np.uint32),
        draw(column(np.float64, n) | column(np.float32, n).map(lambda values: values.astype(np.float64))),
        draw(column(np.uint32, n) | st.sampled_from([0, 32, 0x8005_0000]).map(lambda q: np.full(n, q, np.uint32))),
        draw(exacts.map(lambda values: {row % n: value for row, value in values.items()})),
    )


def one(tag: int) -> Readings:
    zero = np.zeros(1, np.int64)
    return Readings(device, zero, np.array([tag], np.uint32), zero.astype(np.float64), zero.astype(np.uint32))


@given(blocks())
@example(one(tag=2**32 - 1))
def test_a_block_comes_back_bit_for_bit(readings):
    with np.errstate(over="ignore", invalid="ignore"):
        shape, payload = columns.encode(readings, device.tags.ids.tobytes())
    back = columns.decode(memoryview(payload), shape, len(readings), device)
    for name in ("t_ns", "tag", "value", "quality"):
        before, after = getattr(readings, name), getattr(back, name)
        assert after.dtype == before.dtype
        assert after.tobytes() == before.tobytes()
    assert back.exact == readings.exact


def test_what_is_constant_is_stored_once():
    n = 500
    tags = Tags("d", [Tag(i, "d", str(i)) for i in range(n)])
    whole = Device("d", "fake", tags)
    readings = Readings(whole, np.full(n, 5), tags.ids, np.arange(n) * 0.5, np.zeros(n, np.uint32))
    shape, payload = columns.encode(readings, tags.ids.tobytes())
    assert len(payload) == 8 + 4 * n
    assert shape == columns.ONE_TIME | columns.FLOAT32 | columns.ALL_GOOD | columns.WHOLE_DEVICE


def test_columns_of_another_type_are_stored_rightly():
    n = 4
    readings = Readings(device, np.arange(n, dtype=">i8"), device.tags.ids, np.arange(n), np.zeros(n, np.int8))
    shape, payload = columns.encode(readings, device.tags.ids.tobytes())
    back = columns.decode(memoryview(payload), shape, n, device)
    assert (back.t_ns.tolist(), back.value.tolist()) == ([0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0])


@given(exacts)
def test_exact_values_come_back(values):
    assert exact.decode(exact.encode(values)) == values


@given(st.binary(max_size=60))
def test_bytes_that_are_no_exact_values_are_a_value_error(data):
    try:
        exact.decode(data)
    except ValueError:
        return
    assert exact.encode(exact.decode(data))


def test_an_unforeseen_value_is_kept_as_its_text():
    assert exact.decode(exact.encode({0: 1 + 2j, 1: [np.float32(0.5), np.int64(7), (1, 2)]})) == {
        0: "(1+2j)",
        1: [0.5, 7, [1, 2]],
    }
    assert math.isnan(exact.decode(exact.encode({0: [math.nan]}))[0][0])


def framed(seq=1, payload=b"payload"):
    return frames.frame(
        Lane.DATA, Kind.READINGS, payload, seq=seq, total=10, rows=2, source=3, stamp=(1, 2, 3, 4, 5, 0)
    )


def test_a_frame_says_everything_of_its_record():
    data = framed()
    head = frames.peek(data, 0)
    assert frames.is_whole(data, 0, head)
    assert head[:14] == (frames.MAGIC, 7, 1, 10, 1, 2, 2, 3, 4, 5, 3, Lane.DATA, Kind.READINGS, frames.JSON)
    assert data[frames.HEAD_SIZE :] == b"payload"


@pytest.mark.parametrize("at", range(len(framed())))
def test_a_flipped_bit_anywhere_is_noticed_and_leapt_over(at):
    data = bytearray(framed(1) + framed(2) + framed(3))
    data[len(framed()) + at] ^= 0x10
    assert [head.seq for _, head in frames.scan(bytes(data))] == [1, 3]


@given(st.binary(max_size=300), st.integers(0, 5))
def test_frames_are_found_between_any_rubbish(rubbish, count):
    data = rubbish.join(framed(seq) for seq in range(1, count + 2))
    assert [head.seq for _, head in frames.scan(data)] == list(range(1, count + 2))
