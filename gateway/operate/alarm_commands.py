"""What people do with alarms, by the control socket; each step is audited."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from gateway.core.errors import GatewayError
from gateway.detect import Detection
from gateway.detect.alarm import Alarm, Origin
from gateway.operate.notes import Notes


class Devices(Protocol):
    """What carries an acknowledgement to a device."""

    async def acknowledge(self, device: str, condition: str, event: str, comment: str) -> None: ...


class AlarmCommands:
    """Every answer is the list of alarms as it is then."""

    def __init__(self, detection: Detection, devices: Devices, notes: Notes) -> None:
        self._alarms = detection.alarms
        self._conditions = detection.conditions
        self._devices = devices
        self._notes = notes

    def commands(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """By their names on the socket."""
        return {
            "alarms": self.listed,
            "acknowledge": self.acknowledge,
            "shelve": self.shelve,
            "unshelve": self.unshelve,
        }

    async def listed(self, who: str) -> list[dict[str, Any]]:
        """All that are raised, unacknowledged or shelved."""
        return self._alarms.listed()

    async def acknowledge(self, who: str, alarm: str, comment: str = "") -> list[dict[str, Any]]:
        """Somebody has seen it. Raises GatewayError when there is none such, also the next two."""
        found = self._alarms.find(alarm)
        if found.origin:
            await self._acknowledge_at_device(who, found, found.origin, comment)
        else:
            self._alarms.check_waits(found)
            await self._told("alarm.acknowledge", who, found, why=comment)
            self._alarms.acknowledge(found, who, comment)
        return self._alarms.listed()

    async def _acknowledge_at_device(self, who: str, alarm: Alarm, origin: Origin, comment: str) -> None:
        """In the audit trail before it is sent; where the trail cannot be written, nothing is."""
        self._alarms.check_waits(alarm)
        said = {"target": alarm.key.name, "event": alarm.event, "why": comment}
        await self._notes.noted("alarm.acknowledge", who, **said, condition=origin.condition)
        try:
            with self._conditions.acknowledging(alarm, who, comment):
                await self._devices.acknowledge(alarm.key.device, origin.condition, origin.event, comment)
                await self._conditions.acknowledged(alarm, who, comment)
        except GatewayError as error:
            await self._notes.told("alarm.acknowledge.result", who, **said, result=f"failed: {error}")
            raise
        await self._notes.told("alarm.acknowledge.result", who, **said, result="done")

    async def shelve(self, who: str, alarm: str, seconds: float, reason: str) -> list[dict[str, Any]]:
        """Say nothing of it for a while."""
        found = self._alarms.find(alarm)
        await self._told("alarm.shelve", who, found, why=reason, seconds=seconds)
        self._alarms.shelve(found, who, seconds, reason)
        return self._alarms.listed()

    async def unshelve(self, who: str, alarm: str) -> list[dict[str, Any]]:
        """End its shelving."""
        found = self._alarms.find(alarm)
        await self._told("alarm.unshelve", who, found)
        self._alarms.unshelve(found, who)
        return self._alarms.listed()

    async def _told(self, action: str, who: str, alarm: Alarm, **fields: Any) -> None:
        await self._notes.told(action, who, target=alarm.key.name, event=alarm.event, **fields)
