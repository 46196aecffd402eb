"""A line on which devices are asked: whose turn it is, how long an answer is waited for, and whose answer came.

A protocol says by a `LineFraming` what its frames look like, and by `RefusalCodes` what its codes mean.
"""

from gateway.kit.line.answers import DAMAGED, MISFIT, NO_ANSWER, UNSENT, Answer, JointAnswer, LineRequest, RefusalCodes
from gateway.kit.line.exchange import AskingPace, Exchange
from gateway.kit.line.exchange_state import LineManners
from gateway.kit.line.framing import DamagedError, LineFraming
from gateway.kit.line.request_line import RequestLine, open_line

__all__ = [
    "DAMAGED",
    "MISFIT",
    "NO_ANSWER",
    "UNSENT",
    "Answer",
    "AskingPace",
    "DamagedError",
    "Exchange",
    "JointAnswer",
    "LineFraming",
    "LineManners",
    "LineRequest",
    "RefusalCodes",
    "RequestLine",
    "open_line",
]
