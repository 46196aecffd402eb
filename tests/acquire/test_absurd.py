"""A device whose good numbers all look as nothing in a plant does is told."""

import struct

import numpy as np
import pytest

from gateway.acquire.absurd import doubt
from gateway.core.live import LiveTable
from gateway.core.quality import BAD
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags


def device(*values, types="float32", quality=0):
    tags = Tags("press-1", [Tag(number, "press-1", f"t{number}", types) for number in range(len(values))])
    of = Device("press-1", "modbus", tags)
    live = LiveTable().define(of)
    count = len(values)
    block = Readings(
        of, np.full(count, 5, np.int64), tags.ids, np.array(values, float), np.full(count, quality, np.uint32)
    )
    live.update(block, 1)
    return live


def swapped(value):
    """With its two words in the other order."""
    raw = struct.pack(">f", value)
    return struct.unpack(">f", raw[2:] + raw[:2])[0]


def test_floats_whose_words_are_swapped_are_told_with_what_to_look_at():
    told = doubt(device(swapped(50.0), swapped(1.5), swapped(400.0)))
    assert told.startswith("its 3 numbers are good and yet absurd (such as 2.")
    assert "order of bytes or words" in told
    assert doubt(device(swapped(50.0))).startswith("its only number is")


@pytest.mark.parametrize(
    "live",
    [
        device(50.0, swapped(50.0)), device(0.0, 0.0), device(), device(1e-9), device(-3e12), device(np.nan),
        device(1e-40, types="int32"), device(1e-40, quality=BAD),
    ],
)  # fmt: skip
def test_one_that_makes_sense_or_none_at_all_is_no_reason_to_doubt(live):
    assert doubt(live) == ""
