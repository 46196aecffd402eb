"""Tags that are read together: which properties that takes, and what the answers mean."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from gateway.plugin import Tag, quality

from .address import DEVICE, PRESENT_VALUE, PRIORITY_ARRAY, RELIABILITY, STATUS_FLAGS
from .config import BacnetDevice, BacnetTag, subscribed
from .encoding import Kind
from .meaning import Meaning, is_fault, meaning
from .peer import RESTARTED, SYSTEM_STATUS, Batch, Found, Peer
from .refusals import UNKNOWN_OBJECT, UNKNOWN_PROPERTY
from .services import Place, Refusal
from .subscriptions import Subscriptions

FAULTS = 50
"""Objects whose reliability is asked for in one scan, at most."""
_NOT_AT_WORK = {
    2: "the device waits for its program to be downloaded",
    3: "a program is being downloaded into the device",
    4: "the device says that it is not operational",
}
"""System states in which values are no measurements."""


Texts = Mapping[int, Sequence[str]]
"""By object, the texts of its states."""
_Wanted = tuple[BacnetTag, Place, Place | None]
"""A tag's options, the property that it stands for, and the status flags that go with it."""


class Scan:
    """Knows no objects of the gateway, so that it may outlive a connection."""

    def __init__(self, tags: Iterable[Tag], instance: int, options: BacnetDevice) -> None:
        self.instance = instance
        self._identity = Place(DEVICE << 22 | instance, SYSTEM_STATUS)
        self._tags: list[_Wanted] = [(tag.config, wanted(tag.config, options), flags(tag.config)) for tag in tags]
        places = [place for _, *both in self._tags for place in both if place is not None]
        places.sort(key=lambda place: place.object)  # what is of one object goes together
        self.restarted = Place(self._identity.object, RESTARTED)
        told = any(subscribed(options, tag) for tag, _, _ in self._tags)
        self._batch = Batch([self._identity, *([self.restarted] if told else []), *places], options.max_values)
        self._reliability: dict[Place, Found] = {}
        """Of objects at fault, as last read."""
        self._state: Found | None = None
        """Of the device, likewise."""
        self.worded = {place.object for tag, place, _ in self._tags if tag.text}
        """Objects whose states' texts are needed."""

    @property
    def properties(self) -> int:
        """How many are read."""
        return len(self._batch.places)

    def requests(self, octets: int) -> int:
        """In how many requests, of a device that takes and gives so many octets."""
        return len(self._batch.requests(octets))

    async def read(self, peer: Peer, texts: Texts, told: Subscriptions | None, until: float) -> list[Meaning]:
        """What each tag means now. Raises LinkError where another device answers."""
        begun = asyncio.get_running_loop().time()
        found = await self._batch.read(peer, until)
        self._state = found.get(self._identity)
        if isinstance(self._state, Refusal) and self._state.code == UNKNOWN_OBJECT:
            raise await peer.another()
        if told is not None:
            told.compare(found, self.restarted, begun)
            found |= told.since(begun)
        self._leave_out(found)
        faults = [status.object for _, _, status in self._tags if status is not None and is_fault(found.get(status))]
        self._reliability = {}
        if faults:
            wanted = (Place(each, RELIABILITY) for each in faults[:FAULTS])
            self._reliability = await Batch(wanted, FAULTS).read(peer, until)
        return [self._meaning(one, found, texts) for one in self._tags]

    def meanings(self, object_: int, found: Mapping[Place, Found], texts: Texts) -> dict[int, Meaning]:
        """By their rows, what tags of one object mean by these properties."""
        return {
            row: self._meaning(one, found, texts)
            for row, one in enumerate(self._tags)
            if one[1].object == object_ and one[1] in found
        }

    def _meaning(self, one: "_Wanted", found: Mapping[Place, Found], texts: Texts) -> Meaning:
        tag, value, status = one
        flags_found = found.get(status) if status is not None else None
        reliability = self._reliability.get(Place(value.object, RELIABILITY))
        said = meaning(tag, found[value], flags_found, reliability, texts.get(value.object, ()))
        return _at_work(self._state, said)

    def _leave_out(self, found: Mapping[Place, Found]) -> None:
        """What the device says that it does not have, beside the tags themselves."""
        beside = {status for _, _, status in self._tags if status is not None} | {self.restarted}
        for place in beside - {value for _, value, _ in self._tags}:
            answer = found.get(place)
            if isinstance(answer, Refusal) and answer.code == UNKNOWN_PROPERTY and place in self._batch.places:
                self._batch.leave_out(place)


def wanted(tag: BacnetTag, options: BacnetDevice) -> Place:
    """The property that is read for a tag."""
    at = tag.at
    return Place(at.object, PRIORITY_ARRAY, tag.priority or options.priority) if tag.commanded else at


def flags(tag: BacnetTag) -> Place | None:
    """The status flags that go with it; None where none do."""
    at = tag.at
    if not tag.status or tag.commanded or at.property != PRESENT_VALUE:
        return None
    return Place(at.object, STATUS_FLAGS)


def _at_work(state: Found | None, said: Meaning) -> Meaning:
    """Nothing is good of a device that does not work."""
    if not isinstance(state, list) or not state or state[0][0] != Kind.ENUMERATED or state[0][1] not in _NOT_AT_WORK:
        return said
    if said.quality >= quality.UNCERTAIN:
        return said
    return Meaning(said.value, quality.UNCERTAIN, _NOT_AT_WORK[state[0][1]])
