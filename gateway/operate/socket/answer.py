"""Answers of the control socket as JSON, in portions: a long one does not hold up the loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any

from gateway.core.plain import to_json

ROWS = 500
"""Entries of a list that are written at once."""


async def portions(result: Any, remarks: Sequence[str]) -> AsyncIterator[bytes]:
    """The line {"result": …}, with "remarks" if there are any. Others get their turn between two portions. Raises TypeError
    for what JSON cannot hold."""
    yield b'{"result":'
    if isinstance(result, Iterator | list):
        rows, before = iter(result), b"["
        while some := list(islice(rows, ROWS)):
            yield before + to_json(some)[1:-1]
            before = b","
            await asyncio.sleep(0)
        yield b"[]" if before == b"[" else b"]"
    else:
        yield to_json(result)
    yield (b',"remarks":' + to_json(list(remarks)) if remarks else b"") + b"}\n"


def refusal(reason: str) -> bytes:
    """The line {"error": …}."""
    return to_json({"error": reason}) + b"\n"
