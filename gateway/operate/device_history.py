"""What devices have recorded themselves is imported into the log (docs/history.md), tag by tag, each value once.

An import is a task of its own, one at a time for each device. How far it came stands on disk, so the next one goes on there.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import structlog

from gateway.acquire.acquirer import Acquirer
from gateway.core.clock import Clock
from gateway.core.command import Actor, Body
from gateway.core.errors import DeviceError, GatewayError
from gateway.core.live import LiveTable
from gateway.core.quality import HISTORICAL, is_bad
from gateway.core.readings import Readings
from gateway.core.tag import Tag
from gateway.core.times import rfc3339
from gateway.operate.audit_log import AuditLog
from gateway.operate.covered import Covered, Spans
from gateway.outbox import Outbox
from gateway.status import HistoryImportStatus

RATE = 2000.0
"""Readings a second, where nobody says otherwise."""
PORTION = 1000
"""Readings that are taken before it is noted how far it came."""
WRITTEN_WITHIN = 30.0
"""Seconds that a portion may take to be on disk."""
ON_ITS_WAY = 10_000_000_000
"""Nanoseconds before now of which nothing is imported of a tag that was never read: its first readings may be coming."""
TRIES = 5
"""Looks at the log, a second apart, before the import gives up."""
MOST_KNOWN = 1_000_000
"""Readings of one span that are looked for in the log."""
SAVED_EVERY = 5.0
"""Seconds between two notes how far it came."""
MOST_REFUSED = 100
"""Tags that are named among those that the device gives no history of."""

BROKEN_OFF = "ended before it was through: ask for the same once more, and it goes on from there"

log = structlog.get_logger()


@dataclass(slots=True)
class DeviceImport:
    """One import, under way or over."""

    device: str
    tags: Sequence[Tag]
    from_ns: int
    to_ns: int
    rate: float | None
    covered: Covered
    status: HistoryImportStatus
    killed: bool
    """Whether more may have been imported than is noted: the log is asked, until it has nothing more of it."""
    doubtful: bool = False
    """Whether a portion was handed on of which it is not known whether it was kept."""
    saved_at: float = 0.0
    """Loop time at which it was noted last how far it came."""
    refused: dict[str, str] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    def ended(self, outcome: str, *, done: bool = False) -> None:
        self.status = replace(self.status, running=False, done=done, outcome=outcome)


class DeviceHistory:
    """The imports of all devices; `stop` ends them."""

    def __init__(
        self, live: LiveTable, acquirer: Acquirer, outbox: Outbox, audit: AuditLog, clock: Clock, directory: Path
    ) -> None:
        self._live = live
        self._acquirer = acquirer
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._directory = directory
        self._imports: dict[str, DeviceImport] = {}

    def commands(self) -> dict[str, Body]:
        """By their names on the control socket."""
        return {
            "history_import": self.start,
            "history_import_status": self.look,
            "history_import_cancel": self.cancel,
        }

    async def start(
        self,
        by: Actor,
        device: str,
        from_ns: int,
        to_ns: int,
        tags: Sequence[str] = (),
        rate: float | None = RATE,
    ) -> HistoryImportStatus:
        """Import what the device recorded of these tags (all, where none are named) with source times in [from_ns, to_ns),
        but nothing beyond now; audited before it starts. `rate`: readings per second; None: no bound."""
        if device in self._imports and self._imports[device].status.running:
            raise GatewayError(f"an import of {device} is under way: wait for its end, or cancel it")
        self._acquirer.has_history(device)
        wanted = self._tags(device, tags)
        to_ns = min(to_ns, self._clock.wall_ns())
        if not 0 <= from_ns < to_ns:
            raise GatewayError(
                "the span begins before 1970, or in the future, or ends before it begins: nothing lies in it"
            )
        covered = await asyncio.to_thread(Covered, self._directory, device)
        if covered.was_damaged:
            log.warning("what was imported before is not known any more: its file was damaged", device=device)
        status = HistoryImportStatus(device, from_ns, to_ns, tags=len(wanted))
        made = DeviceImport(device, wanted, from_ns, to_ns, rate, covered, status, killed=covered.begun)
        told = {"from": rfc3339(from_ns), "to": rfc3339(to_ns), "tags": list(tags) or "all"}
        async with self._audit.audited(by, "history.import", target=device, **told, rate=rate):
            self._begin(made)
        log.info("an import of a device's history begins", device=device, by=by.name, **told)
        return made.status

    def _begin(self, made: DeviceImport) -> None:
        self._imports[made.device] = made
        made.task = asyncio.create_task(self._run(made))

    async def look(self, by: Actor, device: str) -> HistoryImportStatus:
        """How far the last import of this device is, or how it ended."""
        return self._named(device).status

    async def cancel(self, by: Actor, device: str) -> HistoryImportStatus:
        """End it; what was imported stays."""
        made = self._named(device)
        async with self._audit.audited(by, "history.cancel", target=device):
            await self._end(made)
        return made.status

    async def stop(self) -> None:
        """The gateway stops: end what is under way."""
        for made in self._imports.values():
            await self._end(made)

    async def _end(self, made: DeviceImport) -> None:
        """What has ended by itself still notes that in the audit trail; what is under way is cancelled, and noted here."""
        if made.task is None or made.task.done():
            return
        if was_running := made.status.running:
            made.task.cancel()
        await asyncio.wait([made.task])
        if was_running:
            if made.status.running:  # it had not begun
                made.ended(BROKEN_OFF)
            await self._note_end(made)

    async def _note_end(self, made: DeviceImport) -> None:
        told = {"outcome": made.status.outcome, "readings": made.status.readings}
        log.info("an import of a device's history has ended", device=made.device, **told)
        await self._audit.record("history.import.end", "system", target=made.device, **told)

    def _named(self, device: str) -> DeviceImport:
        if device not in self._imports:
            raise GatewayError(f"nothing of {device} was imported since the gateway started")
        return self._imports[device]

    def _tags(self, device: str, names: Sequence[str]) -> list[Tag]:
        known = {tag.name: tag for tag in self._live[device].device.tags}
        if unknown := [name for name in names if name not in known]:
            raise GatewayError(f'device "{device}" has no tag "{unknown[0]}"; it has: {", ".join(sorted(known))}')
        return [known[name] for name in names] if names else list(known.values())

    # What an import does.

    async def _run(self, made: DeviceImport) -> None:
        try:
            await self._save(made, begun=True)
            for tag in made.tags:
                try:
                    await self._tag(made, tag)
                except GatewayError as error:
                    if not isinstance(error.__cause__, DeviceError):
                        raise
                    made.refused[tag.name] = str(error)
                made.status = replace(
                    made.status,
                    tags_done=made.status.tags_done + 1,
                    refused=[{"tag": name, "why": why} for name, why in list(made.refused.items())[:MOST_REFUSED]],
                    refused_tags=len(made.refused),
                )
            made.killed = False
            none_of = f"done, but the device gives no history of {len(made.refused)} of the tags"
            made.ended(none_of if made.refused else "done", done=not made.refused)
        except asyncio.CancelledError:
            made.ended(BROKEN_OFF)
            raise
        except GatewayError as error:
            made.ended(f"{error}; ask for the same once more, and it goes on from there")
        except OSError as error:
            made.ended(f"how far it came cannot be written: {error.strerror or error}")
        except Exception as error:
            made.ended(f"a bug of the gateway: {type(error).__name__}; the traceback is in the log")
            log.error("an import failed", device=made.device, exc_info=error)
        finally:
            with suppress(OSError):  # what stands there is less than was imported, and says so
                made.covered.begun = made.killed or made.doubtful
                made.covered.save()
        await self._note_end(made)

    async def _tag(self, made: DeviceImport, tag: Tag) -> None:
        key = f"{tag.name}\n{getattr(tag.config, 'address', '')}"
        spans = made.covered.spans.setdefault(key, Spans())
        await self._outbox.written_out(WRITTEN_WITHIN)
        for at, end in spans.missing(made.from_ns, self._end_of(made, tag)):
            while at < end:
                begun = asyncio.get_running_loop().time()
                blocks, complete = await self._acquirer.recorded(made.device, tag.name, at, end, PORTION)
                until = self._until(blocks, at, end, complete)
                count = await self._take(made, key, tag, blocks, (at, until))
                at = until
                made.status = replace(made.status, last=until if until < made.to_ns else made.status.last)
                if made.rate and count:
                    await asyncio.sleep(max(0.0, begun + count / made.rate - asyncio.get_running_loop().time()))

    def _end_of(self, made: DeviceImport, tag: Tag) -> int:
        """Where the span ends for this tag: with its last reading, for what is later is on its way already."""
        live = self._live[made.device]
        row = next((row for row, each in enumerate(live.device.tags) if each.name == tag.name), None)
        latest = int(live.t_ns[row]) if row is not None else 0
        return min(made.to_ns, latest + 1 if latest else self._clock.wall_ns() - ON_ITS_WAY)

    def _until(self, blocks: Sequence[Readings], at: int, end: int, complete: bool) -> int:
        """How far these reach."""
        if complete:
            return end
        latest = max((int(block.t_ns.max()) for block in blocks if len(block)), default=-1)
        if not at <= latest < end:
            raise GatewayError("the device gives values of another time than it was asked for")
        return latest + 1

    async def _take(
        self, made: DeviceImport, key: str, tag: Tag, blocks: Sequence[Readings], span: tuple[int, int]
    ) -> int:
        """Keep what is new of these, note that this span is covered, and count. Raises OSError and GatewayError."""
        times = await self._known(made, tag, span) if blocks else set()
        fresh = [new for block in blocks if len(new := _new(block, times, span))]
        count = sum(map(len, fresh))
        told = sum(map(len, blocks))
        made.killed = made.killed and (count < told or not told)
        if fresh:
            made.doubtful = True
            for block in fresh:
                self._outbox.append(block)
            await self._outbox.written_out(WRITTEN_WITHIN)
            if self._outbox.not_kept or self._outbox.late() >= WRITTEN_WITHIN:
                raise GatewayError(f"nothing is kept now: {self._outbox.not_kept or 'the disk is too slow'}")
            made.doubtful = False
        made.covered.spans[key].add(
            *span
        )  # without a pause since it was kept: a cancellation comes before, or after both
        if asyncio.get_running_loop().time() > made.saved_at + SAVED_EVERY:
            await self._save(made, begun=True)
        made.status = replace(
            made.status,
            readings=made.status.readings + count,
            known=made.status.known + told - count,
            bad=made.status.bad + sum(int(is_bad(block.quality).sum()) for block in fresh),
        )
        return told

    async def _save(self, made: DeviceImport, *, begun: bool) -> None:
        made.covered.begun = begun
        made.saved_at = asyncio.get_running_loop().time()
        await asyncio.to_thread(made.covered.save)

    async def _known(self, made: DeviceImport, tag: Tag, span: tuple[int, int]) -> set[int]:
        """The source times that the log holds of the tag in this span: the gateway has read these itself, or was killed
        before it was noted that they were imported."""
        for _ in range(TRIES):
            with suppress(GatewayError):  # others look at the log
                found = await self._outbox.kept.series(
                    made.device, [tag.name], *span, points=MOST_KNOWN, everywhere=made.killed
                )
                t_ns, _ = found[tag.name].done()
                return set(t_ns.tolist())
            await asyncio.sleep(1.0)
        raise GatewayError("the log is asked by too many, or is too slow, to know what it has already")


def _new(block: Readings, known: set[int], span: tuple[int, int]) -> Readings:
    """The readings of the span whose time is not known, each time once, marked historical; `known` learns them."""
    rows = []
    for row, t_ns in enumerate(block.t_ns.tolist()):
        if span[0] <= t_ns < span[1] and t_ns not in known:
            known.add(t_ns)
            rows.append(row)
    new = block.take(np.array(rows, np.intp))
    return replace(new, quality=new.quality | np.uint32(HISTORICAL), own_time=False)
