"""What the library believes of the bytes of an answer, and should not.

It makes as many objects as an answer of a few bytes claims, goes backwards where a length is below zero, and follows what is
nested until the stack ends. `Measured` gives it only so many parts to read, and `decoded` turns whatever it raises into one
error.
"""

import asyncio
from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from gateway.plugin import doubting

T = TypeVar("T")

PARTS = 400_000
"""Numbers, texts and lengths that are read of one answer: some 100 MB of objects, if each is one of its own."""
LARGE = 16 * 1024
"""Bytes of an answer that is decoded beside the loop."""
DIMENSIONS = 16

_ID = 4
"""Bytes of the kind of an answer, in the short form in which all servers write it (OPC 10000-6 §5.2.2.9)."""
_SHORT_ID = b"\1"
_TIME_AND_HANDLE = 12
_GOOD = (bytes(5) + b"\xff\xff\xff\xff" + bytes(3), bytes(12))
"""What follows them in the header of a good answer: status, no diagnostics, no texts, nothing additional."""


class NotUnderstoodError(ua.UaError):  # type: ignore[misc]
    """The bytes are not what they should be; says why."""

    raw = b""
    """The first of them, for the log, where they are those of one value."""


class CountError(NotUnderstoodError):
    """An answer has another number of results than were asked for."""

    def __init__(self, asked: int, results: int) -> None:
        super().__init__(f"the server's answer has {max(0, results)} results where {asked} were asked for")


class Measured(Buffer):  # type: ignore[misc]
    """The bytes of one answer, of which only so many parts are read; a copy reads from the same account."""

    _data: bytes
    _cur_pos: int
    _size: int

    def __init__(self, data: bytes, start_pos: int = 0, size: int = -1, account: list[int] | None = None) -> None:
        super().__init__(data, start_pos, size)
        self._account = [PARTS] if account is None else account

    def read(self, size: int) -> bytes:
        """The next bytes. Raises NotUnderstoodError for fewer than none, and when too much was read already."""
        account = self._account
        account[0] -= 1
        if account[0] < 0:
            raise NotUnderstoodError("it has too many parts")
        if 0 <= size <= self._size:
            begin = self._cur_pos
            self._cur_pos = end = begin + size
            self._size -= size
            return self._data[begin:end]
        if size < 0:
            raise NotUnderstoodError(f"it gives {size} as a length")
        raise NotEnoughData(f"it ends where {size} more bytes should be")

    def skip(self, size: int) -> None:
        """Pass some bytes over."""
        if size < 0:
            raise NotUnderstoodError(f"it gives {size} as a length")
        super().skip(size)

    def copy(self, size: int = -1) -> "Measured":
        """The same bytes, or the first ones of them, to be read independently."""
        size = self._size if size == -1 or size > self._size else size
        return Measured(self._data, self._cur_pos, size, self._account)

    def ahead(self, size: int) -> bytes:
        """The next bytes, or as many as there are, without reading them."""
        return self._data[self._cur_pos : self._cur_pos + min(size, self._size)]

    @property
    def data(self) -> bytes:
        """All bytes, also those that were read, and one more at the end."""
        data = self._data
        return data if self._cur_pos + self._size < len(data) else data + b"\0"


def decoded(kind: type[T], data: Buffer) -> T:
    """A structure from its bytes. Raises NotUnderstoodError, whatever is wrong with them."""
    with doubting(NotUnderstoodError):
        found: T = struct_from_binary(kind, data)
    return found


def after_header(answer: Buffer) -> Measured:
    """What follows the header of an answer. Raises NotUnderstoodError, or the error that the header tells."""
    rest = answer.copy() if isinstance(answer, Measured) else Measured(bytes(answer))
    head = rest.ahead(_ID + _TIME_AND_HANDLE + len(_GOOD[0]))
    if head[:1] == _SHORT_ID and head[_ID + _TIME_AND_HANDLE :] in _GOOD:  # the library takes a tenth of a millisecond
        rest.skip(len(head))
        return rest
    with doubting(NotUnderstoodError):
        nodeid_from_binary(rest)
    decoded(ua.ResponseHeader, rest).ServiceResult.check()
    return rest


async def decoded_beside(kind: type[T], data: Buffer) -> T:
    """The same, of an answer that may be large: others have their turn meanwhile."""
    return await asyncio.to_thread(decoded, kind, data) if len(data) > LARGE else decoded(kind, data)


_unpack_array = ua_binary.unpack_uatype_array
_reshape = ua_binary._reshape


def _unpack_array_of_something(kind: ua.VariantType, data: Any) -> Any:
    """The library believes an array of nulls whatever length it claims, since a null takes no byte: a damaged answer of a
    few bytes then costs minutes and gigabytes."""
    if kind == ua.VariantType.Null:
        raise NotUnderstoodError("an array of nulls, which OPC UA does not have")
    return _unpack_array(kind, data)


def _shape_of_what_came(flat: list[Any], sizes: Sequence[int] | None) -> list[Any]:
    """The library fills a matrix with empty lists up to the size that it claims; here one whose sizes do not fit its
    elements is a list."""
    fits = sizes is not None and 0 < len(sizes) <= DIMENSIONS and min(sizes) >= 0 and prod(sizes) == len(flat)
    found: list[Any] = _reshape(flat, list(sizes)) if fits and sizes else flat
    return found


ua_binary.unpack_uatype_array = _unpack_array_of_something
ua_binary._reshape = _shape_of_what_came
