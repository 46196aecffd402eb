"""What is asked at a scan, and what came of it: values, and of what is refused the reason in words. Pure: no connection."""

import struct
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gateway.kit.line import Answer
from gateway.plugin import Device, Exact, Readings, Tags, quality

from .address import AttributeAddress, FileAddress, TagAddress, parse_address
from .data_files import file_questions, pccc_status
from .frames import REFUSALS, each, opened_reply, several
from .questions import Learned, Question, attribute_question, declared, packs, place_of, tag_question
from .status_codes import meaning, of_device, pccc_meaning
from .templates import Template, member_named
from .types import BOOL, DWORD, STRUCTURE, Make, bit, parse_type

_SAFE = 1 << 53
_NO_SUCH_SERVICE, _TOO_LONG = 0x08, (0x06, 0x11)
_LEAST = 100
"""Bytes of a message below which services are asked for one by one."""
_SERVICE = 40
"""Bytes that one more service is as dear as: its own ones, and what it takes to be looked up."""
_WORTH = 3
"""Members of one structure, at least, for which it may be read whole."""


class Refusal(NamedTuple):
    """Why a tag has no value."""

    reason: str
    quality: int


RETYPED = Refusal("the controller has another type there by now", quality.BAD_CONFIGURATION)
UNKNOWN = Refusal("it was not looked up yet", quality.BAD_DATA_UNAVAILABLE)
_SENSELESS = Refusal("the answer is not one to what was asked", quality.BAD_DECODING)


def unanswered(code: int) -> Refusal:
    """Of what is no answer of CIP."""
    return Refusal(REFUSALS.words(code), REFUSALS.quality(code))


class Room(NamedTuple):
    """Bytes of a message of CIP, at most."""

    request: int
    answer: int


