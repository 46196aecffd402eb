"""Where a value ends, from its bytes alone: so that one that cannot be decoded costs no other (OPC 10000-6 §5.2.2).

Nothing is made of the values here. What is nested is followed only so deep.
"""

import struct

from .bounds import NotUnderstoodError

DEEPEST = 16
"""Values within values, at most."""
_I32 = struct.Struct("<i")
_FIXED = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8, 14: 16, 19: 4}
"""Built-in types of fixed length: number → bytes."""
_DATA_VALUE, _VARIANT = 23, 24
_LAST = 31
"""From 26 on they are types of the future, which are written as ByteStrings are."""
_ID_LENGTHS = {0: 2, 1: 4, 2: 7, 4: 19}
"""Of node ids of fixed length: how they are written → bytes."""
_TAIL = ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2))


def data_value_end(data: bytes, at: int, end: int, depth: int = DEEPEST) -> int:
    """Where the data value that begins at `at` ends. Raises NotUnderstoodError when that is not told, or beyond `end`."""
    mask = _byte(data, at, end)
    if mask >= 64:
        raise NotUnderstoodError(f"a data value cannot begin with {mask}")
    at += 1
    if mask & 1:
        at = variant_end(data, at, end, depth - 1)
    return _within(at + sum(length for bit, length in _TAIL if mask & bit), end)


def variant_end(data: bytes, at: int, end: int, depth: int) -> int:
    """The same of a value with its type before it."""
    encoding = _byte(data, at, end)
    kind = encoding & 63
    at += 1
    if not encoding & 128:
        return _end(data, at, end, kind, depth)
    count, at = _count(data, at, end)
    if kind in _FIXED:
        at = _within(at + count * _FIXED[kind], end)
    else:
        if kind == 0:
            raise NotUnderstoodError("an array of nulls, which OPC UA does not have")
        _within(at + count, end)
        for _ in range(count):
            at = _end(data, at, end, kind, depth)
    if encoding & 64:
        count, at = _count(data, at, end)
        at = _within(at + 4 * count, end)
    return at


def _end(data: bytes, at: int, end: int, kind: int, depth: int) -> int:
    if depth <= 0:
        raise NotUnderstoodError("it is nested too deep")
    if kind in _FIXED:
        return _within(at + _FIXED[kind], end)
    if kind in _ENDS:
        return _ENDS[kind](data, at, end)
    if kind == _DATA_VALUE:
        return data_value_end(data, at, end, depth - 1)
    if kind == _VARIANT:
        return variant_end(data, at, end, depth - 1)
    if kind > _LAST:
        raise NotUnderstoodError(f"there is no type {kind}")
    return at if kind == 0 else _text_end(data, at, end)


def _qualified_name_end(data: bytes, at: int, end: int) -> int:
    return _text_end(data, _within(at + 2, end), end)


def _localized_text_end(data: bytes, at: int, end: int) -> int:
    mask = _byte(data, at, end)
    at += 1
    for bit in (1, 2):
        if mask & bit:
            at = _text_end(data, at, end)
    return at


def extension_object_end(data: bytes, at: int, end: int) -> int:
    """Where a structure, in whatever encoding, ends. Raises as `data_value_end`."""
    at = _node_id_end(data, at, end)
    encoding = _byte(data, at, end)
    return _text_end(data, at + 1, end) if encoding in (1, 2) else at + 1


def _node_id_end(data: bytes, at: int, end: int) -> int:
    encoding = _byte(data, at, end)
    how = encoding & 63
    if how in _ID_LENGTHS:
        at = _within(at + _ID_LENGTHS[how], end)
    elif how in (3, 5):
        at = _text_end(data, at + 3, end)
    else:
        raise NotUnderstoodError(f"there is no node id of the kind {how}")
    if encoding & 128:
        at = _text_end(data, at, end)
    return _within(at + 4, end) if encoding & 64 else at


def _diagnostic_info_end(data: bytes, at: int, end: int) -> int:
    for _ in range(DEEPEST):
        mask = _byte(data, at, end)
        at += 1 + 4 * sum(bool(mask & bit) for bit in (1, 2, 4, 8))
        if mask & 16:
            at = _text_end(data, at, end)
        if mask & 32:
            at = _within(at + 4, end)
        if not mask & 64:
            return _within(at, end)
    raise NotUnderstoodError("it is nested too deep")


def _text_end(data: bytes, at: int, end: int) -> int:
    count, at = _count(data, at, end)
    return _within(at + count, end)


def _count(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A length, -1 for nothing taken for 0, and where it ends."""
    _within(at + 4, end)
    (count,) = _I32.unpack_from(data, at)
    if count < -1:
        raise NotUnderstoodError(f"it gives {count} as a length")
    return max(0, count), at + 4


def _byte(data: bytes, at: int, end: int) -> int:
    _within(at + 1, end)
    return data[at]


def _within(at: int, end: int) -> int:
    if at > end:
        raise NotUnderstoodError("it is cut off")
    return at


_ENDS = {
    17: _node_id_end,
    18: _node_id_end,
    20: _qualified_name_end,
    21: _localized_text_end,
    22: extension_object_end,
    25: _diagnostic_info_end,
}
"""Built-in types that are put together: number → where one ends."""
