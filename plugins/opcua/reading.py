"""Reading many nodes again and again: the request is encoded once, the answer decoded straight into columns."""

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import BadEncodingLimitsExceeded, BadResponseTooLarge, BadTooManyOperations

from gateway.plugin import Device, LinkError, Readings, Tags, quality

from .address import parse_address
from .decode import Block, as_block, empty_block
from .errors import in_words
from .fast import Decoder, UnexpectedLayoutError
from .part import Parts
from .session import Session

_TOO_MUCH = (BadTooManyOperations, BadResponseTooLarge, BadEncodingLimitsExceeded)
_COUNT = struct.Struct("<i")


@dataclass(slots=True)
class _Part:
    """One request: some of the nodes."""

    rows: slice
    parameters: bytes
    decoder: Decoder


class ReadPlan:
    """How to read the values of some tags."""

    def __init__(self, session: Session, device: Device, tags: Tags) -> None:
        self._session = session
        self._device = device
        self._tags = tags
        nodes = [session.node_id(parse_address(tag.config.address)) for tag in tags]
        self._known = np.flatnonzero([node is not None for node in nodes])
        self._nodes = [
            (node, tag.config.index_range) for node, tag in zip(nodes, tags, strict=True) if node is not None
        ]
        self._wanted = Parts([tag.config for tag in tags], session.types)
        self._parts: list[_Part] = []
        self._size = 0

    async def read(self, say: Callable[[int, str], None] = lambda row, what: None) -> Readings:
        """What the server says of the tags now. `say` is told of rows whose values cannot be tags."""
        with in_words("reading", self._session.certificate):
            block = await self._read()
        self._wanted.take(block)
        for row, why in block.unusable.items():
            say(row, why)
        return block.readings(self._device, self._tags.ids)

    async def _read(self) -> Block:
        while True:
            self._split()
            try:
                blocks = [await self._read_part(part) for part in self._parts]
            except _TOO_MUCH:
                self._session.shrink("read", self._size)
            else:
                return self._together(blocks)

    def _split(self) -> None:
        """Requests no larger than the server bears."""
        if self._size == (size := self._session.limits["read"]):
            return
        self._size = size
        begins = range(0, len(self._nodes), size)
        self._parts = [
            _Part(slice(at, at + size), _encoded(self._nodes[at : at + size]), Decoder(self._session.types))
            for at in begins
        ]

    async def _read_part(self, part: _Part) -> Block:
        answer = await self._session.request_encoded(ua.ReadRequest, part.parameters)
        count = len(self._nodes[part.rows])
        block = _decoded(answer, part.decoder, time.time_ns())
        if len(block.value) != count:
            raise LinkError(f"the server answered {len(block.value)} values instead of {count}")
        return block

    def _together(self, blocks: Sequence[Block]) -> Block:
        count = len(self._tags)
        if len(blocks) == 1 and len(self._nodes) == count:
            return blocks[0]
        whole = empty_block(count)
        whole.t_ns.fill(time.time_ns())
        whole.quality.fill(quality.BAD_NODE_ID_UNKNOWN)
        for part, block in zip(self._parts, blocks, strict=True):
            rows = self._known[part.rows]
            whole.t_ns[rows], whole.value[rows], whole.quality[rows] = block.t_ns, block.value, block.quality
            whole.exact.update((int(rows[row]), value) for row, value in block.exact.items())
            whole.unusable.update((int(rows[row]), kind) for row, kind in block.unusable.items())
        return whole


def _encoded(nodes: Sequence[tuple[ua.NodeId, str | None]]) -> bytes:
    parameters = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Both)
    parameters.NodesToRead = [
        ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange=part) for node, part in nodes
    ]
    return bytes(struct_to_binary(parameters))


def _decoded(answer: Buffer, decoder: Decoder, now_ns: int) -> Block:
    data = answer.copy()
    nodeid_from_binary(data)
    struct_from_binary(ua.ResponseHeader, data).ServiceResult.check()
    raw = bytes(data)
    (count,) = _COUNT.unpack_from(raw)
    try:
        return decoder.values(raw, _COUNT.size, max(0, count), now_ns)
    except (UnexpectedLayoutError, struct.error, IndexError):
        return as_block(struct_from_binary(ua.ReadResponse, answer).Results, now_ns, decoder.types)
