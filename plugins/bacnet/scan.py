"""Tags that are read together: which properties that takes, and what the answers mean."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.plugin import Tag, quality

from .address import DEVICE, PRESENT_VALUE, PRIORITY_ARRAY, RELIABILITY, STATUS_FLAGS
from .config import BacnetDevice, BacnetTag
from .encoding import Kind
from .meaning import Meaning, is_fault, meaning
from .peer import SYSTEM_STATUS, Batch, Found, Peer
from .refusals import UNKNOWN_OBJECT, UNKNOWN_PROPERTY
from .services import Place, Refusal

FAULTS = 50
"""Objects whose reliability is asked for in one scan, at most."""
_NOT_AT_WORK = {
    2: "the device waits for its program to be downloaded",
    3: "a program is being downloaded into the device",
    4: "the device says that it is not operational",
}
"""System states in which values are no measurements."""


class Scan:
    """Knows no objects of the gateway, so that it may outlive a connection."""

    def __init__(self, tags: Iterable[Tag], instance: int, options: BacnetDevice) -> None:
        self.instance = instance
        self._identity = Place(DEVICE << 22 | instance, SYSTEM_STATUS)
        self._tags: list[tuple[BacnetTag, Place, Place | None]] = [
            (tag.config, wanted(tag.config, options), flags(tag.config)) for tag in tags
        ]
        places = [place for _, *both in self._tags for place in both if place is not None]
        places.sort(key=lambda place: place.object)  # what is of one object goes together
        self._batch = Batch([self._identity, *places], options.max_values)
        self.worded = {place.object for tag, place, _ in self._tags if tag.text}
        """Objects whose states' texts are needed."""

    @property
    def properties(self) -> int:
        """How many are read."""
        return len(self._batch.places)

    def requests(self, octets: int) -> int:
        """In how many requests, of a device that takes and gives so many octets."""
        return len(self._batch.requests(octets))

    async def read(self, peer: Peer, texts: Mapping[int, Sequence[str]], until: float) -> list[Meaning]:
        """What each tag means now. Raises LinkError where another device answers."""
        found = await self._batch.read(peer, until)
        state = found.get(self._identity)
        if isinstance(state, Refusal) and state.code == UNKNOWN_OBJECT:
            raise await peer.another()
        faults = [status.object for _, _, status in self._tags if status is not None and is_fault(found.get(status))]
        reliability: dict[Place, Found] = {}
        if faults:
            reliability = await Batch((Place(each, RELIABILITY) for each in faults[:FAULTS]), 50).read(peer, until)
        said = [
            meaning(
                tag,
                found[value],
                found.get(status) if status is not None else None,
                reliability.get(Place(value.object, RELIABILITY)),
                texts.get(value.object, ()),
            )
            for tag, value, status in self._tags
        ]
        for _, _, status in self._tags:
            answer = found.get(status) if status is not None else None
            if status is not None and isinstance(answer, Refusal) and answer.code == UNKNOWN_PROPERTY:
                self._batch.leave_out(status)
        return [_at_work(state, each) for each in said]


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
