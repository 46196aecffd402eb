"""What a sink may ask of the gateway."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.config.model import GatewaySection, own_place
from gateway.config.payload import JsonForm
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.record import Record
from gateway.core.selection import EVERYTHING, Selection
from gateway.core.tag import Device
from gateway.core.text import cleaned
from gateway.outbox.format import file_name
from gateway.publish.encoder import JsonEncoder
from gateway.publish.forms import SharedObjects
from gateway.supervise import contained

ASKED_AT_ONCE = 16
"""Requests of one far side that may be under way."""
_TURN = 500
"""Rows of a long answer, after which others have their turn."""

Request = Callable[[str, str, Mapping[str, Any]], Awaitable[Any]]
"""Called with the sink's name, a command and its arguments."""


async def _not_here(sink: str, command: str, arguments: Mapping[str, Any]) -> Any:
    raise GatewayError("no gateway is running here")


async def _untold(sink: str, command: str, why_not: str) -> None:
    """There is no audit trail here."""


@dataclass(frozen=True, slots=True)
class SinkSurroundings:
    """What all sinks of a gateway have to do with."""

    gateway: GatewaySection
    version: str
    clock: Clock
    live: LiveTable
    devices: Callable[[], Sequence[Device]] = tuple
    device_state: Callable[[str], tuple[bool, str]] = lambda device: (False, "")
    request: Request = _not_here
    attempted: Callable[[str, str, str], Awaitable[None]] = _untold
    """Called with the sink's name, the command and why it was refused."""
    trouble: Callable[[], str] = lambda: ""
    """Of the gateway itself, for its state."""
    shared: SharedObjects = field(default_factory=SharedObjects)
    """What sinks share that send the same."""
    selection: Selection = EVERYTHING
    """What one sink is meant to get; `devices` has no others."""
    memory: dict[str, Any] = field(default_factory=dict)
    """Of one sink, over its connections."""
    directory: Path | None = None
    """Where each sink has a folder of its own."""


class Answered(Protocol):
    """Who hears how records fared; called in the event loop."""

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has taken these for good."""
        ...

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side took this one not."""
        ...


class Host:
    """Implements `gateway.plugin.hosts.SinkHost` for one connection."""

    def __init__(self, sink: str, around: SinkSurroundings, answered: Answered) -> None:
        """`sink`: its name."""
        self.gateway = around.gateway.name
        self.version = around.version
        self.context = own_place(around.gateway)
        self.memory = around.memory
        self._sink = sink
        self._answered = answered
        self._around = around
        self._under_way = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def state_dir(self) -> Path:
        """A folder of the sink's own."""
        if self._around.directory is None:
            raise GatewayError("no gateway is running here, so nothing is kept")
        path = self._around.directory / file_name(self._sink)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def acknowledged(self, records: Iterable[Record]) -> None:
        """The far side has taken these for good. From a thread of the sink's own it is heard a moment later."""
        if threading.get_ident() == self._thread:
            self._answered.acknowledged(records)
        else:
            self._loop.call_soon_threadsafe(self._answered.acknowledged, list(records))

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """The far side took this one not; likewise."""
        if threading.get_ident() == self._thread:
            self._answered.refused(record, cleaned(reason), bool(final))
        else:
            self._loop.call_soon_threadsafe(self._answered.refused, record, cleaned(reason), bool(final))

    async def request(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command for the far side."""
        if self._under_way >= ASKED_AT_ONCE:
            raise GatewayError(f"{ASKED_AT_ONCE} requests of sink {self._sink} are under way: wait for their answers")
        self._under_way += 1
        try:
            answer = await contained(self._around.request(self._sink, command, arguments or {}))
            return await _listed(answer) if isinstance(answer, Iterator) else answer
        except GatewayError:
            raise
        except Exception as error:
            structlog.get_logger().error("a command failed", sink=self._sink, command=cleaned(command), exc_info=error)
            raise GatewayError(f"{type(error).__name__}: a bug; the traceback is in the gateway's log") from error
        finally:
            self._under_way -= 1

    async def attempted(self, command: str, why_not: str = "") -> None:
        """Have in the audit trail what the far side asked of the sink itself."""
        await self._around.attempted(self._sink, command, why_not)

    def encoder(self, topic: str, per_tag: bool, form: JsonForm | None = None) -> JsonEncoder:
        """The shared JSON encoding. Raises ValueError for a wrong topic template."""
        return JsonEncoder(topic, per_tag, self._around, form)

    def devices(self) -> Sequence[Device]:
        """All devices as they are now."""
        return self._around.devices()

    def device_state(self, device: str) -> tuple[bool, str]:
        """Whether a device is being read, and the reason if not."""
        return self._around.device_state(device)

    def snapshot(self, device: str) -> Readings:
        """The device's live values, as far as they are meant for this sink. Raises KeyError for a device that is not
        there."""
        return self._around.selection.readings(self._around.live[device].snapshot())


async def _listed(rows: Iterator[Any]) -> list[Any]:
    listed = []
    for row in rows:
        listed.append(row)
        if not len(listed) % _TURN:
            await asyncio.sleep(0)
    return listed
