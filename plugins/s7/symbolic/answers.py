"""Answers to a read of many values by symbol. After a result stand number and value of each that the CPU has, a 0, number and
error of each that it has not, and a 0. A value begins with flags and wire type, by which alone its length is known."""

from typing import NamedTuple

from .kinds import ARRAY


class Wire(NamedTuple):
    """A value as it came: its flags and wire type as `kinds` has them, and its bytes, high byte first."""

    type: int
    data: bytes


class NotGivenError(Exception):
    """The CPU refuses a request as a whole, by this result."""


def parse(answer: bytes, count: int) -> list[Wire | int]:
    """Value or error of each of `count` items. Raises NotGivenError, and anything else for what is no such answer."""
    from s7commplus.codec import decode_pvalue_to_bytes
    from s7commplus.vlq import decode_uint64_vlq

    result, at = decode_uint64_vlq(answer)
    if result:
        raise NotGivenError(result)
    found: list[Wire | int | None] = [None] * count
    while True:
        item, size = decode_uint64_vlq(answer, at)
        at += size
        if not item:
            break
        data, size = decode_pvalue_to_bytes(answer, at)
        if at + size > len(answer) or found[item - 1] is not None:
            raise ValueError("the answer is cut off, or tells a value twice")
        found[item - 1] = Wire((answer[at] & ARRAY) << 8 | answer[at + 1], data)
        at += size
    while True:
        item, size = decode_uint64_vlq(answer, at)
        at += size
        if not item:
            break
        error, size = decode_uint64_vlq(answer, at)
        at += size
        if found[item - 1] is not None:
            raise ValueError("the answer tells a value, and an error of it")
        found[item - 1] = error
    whole = [each for each in found if each is not None]
    if len(whole) != count:
        raise ValueError(f"the answer has {len(whole)} of {count} values")
    return whole


def check_written(answer: bytes) -> None:
    """Raises NotGivenError where the CPU has not written the one value, and anything else for what is no such answer."""
    from s7commplus.vlq import decode_uint64_vlq

    result, at = decode_uint64_vlq(answer)
    if result:
        raise NotGivenError(result)
    item, size = decode_uint64_vlq(answer, at)
    if item:
        raise NotGivenError(decode_uint64_vlq(answer, at + size)[0])
