"""Spoilt frames for the decoders of drivers: what they may make of them."""

import random
import struct
from typing import Any

from gateway.kit import Frames
from gateway.kit.line import MISFIT, Answer, DamagedError, LineFraming
from gateway.plugin import LinkError


def spoilt(frame: bytes, dice: random.Random) -> bytes:
    """The frame with a bit turned, a byte changed, its end missing, replaced or longer."""
    data = bytearray(frame)
    match dice.randrange(5):
        case 0:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case 1:
            del data[dice.randrange(len(data)) :]
        case 2:
            data[dice.randrange(len(data)) :] = dice.randbytes(dice.randrange(40))
        case 3:
            data[dice.randrange(len(data))] = dice.randrange(256)
        case _:
            data += dice.randbytes(dice.randrange(1, 20))
    return bytes(data)


def taken(framing: LineFraming[Any], asked: Any, number: int, data: bytes) -> list[Answer]:
    """What a line takes for answers to a request by this number, of bytes that have come. Raises what a framing must not."""
    frames, found = Frames(framing), []
    frames.add(data)
    try:
        while (frame := frames.next()) is not None:
            opened = framing.opened(frame)
            framing.unit(opened)
            framing.foreign(asked, opened)
            if framing.number(opened) != number:
                continue
            try:
                answer: Any = framing.answer(asked, opened)
            except (LookupError, ValueError, struct.error):
                answer = MISFIT
            if answer is not None:
                found.append(MISFIT if isinstance(answer, bytes) and len(answer) != asked.size >= 0 else answer)
    except (ValueError, DamagedError, LinkError):
        pass
    return found
