"""What one PLC reports, and what is known of its values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.kit.line import Answer
from gateway.plugin import Device, Exact, Readings, Tag, quality

from .config import AdsTag
from .frames import CYCLIC, ON_CHANGE, VERSION, AdsRequest, add_note, delete_note
from .program import RUN, Item, Key, Program
from .reading import UNCERTAIN_STOPPED, refusal
from .return_codes import REFUSALS

CHECK = 5.0
"""Seconds between two reads of all that is reported."""
SOON = 1.0
"""Seconds until what was read and not reported is read once more."""
_SAFE = 1 << 53

Row = tuple[int, int, float, int, Exact | None]
"""Source time, tag id, value, quality, and the value where a float64 cannot hold it."""


@dataclass(slots=True)
class DeviceFeed:
    """What is reported of one device."""

    device: Device
    program: Program
    notes: dict[Key, tuple[Item, int]] = field(default_factory=dict)
    """What is reported: as which item, and under which number."""

    by_note: dict[int, Key] = field(default_factory=dict)
    last: dict[Key, bytes] = field(default_factory=dict)
    """What was reported last."""

    bad: dict[Key, int] = field(default_factory=dict)
    """What is bad, by its quality."""

    suspected: dict[Key, bytes] = field(default_factory=dict)
    """What was read and not reported."""

    down: bool = False
    """Whether the PLC cannot be asked."""

    state: int = RUN
    version_note: int | None = None
    check_at: float = 0.0
    tags: dict[Key, list[Tag]] = field(init=False)

    def __post_init__(self) -> None:
        self.tags = {}
        for tag in self.device.tags:
            self.tags.setdefault(tag.config.key, []).append(tag)

    def drop(self) -> None:
        """Everything is asked for and subscribed anew."""
        self.program.forget()
        self.notes.clear()
        self.by_note.clear()
        self.last.clear()
        self.bad.clear()
        self.suspected.clear()
        self.version_note, self.check_at = None, 0.0

    def scan(self, tags: Sequence[Tag]) -> float:
        """How often these are looked at."""
        return float(min(tag.config.scan or self.device.config.scan for tag in tags))

    async def subscribe(self) -> None:
        """Have reported what can be read, and is not reported yet."""
        wanted = [
            (key, item)
            for key, item in self.program.items.items()
            if key in self.tags and self.notes.get(key, (None, 0))[0] is not item
        ]
        gone = [key for key in self.notes if key not in self.program.items]
        old = [self.notes.pop(key)[1] for key in [*gone, *(key for key, _ in wanted)] if key in self.notes]
        for note in old:
            self.by_note.pop(note, None)
        requests = [delete_note(self.program.unit, note) for note in old]
        requests += [self._request(key, item) for key, item in wanted]
        if self.version_note is None and self.program.version is not None:
            scan = self.scan(list(self.device.tags))
            requests.append(add_note(self.program.unit, (VERSION, 0, 1), ON_CHANGE, 0, scan))
        answers = (await self.program.ask(requests))[len(old) :]
        for (key, item), answer in zip(wanted, answers, strict=False):
            if isinstance(answer, bytes):
                note = int.from_bytes(answer, "little")
                self.notes[key] = item, note
                self.by_note[note] = key
                self.last.pop(key, None)
        if len(answers) > len(wanted):
            self.version_note = int.from_bytes(answers[-1], "little") if isinstance(answers[-1], bytes) else -1

    def _request(self, key: Key, item: Item) -> AdsRequest:
        tags = self.tags[key]
        how = CYCLIC if any(tag.config.cyclic for tag in tags) else ON_CHANGE
        return add_note(self.program.unit, item.place, how, self.device.config.max_delay, self.scan(tags))

    def has(self, note: int) -> bool:
        """Whether it is one of ours."""
        return note in self.by_note or note == self.version_note

    def is_other(self, data: bytes) -> bool:
        """Whether the PLC reports another version of its program; then all is read at the next look."""
        if data == bytes([self.program.version or 0]):
            return False
        self.check_at = 0.0
        return True

    def reported(self, note: int, t_ns: int, data: bytes) -> Iterator[Row]:
        """The readings of a report. One of another size is none: so a PLC says that it reports it no more."""
        key = self.by_note[note]
        item = self.program.items.get(key)
        if item is None or len(data) != item.place[2]:
            self.check_at = 0.0
            return
        yield from self.taken(key, t_ns, data)

    def taken(self, key: Key, t_ns: int, answer: Answer) -> Iterator[Row]:
        """The readings of a new value, or of the code in its place."""
        if isinstance(answer, int):
            self.bad[key] = REFUSALS.quality(answer)
            self.last.pop(key, None)
        else:
            self.bad.pop(key, None)
            self.last[key] = answer
        yield from self.rows(key, t_ns)

    def rows(self, key: Key, t_ns: int) -> Iterator[Row]:
        """What is known of a value, as readings."""
        item, data = self.program.items.get(key), self.last.get(key)
        for tag in self.tags[key]:
            if item is None or data is None or self.program.why(tag.config):
                code = self.bad.get(key) or refusal(self.program, key)
                yield t_ns, tag.id, np.nan, code, None
            else:
                yield t_ns, tag.id, *_decoded(tag.config, item, data, self.program.halted)

    def checked(self, parts: dict[Key, Answer], t_ns: int) -> Iterator[tuple[Key, Row]]:
        """What a read has found and nobody has reported."""
        for key, part in parts.items():
            if isinstance(part, int):
                if self.bad.get(key) != REFUSALS.quality(part):
                    yield from ((key, row) for row in self.taken(key, t_ns, part))
            elif part == self.last.get(key):
                self.suspected.pop(key, None)
            elif key not in self.notes or self.suspected.get(key) == part:
                self.suspected.pop(key, None)
                yield from ((key, row) for row in self.taken(key, t_ns, part))
            else:
                self.suspected[key] = part

    def period(self) -> float:
        """Seconds until all is read again."""
        polled = [tag for key, tags in self.tags.items() if key not in self.notes for tag in tags]
        if self.suspected:
            return SOON + float(self.device.config.max_delay)
        return min(CHECK, self.scan(polled)) if polled else CHECK


def _decoded(tag: AdsTag, item: Item, data: bytes, stopped: bool) -> tuple[float, int, Exact | None]:
    """Value, quality, and the value where a float64 cannot hold it."""
    code = UNCERTAIN_STOPPED if stopped else quality.GOOD
    if tag.at.bit is not None:
        return float(int.from_bytes(data, "little") >> tag.at.bit & 1), code, None
    try:
        value = item.type.decode(data)
    except ValueError:
        return np.nan, quality.BAD_DECODING, None
    if isinstance(value, float):
        return value, quality.BAD_DECODING if np.isnan(value) else code, None
    if isinstance(value, int) and abs(value) <= _SAFE:
        return float(value), code, None
    return np.nan, code, value


def columns(device: Device, rows: Sequence[Row]) -> Readings:
    """The rows as columns."""
    times, ids, values, codes, exact = zip(*rows, strict=True)
    return Readings(
        device,
        np.array(times, np.int64),
        np.array(ids, np.uint32),
        np.array(values, np.float64),
        np.array(codes, np.uint32),
        {row: value for row, value in enumerate(exact) if value is not None},
    )
