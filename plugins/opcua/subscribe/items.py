"""The monitored items of one device: what is asked of the server for each tag, and those that it refuses, set aside and
tried again alone."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import structlog
from asyncua import ua

from gateway.plugin import Device, Readings, Tags, listed, quality

from ..address import Address, parse_place
from ..config import OpcUaConfig
from ..remarks import Remarks
from ..requests.reading import ReadPlan
from ..requests.services import forget, nodes_of
from ..requests.ways import find_ways_anew
from ..session.errors import in_few_words, name_of
from ..session.session import OpcUaSession
from ..session.suspicion import WHY
from .making import make
from .quiet import Quiet
from .subscription import FILTER_REFUSED, Subscription, say_revised, wishes

FIRST_RETRY, LAST_RETRY = 5.0, 300.0
"""Seconds after which refused nodes are tried again; doubling."""
SOON = 10.0
"""The last of them, as long as they are few: what was repaired is back soon."""
FEW = 100
SHOWN = 5
"""Tags that one line of the log names."""


class Items:
    """Items by the row of their tag in the device, which is also the handle under which their values come."""

    def __init__(
        self, session: OpcUaSession, device: Device, remark: Remarks, log: structlog.stdlib.BoundLogger, quiet: Quiet
    ) -> None:
        self._quiet = quiet
        self._session = session
        self._device = device
        self._config: OpcUaConfig = device.config
        self._remark = remark
        self._log = log
        self.home: dict[int, Subscription] = {}
        """Row of each tag that the server has taken into a subscription → that."""
        self.numbers: dict[int, int] = {}
        """Row → the server's number of its item."""
        self._latest: dict[float, Subscription] = {}
        """Scan → the subscription that takes what is still to come."""
        self.refused: dict[int, int] = {}
        """Row → status code with which the server refuses it."""
        self.accepted: set[int] = set()
        """Rows that it has accepted after all: what they are was not told."""
        self._retry_after = FIRST_RETRY
        self._tried_at = float("-inf")
        self._all_at = float("inf")
        """Loop time at which all refused ones are to be tried again."""
        self.retry_at = float("inf")
        """The same, or before that the time for those that are left out since the connection would end over them."""

    def node(self, row: int) -> ua.NodeId | None:
        """The node of a row's tag; None when the server has no such namespace."""
        return self._session.node_id(parse_place(self._device.tags[row].config.address))

    def latest(self, scan: float) -> Subscription | None:
        """The subscription that takes what else is to be reported so often."""
        return self._latest.get(scan)

    def count(self, subscription: Subscription) -> int:
        """How many rows have their place there."""
        return sum(home is subscription for home in self.home.values())

    def release(self, subscription: Subscription) -> list[int]:
        """The rows of a subscription that is no more; they have no place now."""
        rows = [row for row, home in self.home.items() if home is subscription]
        for row in rows:
            del self.home[row]
        self._quiet.forget(rows)
        if self._latest.get(subscription.scan) is subscription:
            del self._latest[subscription.scan]
        return rows

    def take_over(self, subscription: Subscription, rows: Mapping[int, int]) -> None:
        """A subscription of before goes on, with the items of these rows, by the server's numbers."""
        self.numbers |= rows
        self.home.update(dict.fromkeys(rows, subscription))
        self._latest[subscription.scan] = subscription
        often = np.full(len(rows), subscription.interval)
        self._quiet.watch(list(rows), subscription.interval, often, asyncio.get_running_loop().time())

    def scan(self, row: int) -> float:
        """How often a row is reported, s."""
        scan: float = self._device.tags[row].config.scan or self._config.scan
        return scan

    async def create(self, subscription: Subscription, rows: Sequence[int]) -> dict[int, int]:
        """Ask for these rows' values. Returns row → status code of those that the server refuses, `FULL` where it has no more
        room."""
        self._latest[subscription.scan] = subscription
        tags = self._device.tags
        nodes = dict(zip(rows, await nodes_of(self._session, [tags[row] for row in rows]), strict=True))
        refused = {row: quality.BAD_NODE_ID_UNKNOWN for row, node in nodes.items() if node is None}
        wanted = [(row, node) for row, node in nodes.items() if node is not None]
        codes = await self._create_items(subscription, wanted)
        unfiltered = [(row, node) for row, node in wanted if codes[row] in FILTER_REFUSED]
        if unfiltered:
            for row, _ in unfiltered:
                self._remark(row, "the server cannot apply server_deadband, and reports every change")
            codes |= await self._create_items(subscription, unfiltered, filtered=False)
        refused |= {row: code for row, code in codes.items() if code >= quality.BAD}
        self.home.update({row: subscription for row in rows if row not in refused})
        return refused

    async def _create_items(
        self, subscription: Subscription, wanted: Sequence[tuple[int, ua.NodeId]], *, filtered: bool = True
    ) -> dict[int, int]:
        """Row → what the server says of it."""
        by_name = {self._device.tags[row].name: (row, node) for row, node in wanted}
        suspicion, operation = self._session.suspicion, f"subscribe every {subscription.scan:g} s"
        codes: dict[int, int] = {}
        for names in suspicion.of(operation).portions([*by_name], asyncio.get_running_loop().time()):
            alive = self._session.makes_items or bool(self.home)
            with suspicion.asking(operation, names, alive=alive):
                some = [by_name[name] for name in names]
                codes |= await self._create_some(subscription, some, filtered=filtered)
        return {row: codes.get(row, int(quality.BAD_NO_COMMUNICATION)) for row, _ in wanted}

    async def _create_some(
        self, subscription: Subscription, wanted: Sequence[tuple[int, ua.NodeId]], *, filtered: bool
    ) -> dict[int, int]:
        tags = self._device.tags
        rows = [row for row, _ in wanted]
        asked = wishes(rows, [node for _, node in wanted], self._config, tags, filtered=filtered)
        await asyncio.sleep(0)
        made = await make(self._session, subscription.id, asked)
        say_revised(asked, made, self._log.info)
        self.numbers.update(zip(rows, made.item.tolist(), strict=True))
        taken = np.flatnonzero(made.status < quality.BAD)
        often = made.sampling[taken] / 1000
        self._quiet.watch(
            [rows[at] for at in taken.tolist()], subscription.interval, often, asyncio.get_running_loop().time()
        )
        return dict(zip(rows, made.status.tolist(), strict=True))

    def park(self, refused: Mapping[int, int]) -> Readings | None:
        """Set refused rows aside until their next try. Those whose reason is new, as bad rows."""
        fresh = {row: code for row, code in refused.items() if self.refused.get(row) != code}
        self.refused |= refused
        now = asyncio.get_running_loop().time()
        if not self.refused:
            self._all_at, self._retry_after = float("inf"), FIRST_RETRY
        elif fresh or now >= self._all_at:
            self._all_at = now + self._retry_after
            self._retry_after = min(2 * self._retry_after, LAST_RETRY, max(SOON, SOON * len(self.refused) / FEW))
        # at their own time: asked for a moment before it, they would wait for the next turn of all
        trials = [self._session.suspicion.trial_at(self._device.tags[row].name) for row in self._left_out()]
        self.retry_at = min([self._all_at, *(trial for trial in trials if trial > now)])
        self._say_refused(fresh)
        return self._bad_rows(fresh) if fresh else None

    def _left_out(self) -> list[int]:
        """Refused rows that are not asked for, since the connection would end over them."""
        names = self._session.suspicion.parked
        return [row for row in self.refused if self._device.tags[row].name in names] if names else []

    def _say_refused(self, refused: Mapping[int, int]) -> None:
        """One line for each reason, with the first tags that it concerns."""
        reasons: dict[str, list[str]] = {}
        for row, code in refused.items():
            tag = self._device.tags[row]
            why = WHY if tag.name in self._session.suspicion.parked else self._why_refused(tag.config.address, code)
            reasons.setdefault(why, []).append(f"{tag.name} ({tag.config.address})")
        for reason, tags in reasons.items():
            self._log.warning("the server refuses tags", tags=listed(tags, SHOWN), reason=reason)

    def _why_refused(self, address: str, code: int) -> str:
        parsed = parse_place(address)
        if self._session.node_id(parsed) is None:
            return self._session.why_none(parsed)
        if name_of(code) == "BadNodeIdUnknown":
            hint = "; for an element of an array write index_range" if address.endswith("]") else ""
            return f"the server has no such node: compare address with its address space{hint} (BadNodeIdUnknown)"
        return in_few_words(code)

    def _bad_rows(self, codes: Mapping[int, int]) -> Readings:
        rows = np.array(list(codes), np.intp)
        count = len(rows)
        return Readings(
            self._device,
            np.full(count, time.time_ns(), np.int64),
            self._device.tags.ids[rows],
            np.full(count, np.nan),
            np.array(list(codes.values()), np.uint32) & np.uint32(~quality.FLAGS & 0xFFFF_FFFF),
        )

    async def drop(self, row: int, why: str, raw: bytes) -> Readings | None:
        """No more of a row whose values spoil the messages in which they come: it is tried again alone. Its bad row."""
        subscription = self.home.pop(row, None)
        if subscription is None:
            return None
        self._quiet.forget([row])
        await forget(self._session, subscription.id, self.numbers[row])
        self._remark(row, f"its value cannot be decoded, nor told where it ends: {why}", raw)
        return self.park({row: quality.BAD_DECODING})

    async def make_anew(self, rows: Sequence[int]) -> Readings | None:
        """The server has items of these rows, and does not report them: it gets others. What became bad rows."""
        refused: dict[int, int] = {}
        for row in rows:
            subscription = self.home.pop(row, None)
            if subscription is not None:
                self._remark(row, "the server does not report its changes: it is read now and then")
                await forget(self._session, subscription.id, self.numbers[row])
                refused |= await self.create(subscription, [row])
        return self.park(refused) if refused else None

    async def _worth_a_try(self) -> list[int]:
        """The rows to be asked for again; those whose values could not be decoded, if they can when they are read alone."""
        rows = []
        for row in self.refused if self._tried_at >= self._all_at else self._left_out():
            code = self.refused[row]
            tags = Tags(self._device.name, [self._device.tags[row]])
            undecodable = code == quality.BAD_DECODING
            if not undecodable or (await ReadPlan(self._session, self._device, tags).read()).quality[0] != code:
                rows.append(row)
        return rows

    def retry_soon(self) -> None:
        """What is refused is asked for now, unless that was done just before."""
        if self.refused:
            now = asyncio.get_running_loop().time()
            self._all_at = min(self._all_at, max(now, self._tried_at + FIRST_RETRY))
            self.retry_at = min(self.retry_at, self._all_at)

    async def retry(self) -> Readings | None:
        """Ask once more for what was refused; the rest of the tags is not touched. What became bad rows."""
        self._tried_at = asyncio.get_running_loop().time()
        places = [parse_place(self._device.tags[row].config.address) for row in self.refused]
        if any(isinstance(place, Address) and self._session.node_id(place) is None for place in places):
            await self._session.learn_namespaces()
        await find_ways_anew(self._session, places)
        refused: dict[int, int] = {}
        for scan, rows in groupby(sorted(await self._worth_a_try(), key=self.scan), self.scan):
            if scan in self._latest:
                refused |= await self.create(self._latest[scan], list(rows))
        refused |= {row: code for row, code in self.refused.items() if row not in refused and row not in self.home}
        for row in [row for row in self.refused if row not in refused]:
            del self.refused[row]
            self.accepted.add(row)
            self._log.info("the server accepts a tag again", tag=self._device.tags[row].name)
        return self.park(refused)
