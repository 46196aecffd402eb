"""Reading many nodes again and again: the request is encoded once, the answer decoded straight into columns.

A request whose answer makes no sense, that is refused, or not answered by a server that answers others, is asked by halves:
so the node is found that spoils it, which is then read alone, and more and more seldom, while the others are read as before.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary

from gateway.plugin import Device, LinkError, Readings, Tags, doubting, quality

from ..address import Address, NamePath, parse_place
from ..session.errors import SIZES, TOO_MUCH, in_few_words, in_words, of_what_was_asked
from ..session.session import OpcUaSession
from ..session.suspicion import WHY
from ..values.blocks import Block, empty_block, joined
from ..values.bounds import CountError, NotUnderstoodError, after_header
from ..values.bulk_decoder import LOGGED, Decoder
from ..values.kinds import Kinds
from ..values.value_part import Parts

FIRST_RETRY, LAST_RETRY = 5.0, 300.0
"""Seconds after which a node whose value spoils answers is read again, alone; doubling."""
SOON = 10.0
"""The last of them, as long as they are few: what was repaired is back soon."""
FEW = 10
PATIENCE = 1.0
"""Seconds for the answer to a part of a request that was not answered, at most."""
MOST_PARKED = 8
"""Nodes that spoil answers before any other one was read: then it is no trouble of single nodes."""
Say = Callable[[int, str, bytes], None]

_COUNT = struct.Struct("<i")


@dataclass(slots=True)
class _Part:
    """One request: some of the nodes."""

    rows: list[int]
    parameters: bytes
    decoder: Decoder


@dataclass(slots=True)
class _Parked:
    """A row that is read alone."""

    reason: str
    code: int
    raw: bytes
    """Its first bytes, for the log."""
    pause: float
    retry_at: float


class ReadPlan:
    """How to read the values of some tags."""

    def __init__(self, session: OpcUaSession, device: Device, tags: Tags, operation: str = "read") -> None:
        """`operation`: under which it is remembered over what the connection ends (`session/suspicion.py`)."""
        self._session = session
        self._device = device
        self._tags = tags
        self._nodes: dict[int, tuple[ua.NodeId, str | None]] = {}
        self._size = 0
        self.find_nodes()
        self._wanted = Parts([tag.config for tag in tags], session.types)
        self._kinds = Kinds(tags)
        self._parts: list[_Part] = []
        self._parked: dict[int, _Parked] = {}
        self._operation = operation
        self._suspects = session.suspicion.of(operation)
        self._understood = 0
        """Answers that made sense."""
        self._untold = np.array([tag.name not in session.described for tag in tags], np.bool_)
        self._missing = np.zeros(len(tags), np.bool_)
        """Rows that the server did not know at the last read, or that were bad and never described."""
        self.changed: set[int] = set()
        """Rows of which the server has to be asked anew what they are."""

    @property
    def lacks_nodes(self) -> bool:
        """Whether the server has no such namespace as a tag's."""
        return len(self._nodes) < len(self._tags)

    def lacking(self) -> list[Address | NamePath]:
        """The addresses of those that are lacking."""
        return [parse_place(tag.config.address) for row, tag in enumerate(self._tags) if row not in self._nodes]

    def _lose(self, rows: Iterable[int]) -> None:
        """The server does not know these nodes: paths may lead to others now."""
        for row in rows:
            if row in self._nodes and isinstance(parse_place(self._tags[row].config.address), NamePath):
                del self._nodes[row]
                self._size = 0

    def find_nodes(self) -> None:
        """Look for those that are lacking among the namespaces that the session knows."""
        for row, tag in enumerate(self._tags):
            if row in self._nodes:
                continue
            if (node := self._session.node_id(parse_place(tag.config.address))) is not None:
                self._nodes[row] = (node, tag.config.index_range)
                self._size = 0  # requests are made anew

    async def read(self, say: Say = lambda row, what, raw: None) -> Readings:
        """What the server says of the tags now. `say` is told of rows whose values cannot be tags, with the first bytes of
        those that cannot be decoded."""
        with in_words("reading", self._session.certificate):
            block = await self._read()
        self._wanted.take(block)
        self.changed.update(self._kinds.judge(block))
        bad = block.quality >= quality.BAD
        self.changed.update(np.flatnonzero(self._missing & ~bad).tolist())
        unknown = block.quality == quality.BAD_NODE_ID_UNKNOWN
        self._missing = unknown | (self._untold & bad)
        self._lose(np.flatnonzero(unknown).tolist())
        readings = block.readings(self._device, self._tags.ids)
        for row, why in block.unusable.items():
            say(row, why, block.raw.get(row, b""))
        return readings

    async def _read(self) -> Block:
        whole = empty_block(len(self._tags))
        whole.t_ns.fill(time.time_ns())
        whole.quality.fill(quality.BAD_NODE_ID_UNKNOWN)
        while True:
            self._split()
            blocks: list[tuple[_Part, Block]] = []
            try:
                for part in list(self._parts):
                    blocks += await self._read_part(part)
            except TOO_MUCH as error:
                self._divide(part, error)
            else:
                break
        if len(blocks) == 1 and len(blocks[0][1].value) == len(self._tags):
            return blocks[0][1]
        for part, block in blocks:
            whole.put_rows(np.array(part.rows, np.intp), block)
        await self._read_parked(whole)
        return whole

    def _split(self) -> None:
        """Requests no larger than the server bears."""
        size = self._session.limits["read"]
        if self._suspects:
            known = {self._tags[row].name: row for row in self._nodes if row not in self._parked}
            apart = self._suspects.portions([*known], asyncio.get_running_loop().time())
            portions = [[known[name] for name in names] for names in apart]
        elif self._size == size:
            return
        else:
            portions = [[row for row in self._nodes if row not in self._parked]]
        self._size = 0 if self._suspects else size
        self._parts = [self._part(rows[at : at + size]) for rows in portions for at in range(0, len(rows), size)]

    def _part(self, rows: list[int]) -> _Part:
        return _Part(rows, _encoded([self._nodes[row] for row in rows]), Decoder(self._session.types))

    def _divide(self, part: _Part, error: ua.UaError) -> None:
        """The server found this request too much: too many nodes in all, or this one too large in bytes."""
        if not isinstance(error, SIZES):
            self._session.shrink("read", len(part.rows))
        elif len(part.rows) > 1:
            half = len(part.rows) // 2
            at = self._parts.index(part)
            self._parts[at : at + 1] = [self._part(part.rows[:half]), self._part(part.rows[half:])]
        else:
            self._park(part.rows[0], "the server finds it too large to be sent: take a part of it by index_range")

    async def _read_part(self, part: _Part, patience: float | None = None) -> list[tuple[_Part, Block]]:
        """The values, in as many parts as it took to get all that make sense."""
        raw, code = b"", int(quality.BAD_DECODING)
        try:
            block = await self._ask(part, patience)
        except NotUnderstoodError as error:
            reason, raw = f"its value cannot be decoded, nor told where it ends: {error}", error.raw
            if isinstance(error, CountError):
                reason = f"{error}, and so wherever it is among them"
        except TOO_MUCH:
            raise
        except ua.UaStatusCodeError as error:
            if not of_what_was_asked(error):
                raise
            reason, code = f"the server refuses requests in which it is: {in_few_words(error.code)}", int(error.code)
        except TimeoutError:
            await self._session.sign_of_life()
            patience = min(PATIENCE, self._session.config.timeout)
            reason, code = "the server does not answer requests in which it is", int(quality.BAD_TIMEOUT)
        else:
            self._understood += 1
            return [(part, block)]
        if len(part.rows) == 1:
            self._park(part.rows[0], reason, raw, code)
            return []
        half = len(part.rows) // 2
        halves = [self._part(part.rows[:half]), self._part(part.rows[half:])]
        return [each for some in halves for each in await self._read_part(some, patience)]

    def _park(self, row: int, reason: str, raw: bytes = b"", code: int = quality.BAD_DECODING) -> None:
        if not self._understood and len(self._parked) >= min(MOST_PARKED, len(self._nodes) - 1):
            raise LinkError(reason)
        retry_at = asyncio.get_running_loop().time() + FIRST_RETRY
        self._parked[row] = _Parked(reason, code, raw, FIRST_RETRY, retry_at)
        self._size = 0  # the others are put together again

    async def _read_parked(self, whole: Block) -> None:
        now = asyncio.get_running_loop().time()
        due = sorted((parked.retry_at, row) for row, parked in self._parked.items() if parked.retry_at <= now)
        for row, parked in self._parked.items():
            whole.spoil(row, parked.code, parked.reason)
            whole.raw[row], parked.raw = parked.raw, b""  # told once
        for _, row in due[:1]:
            await self._try_parked(row, whole, now)
        if self._suspects.parked:
            for row, tag in enumerate(self._tags):
                if tag.name in self._suspects.parked:
                    whole.spoil(row, quality.BAD_NO_COMMUNICATION, WHY)

    async def _try_parked(self, row: int, whole: Block, now: float) -> None:
        """One that is due. Others wait for the next read: each may take a time-out."""
        try:
            block = await self._ask(self._part([row]), min(PATIENCE, self._session.config.timeout))
        except TimeoutError:
            pass
        except ua.UaError as error:
            if (
                isinstance(error, ua.UaStatusCodeError)
                and not isinstance(error, TOO_MUCH)
                and not of_what_was_asked(error)
            ):
                raise
        else:
            whole.unusable.pop(row, None)
            whole.put_rows(np.array([row], np.intp), block)
            del self._parked[row]
            self._size = 0
            return
        parked = self._parked[row]
        parked.pause = min(2 * parked.pause, LAST_RETRY, max(SOON, SOON * len(self._parked) / FEW))
        parked.retry_at = now + parked.pause

    async def _ask(self, part: _Part, patience: float | None = None) -> Block:
        names = tuple(self._tags[row].name for row in part.rows)
        with self._session.suspicion.asking(self._operation, names, alive=self._understood > 0, ends_by_silence=False):
            answer = await self._session.request_encoded(ua.ReadRequest, part.parameters, patience)
        return await _decoded(answer, part.decoder, len(part.rows))


def _encoded(nodes: Sequence[tuple[ua.NodeId, str | None]]) -> bytes:
    parameters = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Both)
    parameters.NodesToRead = [
        ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value, IndexRange=part) for node, part in nodes
    ]
    return bytes(struct_to_binary(parameters))


async def _decoded(answer: Buffer, decoder: Decoder, asked: int) -> Block:
    """As many values as were asked for, decoded in portions. Raises NotUnderstoodError."""
    now_ns = time.time_ns()
    rest = after_header(answer)
    with doubting(NotUnderstoodError):
        (count,) = _COUNT.unpack(rest.read(_COUNT.size))
    if count != asked:
        raise CountError(asked, count)
    raw, at, end = rest.data, rest.cur_pos, rest.cur_pos + len(rest)
    blocks: list[Block] = []
    left = asked
    while left:
        try:
            with doubting(NotUnderstoodError):
                block, at = decoder.values(raw, at, end, left, now_ns)
        except NotUnderstoodError as error:
            error.raw = raw[at : min(end, at + LOGGED)]
            raise
        blocks.append(block)
        left -= len(block.value)
        if left:
            await asyncio.sleep(0)
    return joined(blocks) if blocks else empty_block(0)
