"""Tags that have not been reported for long: is it that nothing has changed, or that the server no longer reports them?

A subscription that lives says nothing of a single item of it. So what is quiet is read now and then, ever more seldom while
the value is the one that was reported last. What has another one is handed on as it was read, its item is made anew once,
and it is read from then on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.plugin import Device, Readings, Tags, quality

from ..requests.reading import ReadPlan
from ..session.session import OpcUaSession
from ..values.blocks import Block

LOOK_EVERY = 2.5
"""Seconds between two looks."""
QUIET, LONGEST = 4.0, 300.0
"""Seconds without a report after which a tag is read, doubling."""
INTERVALS = 3
"""Times the intervals at which the server looks and reports, at least."""
AT_A_TIME = 500
"""Tags that are read in one look."""


class Quiet:
    """When each tag was heard of, by its row in the device, and with which value."""

    def __init__(self, session: OpcUaSession, device: Device) -> None:
        self._session, self._device = session, device
        count = len(device.tags)
        self._value = np.full(count, np.nan)
        self._heard = np.zeros(count, np.bool_)
        self._due = np.full(count, np.inf)
        self._pause = np.full(count, QUIET)
        self._least = np.full(count, np.inf)
        """Seconds of silence that mean nothing yet; infinite for tags that are not looked after."""
        self._missed = np.zeros(count, np.int8)
        self.look_at = float("inf")
        """Loop time of the next look."""

    def watch(self, rows: Sequence[int], interval: float, sampling: NDArray[np.float64], now: float) -> None:
        """The server has items of these rows, which it looks at and reports at these intervals, s. Deadbands of the server
        hide changes."""
        for row, often in zip(rows, sampling.tolist(), strict=True):
            plain = self._device.tags[row].config.server_deadband is None
            longest = max(interval, often if often == often else interval)
            self._least[row] = max(QUIET, INTERVALS * longest) if plain and longest <= LONGEST else np.inf
        some = np.array(rows, np.intp)
        self._pause[some] = self._least[some]
        self._due[some] = now + self._least[some]
        self.look_at = min(self.look_at, now + LOOK_EVERY)

    def forget(self, rows: Sequence[int]) -> None:
        """These rows have no items now."""
        self._due[list(rows)] = np.inf
        self._least[list(rows)] = np.inf

    def heard(self, rows: NDArray[np.intp], block: Block, now: float) -> None:
        """The server has reported these rows."""
        self._value[rows] = block.value
        self._heard[rows] = True
        self._missed[rows] = 0
        least = self._least[rows]
        self._pause[rows] = least
        self._due[rows] = now + least

    async def look(self, now: float) -> tuple[Readings | None, list[int]]:
        """Read some that have been quiet for long. What they are where that is not what was reported, and the rows that were
        found so twice."""
        self.look_at = now + LOOK_EVERY
        rows = np.flatnonzero(self._due <= now)
        if len(rows) > AT_A_TIME:
            rows = rows[np.argpartition(self._due[rows], AT_A_TIME)[:AT_A_TIME]]
        if not len(rows):
            return None, []
        tags = Tags(self._device.name, [self._device.tags[row] for row in rows.tolist()])
        read = await ReadPlan(self._session, self._device, tags).read()
        number = ~np.isnan(read.value) & (read.quality < quality.UNCERTAIN)
        news = number & self._heard[rows] & (read.value != self._value[rows])
        self._value[rows[number]] = read.value[number]
        self._heard[rows[number]] = True
        missed = rows[news]
        self._missed[missed] = np.minimum(self._missed[missed] + 1, 3)
        self._pause[rows] = np.where(news, self._least[rows], np.minimum(2 * self._pause[rows], LONGEST))
        self._due[rows] = now + self._pause[rows]
        return (read.take(np.flatnonzero(news)) if news.any() else None), missed[self._missed[missed] == 2].tolist()
