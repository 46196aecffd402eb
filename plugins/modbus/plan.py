"""The read plan of one scan, and what it learns from the device's refusals.

A device that lacks one register of a block refuses the whole block. Such a block is halved until the addresses that are
really missing stand alone; these are parked and tried again now and then, the rest is read on in fewer, larger blocks.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Device, Readings, Tags, quality

from .config import ModbusDevice, ModbusTag
from .decoder import Decoded, Decoder, Place
from .exceptions import DIVISIBLE, quality_of
from .planner import Block, Span, blocks_of, spans_of
from .requests import Answer, Request, read

PROBE_AFTER = 60.0
"""Seconds after which a parked address is tried again."""

RELEARN_AFTER = 86400.0
"""Seconds after which halved blocks are tried whole again."""

PROBES = 4
"""Parked addresses tried in one scan, at most, so that they do not delay the good ones."""


class ReadPlan:
    """Requests for one `Tags`, and the way from their answers to values. It knows no connection and no clock: `now` is in
    seconds of a monotonic one."""

    def __init__(self, device: Device, tags: Tags, now: float) -> None:
        self._device = device
        self._options: ModbusDevice = device.config
        self._ids = tags.ids
        self._tags = tuple(tags)  # not `tags` itself, under which the driver keeps this plan weakly
        self._spans = spans_of(tags)
        self._payload: bytes | None = None
        self._note({})
        self._start_over(now)

    def prepare(self, now: float) -> None:
        """Before a scan: ask again for parked addresses that are due, or for everything when the day is over."""
        if self._whole:
            return
        if now >= self._relearn_at:
            self._start_over(now)
        elif due := [span for span, (_, at) in self._parked.items() if now >= at][:PROBES]:
            for span in due:
                del self._parked[span]
            self._probing.update(due)
            self._use([*self.blocks, *(Block((span,)) for span in due)])

    def halve(self, answers: Sequence[Answer], most: int) -> list[Answer | None]:
        """Put halves in the place of refused blocks, the smallest first and at most so many. Returns the answers to go on
        with, None for each half, which is to be asked now."""
        refused = [at for at, answer in enumerate(answers) if answer in DIVISIBLE and len(self.blocks[at].spans) > 1]
        chosen = sorted(refused, key=lambda at: len(self.blocks[at].spans))[:most]
        if not chosen:
            return list(answers)
        blocks: list[Block] = []
        left: list[Answer | None] = []
        for at, (block, answer) in enumerate(zip(self.blocks, answers, strict=True)):
            blocks += block.halves() if at in chosen else (block,)
            left += (None, None) if at in chosen else (answer,)
        self._use(blocks)
        return left

    def quick(self, answers: Sequence[Answer], t_ns: int) -> NDArray[np.float64] | Readings | None:
        """`values`, for a scan in which nothing was refused, as most are; else None."""
        if not self._whole or self.refused:
            return None
        try:
            payload = b"".join(answers)  # type: ignore[arg-type]  # a code among them is the exception
        except TypeError:
            return None
        return self._taken(payload, t_ns)

    def values(self, answers: Sequence[Answer], now: float, t_ns: int) -> NDArray[np.float64] | Readings:
        """One value per tag if all is good, else Readings with the source time `t_ns`. `answers` are those to `requests`."""
        if not self._whole or self.refused or any(type(answer) is int for answer in answers):
            answers = self._settle(answers, now)
        return self._taken(b"".join(answers), t_ns)  # type: ignore[arg-type]  # no codes are left

    def _taken(self, payload: bytes, t_ns: int) -> NDArray[np.float64] | Readings:
        if payload != self._payload:
            self._found = self._decode(payload)
            self._plain = not np.count_nonzero(np.isnan(self._found.value))
            self._payload = payload
        return self._found.value if self._plain and not self.refused else self._readings(t_ns)

    def names(self, spans: Iterable[Span]) -> list[str]:
        """Names of the tags in these spans."""
        return [self._tags[row].name for span in spans for row in span.rows]

    def _start_over(self, now: float) -> None:
        self._parked: dict[Span, tuple[int, float]] = {}
        """Missing addresses: exception code, and when to try again."""
        self._probing: set[Span] = set()
        self._relearn_at = now + RELEARN_AFTER
        self._use(blocks_of(self._spans, self._options))
        self._whole = True

    def _use(self, blocks: Sequence[Block]) -> None:
        self.blocks = tuple(blocks)
        self.requests: tuple[Request, ...] = tuple(self._request(block) for block in blocks)
        self._decoder: Decoder | None = None
        self._payload = None
        self._whole = False

    def _request(self, block: Block) -> Request:
        return read(
            self._options.unit, block.area, block.start, block.end - block.start, any_unit=self._options.any_unit
        )

    def _settle(self, answers: Sequence[Answer], now: float) -> list[bytes]:
        """Note what was refused, park what is missing. Returns the payloads of the blocks that stay."""
        refused: dict[Span, int] = {}
        stay: list[tuple[Block, bytes]] = []
        for block, request, answer in zip(self.blocks, self.requests, answers, strict=True):
            if isinstance(answer, bytes):
                stay.append((block, answer))
                continue
            refused |= dict.fromkeys(block.spans, answer)
            if answer in DIVISIBLE and len(block.spans) == 1:
                self._parked[block.spans[0]] = answer, now + PROBE_AFTER
            else:
                stay.append((block, bytes(request.size)))
        if self._probing - refused.keys():
            self._relearn_at = now
        self._probing.clear()
        if len(stay) < len(self.blocks):
            self._use([block for block, _ in stay])
        self._note(refused | {span: code for span, (code, _) in self._parked.items()})
        return [payload for _, payload in stay]

    def _note(self, refused: Mapping[Span, int]) -> None:
        self.refused = refused
        """What the device refused at the last scan, and by which exception code."""
        self._quality = np.zeros(len(self._tags), np.uint32)
        for span, code in refused.items():
            self._quality[list(span.rows)] = quality_of(code)

    def _decode(self, payload: bytes) -> Decoded:
        if self._decoder is None:
            self._decoder = Decoder(len(self._tags), self._places())
        return self._decoder.decode(payload)

    def _readings(self, t_ns: int) -> Readings:
        found = self._found
        good = self._quality == quality.GOOD
        missing = np.isnan(found.value) & good
        missing[list(found.exact)] = False
        verdict = np.where(missing, np.uint32(quality.BAD_SENSOR_FAILURE), self._quality)
        verdict[found.senseless] = np.where(good[found.senseless], quality.BAD_DECODING, verdict[found.senseless])
        return Readings(
            self._device,
            np.full(len(self._tags), t_ns),
            self._ids,
            np.where(good, found.value, np.nan),
            verdict,
            {row: value for row, value in found.exact.items() if good[row]},
        )

    def _places(self) -> list[Place]:
        """Where each tag's value stands in the blocks' payloads, one behind the other."""
        places = []
        begin = 0
        for block, request in zip(self.blocks, self.requests, strict=True):
            places += [self._place(row, begin, span.start - block.start) for span in block.spans for row in span.rows]
            begin += request.size
        return places

    def _place(self, row: int, begin: int, offset: int) -> Place:
        tag: ModbusTag = self._tags[row].config
        at = tag.at()
        if at.area.single_bits:
            return Place(row, begin + offset // 8, "bool", bit=offset % 8)
        byte = begin + 2 * offset
        if at.bit is None:
            order = tag.byte_order(self._options)
            return Place(row, byte, tag.type or "", order, length=tag.length, encoding=tag.encoding)
        if at.width == 1:
            return Place(row, byte + (at.bit < 8), "bool", bit=at.bit % 8)
        return Place(row, byte, tag.type or "uint16", bit=at.bit, width=at.width)
