"""The read plan of one scan, and what it learns from the device's refusals and silences.

A device that lacks one address of a block refuses the whole block, answers it in another length, or not at all. Such a
block is halved until the addresses that are really to blame stand alone; these are parked and tried again now and then, the
rest is read on in fewer, larger blocks. Silence costs time, so blocks that were silent are asked last, and briefly.

What was learned is kept over connections: a silent address may be what ended the last one.
"""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gateway.kit.blocks.areas import AddressBlock, AddressSpan
from gateway.kit.blocks.decoder import BlockDecoder, DecodedBlocks, ValuePlace
from gateway.kit.blocks.reading import BlockReading
from gateway.kit.line.answers import NO_ANSWER, Answer, JointAnswer, LineRequest
from gateway.plugin import Device, Readings, Tags, quality

PROBE_AFTER = 10.0
"""Seconds after which a parked address is tried again: what was repaired delivers soon."""

RELEARN_AFTER = 86400.0
"""Seconds after which halved blocks are tried whole again."""

_JOINED_TRIES = 2
"""Times that joined requests were not answered and others were, after which the device is believed not to bear them."""

PROBES = 4
"""Parked addresses tried in one scan, at most, so that they do not delay the good ones."""


class BlockPlan:
    """Requests for one `Tags`, and the way from their answers to values. It knows no connection and no clock: `now` is in
    seconds of a monotonic one."""

    def __init__(self, device: Device, tags: Tags, reading: BlockReading[Any, Any], now: float) -> None:
        self._device = weakref.ref(device)  # whose tags are the key under which the driver keeps this plan weakly
        self._reading = reading
        self.refusals = reading.refusals
        self.limit = reading.limit
        self._ids = tags.ids
        self._tags = tuple(tags)  # not `tags` itself, likewise
        self._spans = reading.spans(tags)
        self._payload: bytes | None = None
        self._joins = True
        """Whether the device bears several blocks in one request, as far as it is known."""
        self._unanswered = 0
        """How often in a row it left joined requests without an answer, and answered them when they came alone."""
        self._alive = True
        """Whether it answered anything at the last scan."""
        self._sent: tuple[LineRequest, ...] = ()
        self._note({})
        self._start_over(now)

    def prepare(self, now: float) -> None:
        """Before a scan: ask again for parked addresses that are due, or in larger blocks when some of them came back or the
        day is over."""
        if self.whole:
            return
        if self._silent and any(len(block.spans) > 1 for block in self._silent):
            self._halve_all_silent()
        if now >= self._relearn_at:
            self._start_over(now, self._parked)
        elif due := [span for span, (_, at) in self._parked.items() if now >= at][:PROBES]:
            probes = {AddressBlock((span,)): int(self.refusals.put_off(self._parked.pop(span)[0])) for span in due}
            self._probing.update(due)
            self._silent |= {block: 1 for block, silent in probes.items() if silent}
            self._use([*self.blocks, *probes])

    def _halve_all_silent(self) -> None:
        blocks: list[AddressBlock] = []
        for block in self.blocks:
            parts = block.halves() if block in self._silent and len(block.spans) > 1 else (block,)
            if block in self._silent:
                self._silent |= dict.fromkeys(parts, self._silent.pop(block))
            blocks += parts
        self._use(blocks)

    @property
    def doubtful(self) -> int:
        """How many of the blocks, the last ones, were silent when they were last asked."""
        return len(self._silent)

    @property
    def sent(self) -> Sequence[LineRequest]:
        """`requests` as they go over the line: joined, where the protocol and the device bear it."""
        if not self._sent:
            joined = self._reading.sent(self.requests) if self._joins else [(each, 1) for each in self.requests]
            self._sent = tuple(request for request, _ in joined)
            self._counts = tuple(count for _, count in joined)
        return self._sent

    def parted(self, joint: Sequence[JointAnswer]) -> list[Answer | None]:
        """The answers to `requests`, from those to `sent`; None where the device refuses a joined request as a whole, so that
        its parts are to be asked alone."""
        answers: list[Answer | None] = []
        ignored = False
        for answer, count in zip(joint, self._counts, strict=True):
            first = len(answers)
            if count == 1:
                answers.append(cast(Answer, answer))
            elif isinstance(answer, bytes):
                ends = accumulate((request.size for request in self.requests[first : first + count]), initial=0)
                answers += [answer[begin:end] for begin, end in pairwise(ends)]
            elif isinstance(answer, int):
                answers += [None if self.refusals.divisible(answer) else answer] * count
                ignored |= answer == NO_ANSWER
            else:
                answers += answer if len(answer) == count else [None] * count
        if not ignored:
            self._unanswered = 0
        elif self._alive:
            self._unanswered += 1
            if self._unanswered >= _JOINED_TRIES:
                self._join_no_more()
        self._alive = any(type(answer) is not int or answer >= 0 for answer in joint)
        return answers

    def asked_alone(self, whole: Sequence[Answer | None], alone: Sequence[Answer]) -> None:
        """What came of it: a device that gives all that it had refused does not bear joined requests."""
        if all(isinstance(each, bytes) for before, each in zip(whole, alone, strict=True) if before is None):
            self._join_no_more()

    def _join_no_more(self) -> None:
        self._joins, self._sent = False, ()

    def halve(self, answers: Sequence[Answer], most: int) -> list[Answer | None]:
        """Put halves in the place of refused blocks, the smallest first and at most so many. Returns the answers to go on
        with, None for each half, which is to be asked now."""
        return self._halved(
            [
                at
                for at, answer in enumerate(answers)
                if self.refusals.divisible(answer) and len(self.blocks[at].spans) > 1
            ],
            answers,
            most,
        )

    def halve_silent(self, answers: Sequence[Answer]) -> list[Answer | None]:
        """The same for a block that did not answer, the largest one. To be called when others did."""
        put_off = map(self.refusals.put_off, answers)
        silent = [at for at, is_put_off in enumerate(put_off) if is_put_off and len(self.blocks[at].spans) > 1]
        silent.sort(key=lambda at: -len(self.blocks[at].spans))
        return self._halved(silent[:1], answers, 1)

    def _halved(self, refused: Sequence[int], answers: Sequence[Answer], most: int) -> list[Answer | None]:
        """Halves in the place of the smallest of these blocks."""
        chosen = sorted(refused, key=lambda at: len(self.blocks[at].spans))[:most]
        if not chosen:
            return list(answers)
        blocks: list[AddressBlock] = []
        left: list[Answer | None] = []
        for at, (block, answer) in enumerate(zip(self.blocks, answers, strict=True)):
            if at not in chosen:
                blocks.append(block)
                left.append(answer)
                continue
            halves = block.halves()
            if times := self._silent.pop(block, 0):
                self._silent |= dict.fromkeys(halves, times)
            blocks += halves
            left += (None, None)
        order = dict(zip(blocks, left, strict=True))
        self._use(blocks)
        return [order[block] for block in self.blocks]

    def silent(self, answers: Sequence[Answer]) -> None:
        """The unit said nothing at all, or that it has no time: what was asked of it is asked last from now on, in halves, in
        case that one register is to blame."""
        for block, answer in zip(self.blocks, answers, strict=True):
            if self.refusals.put_off(answer):
                self._silent[block] = self._silent.get(block, 0) + 1
                self._suspected = True
        self._use(self.blocks)

    def quick(self, answers: Sequence[JointAnswer], t_ns: int) -> NDArray[np.float64] | Readings | None:
        """`values`, for a scan in which nothing was refused, as most are; else None."""
        if not self.whole or self.refused:
            return None
        try:
            payload = b"".join(answers)  # type: ignore[arg-type]  # a code among them is the exception
        except TypeError:
            return None
        return self._taken(payload, t_ns)

    def values(self, answers: Sequence[Answer], now: float, t_ns: int) -> NDArray[np.float64] | Readings:
        """One value per tag if all is good, else Readings with the source time `t_ns`. `answers` are those to `requests`."""
        if not self.whole or self.refused or any(type(answer) is int for answer in answers):
            answers = self._settle(answers, now)
        return self._taken(b"".join(answers), t_ns)  # type: ignore[arg-type]  # no codes are left

    def _taken(self, payload: bytes, t_ns: int) -> NDArray[np.float64] | Readings:
        if payload != self._payload:
            self._found = self._decode(payload)
            self._plain = not np.count_nonzero(np.isnan(self._found.value))
            self._payload = payload
        return self._found.value if self._plain and not self.refused else self._readings(t_ns)

    def names(self, spans: Iterable[AddressSpan]) -> list[str]:
        """Names of the tags in these spans."""
        return [self._tags[row].name for span in spans for row in span.rows]

    def _start_over(self, now: float, parked: Mapping[AddressSpan, tuple[int, float]] | None = None) -> None:
        """Read in blocks as large as may be, without reading over what is parked."""
        self._parked: dict[AddressSpan, tuple[int, float]] = dict(parked or {})
        """Missing addresses: exception code, and when to try again."""
        self._probing: set[AddressSpan] = set()
        self._silent: dict[AddressBlock, int] = {}
        """Blocks that did not answer when they were last asked, and how often."""
        self._suspected = False
        """Whether there were such blocks since it started over."""
        self._relearn_at = now + RELEARN_AFTER
        between: list[list[AddressSpan]] = [[]]
        for span in self._spans:
            if span in self._parked:
                between.append([])
            else:
                between[-1].append(span)
        self._use([block for spans in between if spans for block in self._reading.blocks(spans)])
        self.whole = not self._parked

    def _use(self, blocks: Sequence[AddressBlock]) -> None:
        if self._silent:
            blocks = sorted(blocks, key=lambda block: self._silent.get(block, 0))
        self.blocks = tuple(blocks)
        self.requests: tuple[LineRequest, ...] = tuple(self._request(block) for block in blocks)
        self._sent = ()
        self._decoder: BlockDecoder | None = None
        self._payload = None
        self.whole = False
        """Whether it is as it was made: nothing is parked, halved or doubtful, and `prepare` has nothing to do."""

    def _request(self, block: AddressBlock) -> LineRequest:
        return self._reading.request(block.area, block.start, block.end - block.start)

    def _settle(self, answers: Sequence[Answer], now: float) -> list[bytes]:
        """Note what was refused or silent, park what is missing. Returns the payloads of the blocks that stay."""
        alive = self.refusals.alive(answers)
        self._alive |= alive
        silent = dict(self._silent)
        refused: dict[AddressSpan, int] = {}
        stay: dict[AddressBlock, bytes] = {}
        for block, request, answer in zip(self.blocks, self.requests, answers, strict=True):
            put_off = self.refusals.put_off(answer)
            if not put_off:
                silent.pop(block, None)
            if isinstance(answer, bytes):
                stay[block] = answer
                continue
            refused |= dict.fromkeys(block.spans, answer)
            if len(block.spans) == 1 and (self.refusals.divisible(answer) or (alive and put_off)):
                silent.pop(block, None)
                self._parked[block.spans[0]] = answer, now + PROBE_AFTER
                continue
            stay[block] = bytes(request.size)
            if alive and put_off:
                silent[block] = silent.get(block, 0) + 1
                self._suspected = True
        if self._probing - refused.keys() or (self._suspected and not silent):
            self._relearn_at = now
        self._probing.clear()
        if len(stay) < len(self.blocks) or silent != self._silent:
            self._silent = silent
            self._use(list(stay))
        self._note(refused | {span: code for span, (code, _) in self._parked.items()})
        return [stay[block] for block in self.blocks]

    def _note(self, refused: Mapping[AddressSpan, int]) -> None:
        self.refused = refused
        """What the device refused at the last scan, and by which exception code."""
        self._quality = np.zeros(len(self._tags), np.uint32)
        for span, code in refused.items():
            self._quality[list(span.rows)] = self.refusals.quality(code)

    def _decode(self, payload: bytes) -> DecodedBlocks:
        if self._decoder is None:
            self._decoder = BlockDecoder(len(self._tags), self._places())
        return self._decoder.decode(payload)

    def _readings(self, t_ns: int) -> Readings:
        found = self._found
        good = self._quality == quality.GOOD
        missing = np.isnan(found.value) & good
        missing[list(found.exact)] = False
        verdict = np.where(missing, np.uint32(quality.BAD_SENSOR_FAILURE), self._quality)
        verdict[found.senseless] = np.where(good[found.senseless], quality.BAD_DECODING, verdict[found.senseless])
        verdict[found.absent] = np.where(good[found.absent], quality.BAD_DATA_UNAVAILABLE, verdict[found.absent])
        device = self._device()
        assert device is not None  # whoever reads it has it
        return Readings(
            device,
            np.full(len(self._tags), t_ns),
            self._ids,
            np.where(good, found.value, np.nan),
            verdict,
            {row: value for row, value in found.exact.items() if good[row]},
        )

    def _places(self) -> list[ValuePlace]:
        """Where each tag's value stands in the blocks' payloads, one behind the other."""
        places = []
        begin = 0
        for block, request in zip(self.blocks, self.requests, strict=True):
            places += [
                self._reading.place(row, self._tags[row].config, begin, span.start - block.start)
                for span in block.spans
                for row in span.rows
            ]
            begin += request.size
        return places