class ScanPlan:
    """Questions for one `Tags`, as far as it is known what stands behind the names."""

    def __init__(self, device: Device, tags: Tags, known: Mapping[TagAddress, Learned | Refusal], room: Room) -> None:
        self._device = weakref.ref(device)  # whose tags are the key under which the driver keeps this plan weakly
        self._ids = tags.ids
        self._tags = tuple(tags)
        self._known = known
        self._room = room
        self._addresses = [parse_address(tag.config.address) for tag in tags]
        self._apart: set[FileAddress] = set()
        """Which are not read with their neighbours, since one of them was refused."""
        self._by_members: set[TagAddress] = set()
        """Structures that are not read whole."""
        self._otherwise = False
        """Whether something is to be asked otherwise at the next scan."""
        self._smaller = False
        """Whether the device does not bear messages of this size."""
        self.looked = 0.0
        """When what is not known was looked up last."""
        self._large: set[tuple[bytes, int]] = set()
        """Paths and counts whose answers do not fit into a message of this device."""
        self.joins = True
        """Whether the device takes several services in one message."""
        self.told: Mapping[str, Refusal] = {}
        """By the tag's name, what was refused at the last scan."""
        self.lost: Refusal | None = None
        """Where nothing was read at all, and the device says that it is not about single tags: why."""
        self.stale: set[TagAddress] = set()
        """What is of another type than was learned, by its answer."""
        self.doubted: set[TagAddress] = set()
        """What is of another type than the file says."""
        self.retyped: dict[str, str] = {}
        """Tags whose type the file leaves open, and which are of another one than was described; and how so."""
        self.arrange()

    def arrange(self) -> None:
        """Make the questions anew, by what is known by now."""
        self._refused: dict[int, Refusal] = {}
        self.retyped, self.doubted = {}, set()
        asked: dict[tuple[bytes, int], Question] = {}
        files: list[tuple[int, FileAddress]] = []
        others: list[Question] = []
        wholes = self._wholes()
        for row, at in enumerate(self._addresses):
            if isinstance(at, FileAddress):
                files.append((row, at))
            elif isinstance(at, AttributeAddress):
                others.append(attribute_question(at, *parse_type(self._tags[row].config.type), row))
            else:
                self._arrange_tag(row, at, wholes, asked)
        self.questions = [*asked.values(), *others, *file_questions(files, self._apart)]
        self._packs = packs(self.questions, *self._room) if self.joins else [[question] for question in self.questions]
        large = {id(each) for each in self.questions if each.path and self._is_large(each)}
        self.fragmented = [each for each in self.questions if id(each) in large]
        self._packs = [left for pack in self._packs if (left := [each for each in pack if id(each) not in large])]
        self.messages = [
            pack[0].message if len(pack) == 1 else several([each.message for each in pack]) for pack in self._packs
        ]

    def _is_large(self, question: Question) -> bool:
        return question.answer + 6 > self._room.answer or (question.path, question.count) in self._large

    def _arrange_tag(
        self, row: int, at: TagAddress, wholes: Mapping[TagAddress, Learned], asked: dict[tuple[bytes, int], Question]
    ) -> None:
        tag = self._tags[row]
        what = self._known.get(at.whole)
        if what is None or isinstance(what, Refusal):
            self._refused[row] = what or UNKNOWN
            return
        said = declared(tag.config)
        try:
            found = place_of(at, what, said)
        except ValueError as error:
            self.doubted.add(at.whole)
            self._refused[row] = Refusal(str(error), quality.BAD_CONFIGURATION)
            return
        described = tag.type
        if not said and described and found.published not in ("", described) and not tag.config.scaled:
            self.doubted.add(at.whole)
            words = f"the controller has {what} there by now, and had {described} when the connection was made"
            self.retyped[tag.name] = words
            self._refused[row] = Refusal(words, quality.BAD_CONFIGURATION)
            return
        for base, whole in wholes.items():
            if at.steps[: len(base.steps)] == base.steps and len(at.steps) > len(base.steps):
                assert whole.template is not None
                make = _within(at, what, said, whole.template, at.steps[len(base.steps) :])
                if make is None:
                    break
                question = asked.setdefault((base.path(), 1), tag_question(base.path(), 1, whole, whole.template.size))
                question.cells.append((row, make))
                return
        question = asked.setdefault(
            (found.path, found.elements), tag_question(found.path, found.elements, what, found.size)
        )
        question.cells.append((row, found.make))

    def _wholes(self) -> dict[TagAddress, Learned]:
        """Structures that are read whole, since that takes fewer bytes than to ask for their members."""
        wholes = {}
        for base, asked in worthwhile([at for at in self._addresses if isinstance(at, TagAddress)]).items():
            what = self._known.get(base.whole)
            if base in self._by_members or not isinstance(what, Learned) or not what.template:
                continue
            apart = sum(len(at.path()) + _SERVICE for at in asked)
            if what.template.size + 20 <= min(apart, self._room.answer):
                wholes[base] = what
        return wholes

    def read(self, answers: Sequence[Answer], fragments: Sequence[bytes | Refusal], now_ns: int) -> Readings:
        """The values, from the answers to `messages` and the data of what is `fragmented`."""
        count = len(self._tags)
        values: list[float] = [np.nan] * count
        exact: dict[int, Exact] = {}
        refused = dict(self._refused)
        self.stale = set()
        self.lost = None
        self._otherwise = self._smaller = False
        for pack, answer in zip(self._packs, answers, strict=True):
            for question, part in self._parts(pack, answer):
                if isinstance(part, bytes) and part.startswith(question.head):
                    _take(question, part[len(question.head) :], values, exact, refused)
                else:
                    why = part if isinstance(part, Refusal) else self._refusal(question, part, len(pack) > 1)
                    refused |= {row: why for row, _ in question.cells}
        for question, part in zip(self.fragmented, fragments, strict=True):
            if isinstance(part, bytes):
                _take(question, part, values, exact, refused)
            else:
                refused |= {row: part for row, _ in question.cells}
        verdict = np.zeros(count, np.uint32)
        for row, why in refused.items():
            verdict[row] = why.quality
        column = np.array(values, np.float64)
        nothing = np.isnan(column) & (verdict == 0)
        nothing[list(exact)] = False
        verdict[nothing] = quality.BAD_SENSOR_FAILURE
        self.told = {self._tags[row].name: why for row, why in sorted(refused.items())}
        if self._smaller:
            self._room = Room(self._room.request // 2, self._room.answer // 2)
        if self._smaller or self._otherwise:
            self.arrange()
        device = self._device()
        assert device is not None  # whoever reads it has it
        return Readings(device, np.full(count, now_ns), self._ids, column, verdict, exact, own_time=True)

    def _parts(self, pack: Sequence[Question], answer: Answer) -> list[tuple[Question, bytes | Refusal]]:
        """What came to each question of a message."""
        if isinstance(answer, int):
            return [(question, unanswered(answer)) for question in pack]
        if len(pack) == 1:
            return [(pack[0], answer)]
        reply = opened_reply(answer)
        if reply.status in (0, 0x1E):
            try:
                return list(zip(pack, each(reply.data, len(pack)), strict=True))
            except (LookupError, ValueError, struct.error):
                return [(question, _SENSELESS) for question in pack]
        why = Refusal(*meaning(reply.status, reply.more))
        if of_device(reply.status):
            self.lost = why
        elif reply.status == _NO_SUCH_SERVICE or self._room.answer < _LEAST:
            self.joins, self._otherwise = False, True
        else:
            self._smaller = True
        return [(question, why) for question in pack]

    def _refusal(self, question: Question, part: bytes, joined: bool) -> Refusal:
        """Why a question has no values by this answer."""
        reply = opened_reply(part)
        if reply.status:
            why = Refusal(*meaning(reply.status, reply.more))
            if of_device(reply.status):
                self.lost = why
            elif reply.status in _TOO_LONG:
                self._too_long(question, joined)
            else:
                self._spread(question)
            return why
        if question.path:
            places = [at for row, _ in question.cells if isinstance(at := self._addresses[row], TagAddress)]
            self.stale |= {at.whole for at in places}
            self.stale |= {base.whole for at in places if (base := base_of(at)) is not None}
            return RETYPED
        status = pccc_status(part)
        if not status:
            return _SENSELESS
        self._spread(question)
        return Refusal(*pccc_meaning(status))

    def _too_long(self, question: Question, joined: bool) -> None:
        if joined and self._room.answer >= _LEAST:
            self._smaller = True
        elif question.path:
            self._large.add((question.path, question.count))
            self._otherwise = True

    def _spread(self, question: Question) -> None:
        """A question for several places was refused: from now on each is asked for by itself."""
        places = [self._addresses[row] for row, _ in question.cells]
        if len(set(places)) < 2:
            return
        self._otherwise = True
        for at in places:
            if isinstance(at, FileAddress):
                self._apart.add(at)
            elif isinstance(at, TagAddress) and (base := base_of(at)) is not None:
                self._by_members.add(base)


def worthwhile(addresses: Iterable[TagAddress]) -> dict[TagAddress, set[TagAddress]]:
    """Structures of which so many members are asked for that they may be read whole, and those members."""
    members: dict[TagAddress, set[TagAddress]] = {}
    for at in addresses:
        if (base := base_of(at)) is not None:
            members.setdefault(base, set()).add(at)
    return {base: asked for base, asked in members.items() if len(asked) >= _WORTH}


def base_of(at: TagAddress) -> TagAddress | None:
    """The structure whose member is asked for; None for what is a member of none."""
    steps = at.whole.steps[:-1]
    if not steps or (len(steps) == 1 and str(steps[0]).lower().startswith("program:")):
        return None
    return TagAddress(steps)


def _within(at: TagAddress, what: Learned, said: str, whole: Template, steps: Sequence[str | int]) -> Make | None:
    """How a member's value is made of a structure that is read whole; None where it has to be asked for by itself."""
    found = member_named(whole, steps)
    if found is None:
        return None
    begin, member = found
    of = member.structure
    if (of is None) != (what.code != STRUCTURE) or (of is not None and of.handle != what.handle):
        return None
    if of is None and member.type.code != what.code:
        return None
    if of is None and what.code == BOOL and member.elements is None:
        return bit(1, member.more & 7, begin) if at.bit is None else None
    room = (member.elements or 1) * (32 if what.code == DWORD and of is None else 1)
    if (member.elements is None) != (at.index is None and at.count is None) or (at.index or 0) + (at.count or 1) > room:
        return None
    return place_of(at, what, said, begin).make


def _take(
    question: Question, data: bytes, values: list[float], exact: dict[int, Exact], refused: dict[int, Refusal]
) -> None:
    for row, make in question.cells:
        try:
            value = make(data)
        except (LookupError, ValueError, struct.error):
            refused[row] = Refusal("the bytes are no value of its type", quality.BAD_DECODING)
            continue
        if isinstance(value, float) or (isinstance(value, int) and -_SAFE <= value <= _SAFE):
            values[row] = value
        else:
            exact[row] = value
