"""How the tags of a scan are read: in sum reads, or one by one where the device knows none; and what comes of the answers."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.kit.blocks import BlockDecoder, ValuePlace
from gateway.kit.line import MISFIT, Answer
from gateway.plugin import Device, Readings, Tags, quality

from .frames import VERSION, AdsRequest, parted, read, sum_read
from .program import NO_SUMS, ChangedError, Item, Key, Program
from .return_codes import NOT_ACTIVE, NOT_FOUND, OTHER_VERSION, REFUSALS

UNCERTAIN_STOPPED = 0x4090_0000
"""UncertainLastUsableValue (OPC 10000-8, Annex A.4): whatever was updating the value has stopped doing so."""
_BYTES = 64 * 1024
"""In one answer, unless a single value has more."""
INVALID_HANDLE = (0x703, 0x70C, NOT_FOUND, NOT_ACTIVE)


class NoSumsError(Exception):
    """The device knows no sum commands."""


def chunks(items: Sequence[tuple[Key, Item]], most: int, beside: int) -> list[list[tuple[Key, Item]]]:
    """The items of each request, with so many places beside them."""
    found: list[list[tuple[Key, Item]]] = []
    size = 0
    for each in items:
        more = 4 + each[1].place[2]
        if not found or len(found[-1]) + beside >= most or size + more > _BYTES:
            found.append([])
            size = 0
        found[-1].append(each)
        size += more
    return found


class ReadPlan:
    """The requests of a scan, as the program is now."""

    def __init__(self, device: Device, tags: Tags, program: Program, most: int) -> None:
        self.generation = program.generation
        self.device, self.tags, self._program = device, tags, program
        keys = dict.fromkeys(tag.config.key for tag in tags)
        items = [(key, program.items[key]) for key in keys if key in program.items]
        beside = [(VERSION, 0, 1)] if program.version is not None and program.sums else []
        most = max(most, 2) if program.sums else 1
        self._chunks = chunks(items, most, len(beside))
        self._beside = len(beside)
        self._sizes: list[list[int]] = []
        self.requests: list[AdsRequest] = []
        self._begins = begins = dict[Key, int]()
        at = 0
        for chunk in self._chunks:
            places = [*beside, *(item.place for _, item in chunk)]
            self._sizes.append([size for _, _, size in places])
            self.requests.append(
                sum_read(program.unit, places) if program.sums else read(program.unit, *chunk[0][1].place)
            )
            at += self._beside
            for key, item in chunk:
                begins[key] = at
                at += item.place[2]
        if not program.sums and program.version is not None:
            self.requests.append(read(program.unit, VERSION, 0, 1))
        self._rows: dict[Key, list[int]] = {key: [] for key in begins}
        self._refused = np.zeros(len(tags), np.uint32)
        places_ = []
        for row, tag in enumerate(tags):
            key = tag.config.key
            if key in begins and not program.why(tag.config):
                self._rows[key].append(row)
                places_.append(value_place(row, begins[key], program.items[key], tag.config.at.bit))
            else:
                self._refused[row] = refusal(program, key)
        self._decoder = BlockDecoder(len(tags), places_)
        self._payload: bytes | None = None
        self._heads = [bytes(4 * len(sizes)) for sizes in self._sizes]

    def values(self, answers: Sequence[Answer], t_ns: int) -> NDArray[np.float64] | Readings:
        """What came of the requests. Raises ChangedError where it is of another program, NoSumsError where the requests
        must be others."""
        payload, bad = self._joined(answers)
        if payload != self._payload:
            self._found = self._decoder.decode(payload)
            self._payload = payload
            self._plain = not self._refused.any() and not np.isnan(self._found.value).any()
        found = self._found
        stopped = self._program.halted
        if self._plain and not bad and not stopped:
            return found.value
        codes = self._refused.copy()
        if stopped:
            codes[codes == 0] = UNCERTAIN_STOPPED
        codes[np.isnan(found.value) & (codes < quality.BAD)] = quality.BAD_DECODING
        for row in found.exact:
            codes[row] = UNCERTAIN_STOPPED if stopped else quality.GOOD
        value, exact = found.value, found.exact
        if bad:
            value, exact = value.copy(), dict(exact)
        for key, code in bad.items():
            for row in self._rows[key]:
                codes[row], value[row] = REFUSALS.quality(code), np.nan
                exact.pop(row, None)
        return Readings(self.device, np.full(len(codes), t_ns), self.tags.ids, value, codes, exact, own_time=True)

    def parts(self, answers: Sequence[Answer]) -> dict[Key, Answer]:
        """Data or code of each value. Raises as `values` does."""
        payload, bad = self._joined(answers)
        return {
            key: bad.get(key, payload[at : at + self._program.items[key].place[2]]) for key, at in self._begins.items()
        }

    def _joined(self, answers: Sequence[Answer]) -> tuple[bytes, dict[Key, int]]:
        """The data of all, one behind the other, zeros where there is none; and why not."""
        whole: list[bytes] = []
        bad: dict[Key, int] = {}
        program = self._program
        for chunk, sizes, head, answer in zip(self._chunks, self._sizes, self._heads, answers, strict=False):
            if isinstance(answer, bytes) and program.sums and answer.startswith(head):
                if len(answer) != len(head) + sum(sizes):
                    bad |= {key: MISFIT for key, _ in chunk}
                    answer = head + bytes(sum(sizes))
                elif self._beside and answer[len(head)] != program.version:
                    raise ChangedError
                whole.append(answer[len(head) :])
                continue
            parts = self._parted(answer, sizes)
            if self._beside and isinstance(parts[0], bytes) and parts[0][0] != program.version:
                raise ChangedError
            for (key, item), part in zip(chunk, parts[self._beside :], strict=True):
                if isinstance(part, int):
                    bad[key] = self._doubted(item, part)
            whole += [bytes(size) if isinstance(part, int) else part for part, size in zip(parts, sizes, strict=True)]
        if not program.sums and program.version is not None:
            last = answers[-1]
            if isinstance(last, bytes) and last[0] != program.version:
                raise ChangedError
        return b"".join(whole), bad

    def _parted(self, answer: Answer, sizes: Sequence[int]) -> Sequence[Answer]:
        if not self._program.sums:
            return [answer]
        if isinstance(answer, bytes):
            return parted(answer, sizes) or [MISFIT] * len(sizes)
        if answer in NO_SUMS:
            raise NoSumsError
        return [answer] * len(sizes)

    def _doubted(self, item: Item, code: int) -> int:
        """A code, unless it says that symbols must be asked for anew."""
        if item.handle is not None and code in (OTHER_VERSION, *INVALID_HANDLE):
            self._program.renew(time.monotonic())
        return code


def refusal(program: Program, key: Key) -> int:
    """The quality of a value that there is none of."""
    reason = program.refused.get(key, "")
    return REFUSALS.quality(reason) if isinstance(reason, int) else quality.BAD_CONFIGURATION


def value_place(row: int, byte: int, item: Item, bit: int | None) -> ValuePlace:
    """Where a tag's value stands, its item's bytes beginning at `byte`."""
    type_ = item.type
    if bit is not None:
        return ValuePlace(row, byte + bit // 8, "bool", bit=bit % 8)
    if type_.number:
        return ValuePlace(row, byte, type_.number, type_.order)
    return ValuePlace(row, byte, type_.name, length=type_.size, decode=type_.decode)
