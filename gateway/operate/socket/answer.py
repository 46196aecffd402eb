"""Answers of the control socket as JSON, in portions: a long one does not hold up the loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson

from gateway.core.text import encodable

ROWS = 500
"""Entries of a list that are written at once."""
_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


async def portions(result: Any, remarks: Sequence[str]) -> AsyncIterator[bytes]:
    """The line {"result": …}, with "remarks" if there are any. Others get their turn between two portions. Raises TypeError
    for what JSON cannot hold."""
    yield b'{"result":'
    if isinstance(result, Iterator | list):
        rows, before = iter(result), b"["
        while some := list(islice(rows, ROWS)):
            yield before + dumps(some)[1:-1]
            before = b","
            await asyncio.sleep(0)
        yield b"[]" if before == b"[" else b"]"
    else:
        yield dumps(result)
    yield (b',"remarks":' + dumps(list(remarks)) if remarks else b"") + b"}\n"


def refusal(reason: str) -> bytes:
    """The line {"error": …}."""
    return dumps({"error": reason}) + b"\n"


def dumps(value: Any) -> bytes:
    """As JSON; NaN becomes null. What orjson refuses (halves of characters, integers beyond 64 bits) costs no more than
    itself."""
    try:
        return orjson.dumps(value, option=_JSON)
    except TypeError:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and value * 0 != 0 else value
