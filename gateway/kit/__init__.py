"""What several plugins share. A plugin imports from here and from `gateway.plugin`.

Receiving within bounds: `open_stream` is what a driver or sink with requests and answers over TCP needs; `Receiver` is for
one that is told of each frame; `Datagrams` for UDP. What a frame is says a `Framing`: `Sized` or `Ended`, or a class of your
own.

PLCs and the like, whose values stand in blocks of addresses: `BlockDriver`, on `kit.blocks` (which blocks are read, and how
they become columns), `kit.line` (asking and answering on a line) and `kit.registers` (types and byte orders). `WordTag` has
a tag's options where values stand in 16-bit words, and `WordDriver` does all that such PLCs have alike. What is asked on such
a line otherwise, say by name, is read on a `LineDriver`.

`FarRequests` answers what the far side of a sink asks for in JSON.

`find_devices` is the `discover` of a driver whose devices say what they are (`Driver.identify`).

`readings_of` makes readings of values that came one by one.

`UserPattern` is a regular expression out of the configuration, which can never stop the gateway.

`Suspects` finds what ends a connection whenever it is asked for. The gateway does so for all that is polled; a driver that
subscribes uses it itself.
"""

from gateway.dial import Route, route, shown, tls_context, tls_options, why_no_tls
from gateway.kit.block_driver import BlockDriver
from gateway.kit.dialling import dial, encrypt, open_datagrams, open_stream
from gateway.kit.far_requests import DeniedError, FarRequests, Question, read_question
from gateway.kit.frames import CHUNK, Ended, Frames, Framing, Sized
from gateway.kit.identity import find_devices, text_of
from gateway.kit.line_driver import LineDriver
from gateway.kit.patterns import OvertimeError, UserPattern
from gateway.kit.receiver import Receiver
from gateway.kit.streams import Datagrams, Stream
from gateway.kit.suspects import Suspects
from gateway.kit.values import readings_of
from gateway.kit.word_driver import WordDevice, WordDriver, WordReading
from gateway.kit.word_tag import (
    NotAvailable,
    WordAddress,
    WordArea,
    WordOrder,
    WordTag,
    WordType,
    WordValue,
    truth,
)

__all__ = [
    "CHUNK",
    "BlockDriver",
    "Datagrams",
    "DeniedError",
    "Ended",
    "FarRequests",
    "Frames",
    "Framing",
    "LineDriver",
    "NotAvailable",
    "OvertimeError",
    "Question",
    "Receiver",
    "Route",
    "Sized",
    "Stream",
    "Suspects",
    "UserPattern",
    "WordAddress",
    "WordArea",
    "WordDevice",
    "WordDriver",
    "WordOrder",
    "WordReading",
    "WordTag",
    "WordType",
    "WordValue",
    "dial",
    "encrypt",
    "find_devices",
    "open_datagrams",
    "open_stream",
    "read_question",
    "readings_of",
    "route",
    "shown",
    "text_of",
    "tls_context",
    "tls_options",
    "truth",
    "why_no_tls",
]
