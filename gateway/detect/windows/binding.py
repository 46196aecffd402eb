"""Which tags of which devices are the inputs of a model, or are watched by a limit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.core.readings import Readings
from gateway.core.tag import Device
from gateway.detect.models import Card
from gateway.detect.windows.grid import Samples, Times


def columns(fed: Sequence[tuple[Readings, int]]) -> tuple[Any, ...]:
    """Blocks as common columns: tag, t_ns, value, quality, boot_ns."""
    blocks = [readings for readings, _ in fed]
    boots = np.repeat(np.array([boot for _, boot in fed], np.int64), [len(block) for block in blocks])
    return (
        np.concatenate([block.tag for block in blocks]),
        np.concatenate([block.t_ns for block in blocks]),
        np.concatenate([block.value for block in blocks]),
        np.concatenate([block.quality for block in blocks]),
        boots,
    )


class Slots:
    """Which tag fills which slot. Row r (a device) fills the slots from r × inputs on."""

    def __init__(self, inputs: int) -> None:
        self._inputs = np.arange(inputs)
        self._ids: dict[int, NDArray[np.uint32]] = {}
        self._sorted_ids: NDArray[np.uint32] | None = None
        self._slots = np.empty(0, np.intp)

    def connect(self, row: int, ids: NDArray[np.uint32] | None) -> bool:
        """Fill a row's slots with these tags, or none. Gives whether they had others before."""
        before = self._ids.pop(row, None)
        if ids is not None:
            self._ids[row] = ids
        self._sorted_ids = None
        return before is not None and (ids is None or bool((before != ids).any()))

    def same(self, row: int, other: "Slots", others_row: int) -> bool:
        """Whether a row is filled with the same tags as another one's."""
        mine, theirs = self._ids.get(row), other._ids.get(others_row)
        return mine is not None and theirs is not None and bool((mine == theirs).all())

    def _look_up(self) -> NDArray[np.uint32]:
        """The bound tags' ids, ascending; `_slots` goes with them. Made anew after a change."""
        if self._sorted_ids is None:
            ids = np.concatenate([np.empty(0, np.uint32), *self._ids.values()])
            slots = [row * len(self._inputs) + self._inputs for row in self._ids]
            order = np.argsort(ids)
            self._sorted_ids, self._slots = ids[order], np.concatenate([np.empty(0, np.intp), *slots])[order]
        return self._sorted_ids

    def samples(
        self,
        tag: NDArray[np.uint32],
        t_ns: Times,
        value: NDArray[np.float64],
        quality: NDArray[np.uint32],
        boot_ns: Times,
    ) -> Samples | None:
        """The rows that are bound to a slot; None when there are none."""
        ids = self._look_up()
        if not len(ids):
            return None
        place = np.minimum(np.searchsorted(ids, tag), len(ids) - 1)
        mine = ids[place] == tag
        if mine.all():
            return Samples(self._slots[place], t_ns, value, quality, boot_ns)
        return Samples(self._slots[place[mine]], t_ns[mine], value[mine], quality[mine], boot_ns[mine])


class Binding:
    """The tags bound to one model's inputs. Device i of `devices` fills the slots from i × inputs on."""

    def __init__(self, card: Card, devices: Sequence[str], tag_names: Mapping[str, str]) -> None:
        """`tag_names`: input → tag, where they differ."""
        self.unfit: dict[str, str] = {}
        """Devices that the model cannot score, with the reason."""
        self._card = card
        self._tag_names = tag_names
        self._wanted = [tag_names.get(tag, tag) for tag in card.tags]
        self._row = {name: row for row, name in enumerate(devices)}
        self.slots = Slots(len(card.tags))

    def bind(self, device: Device, described: bool) -> bool:
        """Connect a device's tags, or leave it out and note in `unfit` why. Gives whether its slots now mean other tags.

        While it is not `described`, a device that has yet to tell a unit or type is left out without a reason.
        """
        tags = {tag.name: tag for tag in device.tags}
        units = {name: tag.unit for name, tag in tags.items()}
        types = {name: tag.type for name, tag in tags.items()}
        misfits = self._card.misfits(units, types, self._tag_names)
        self.unfit.pop(device.name, None)
        if misfits:
            if described or not self._card.may_still_fit(units, types, self._tag_names):
                self.unfit[device.name] = "; ".join(misfits)
            return self.slots.connect(self._row[device.name], None)
        return self.slots.connect(self._row[device.name], np.array([tags[tag].id for tag in self._wanted], np.uint32))
