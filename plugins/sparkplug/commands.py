"""What hosts ask of the node (NCMD) and of its devices (DCMD): a rebirth, or values to be written."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from gateway.plugin import GatewayError, SinkHost, cleaned

from .device_metrics import DeviceMetrics
from .node import REBIRTH, Node
from .payload import parsed, value_of

AT_ONCE = 16
"""Writes under way."""
MOST_MEMBERS = 1000
"""Of a template that are looked at."""
ANSWERS_A_SECOND = 10
NOTED_EVERY = 1.0
"""Seconds between two entries in the audit trail for what is asked and refused here, of each kind; what goes to the guard of
writes is noted by that."""
LOGGED = 100
"""Different reasons that are logged, over one session."""
FAREWELL = 2.0
"""Seconds that writes under way get at the end."""
REASON = "a Sparkplug host asks for it (DCMD)"


class Commands:
    """Of one session. What is asked is counted, done or refused; each write is answered by the metric Gateway/Command."""

    def __init__(
        self,
        host: SinkHost,
        node: Node,
        log: structlog.stdlib.BoundLogger,
        rebirth: Callable[[], None],
        answer: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._host = host
        self._node = node
        self._log = log
        self._rebirth = rebirth
        self._answer = answer
        self._writes: set[asyncio.Task[None]] = set()
        self._logged: set[str] = set()
        self._noted: dict[str, float] = {}
        self._second = 0
        self._answers = 0
        self.rebirths = self.written = self.refused = 0
        """How many were asked for, done, and not done."""

    def take(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message came on a topic of commands."""
        device = self._node.topics.command(topic)
        if device is None:
            return
        if retained:
            self._refuse(device, "", "it is retained, so it may be as old as the broker: commands must not be")
            return
        try:
            metrics = parsed(payload).metrics
        except ValueError as error:
            self._refuse(device, "", str(error))
            return
        for metric in metrics:
            if device:
                self._ask_device(device, metric)
            else:
                self._ask_node(metric)

    def _ask_node(self, metric: Any) -> None:
        if metric.name != REBIRTH:
            self._refuse("", _name(metric), f"of the node, only {REBIRTH} can be written")
        elif metric.WhichOneof("value") != "boolean_value" or not metric.boolean_value:
            self._refuse("", REBIRTH, "only the value true means something")
        else:
            self.rebirths += 1
            self._note("rebirth", "")
            self._rebirth()

    def _ask_device(self, device: str, metric: Any) -> None:
        known: DeviceMetrics | None = self._node.devices.get(device)
        if known is None:
            self._refuse(device, _name(metric), "there is no such device")
            return
        for member in known.members(metric)[:MOST_MEMBERS]:
            self._ask_metric(known, member)

    def _ask_metric(self, known: DeviceMetrics, metric: Any) -> None:
        device, found = known.name, known.tag_of(metric)
        if found is None:
            self._refuse(device, _name(metric), "there is no such metric")
            return
        ours, tag = found
        if tag.config is None or not tag.config.write:
            self._refuse(device, tag.name, f"{tag} may not be written: only a tag with write = true may")
            return
        try:
            value = value_of(metric, ours.datatype)
        except ValueError as error:
            self._refuse(device, tag.name, str(error))
            return
        if len(self._writes) >= AT_ONCE:
            self._refuse(device, tag.name, f"{AT_ONCE} writes are under way: wait for their answers", value)
            return
        self._begin(self._write(device, tag.name, value))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a command failed: a bug", exc_info=error)

    def _note(self, command: str, why_not: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._noted.get(command, -NOTED_EVERY) >= NOTED_EVERY:
            self._noted[command] = now
            self._begin(self._host.attempted(command, why_not))

    async def _write(self, device: str, tag: str, value: Any) -> None:
        try:
            done = await self._host.request("write", {"device": device, "tag": tag, "value": value, "reason": REASON})
        except GatewayError as error:
            self._refuse(device, tag, str(error), value, noted=True)
            return
        self.written += 1
        result = done.get("result", "") if isinstance(done, Mapping) else ""
        self._tell({"device": device, "tag": tag, "value": value, "done": True, "result": result})

    def _refuse(self, device: str, name: str, why: str, value: Any = None, *, noted: bool = False) -> None:
        self.refused += 1
        reason = cleaned(why)
        if not noted:
            self._note("write" if device else "rebirth", reason)
        if reason not in self._logged and len(self._logged) < LOGGED:
            self._logged.add(reason)
            self._log.warning("a command was not done", device=cleaned(device), metric=cleaned(name), reason=reason)
        said = {"device": cleaned(device), "tag": cleaned(name), "done": False, "reason": reason}
        self._tell(said if value is None else {**said, "value": value})

    def _tell(self, said: Mapping[str, Any]) -> None:
        """Answer, but no flood of commands with a flood of answers; all are counted."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._answers = second, 0
        self._answers += 1
        if self._answers <= ANSWERS_A_SECOND:
            self._answer(said)

    async def end(self) -> None:
        """Let the writes under way come to their end."""
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=FAREWELL)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _name(metric: Any) -> str:
    return f"alias {metric.alias}" if metric.HasField("alias") and not metric.name else cleaned(metric.name)
