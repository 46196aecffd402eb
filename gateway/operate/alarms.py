"""What people do with alarms, by the control socket; each step is audited."""

from gateway.acquire.acquirer import Acquirer
from gateway.alarms import Alarm, Origin
from gateway.core.command import Actor, Body
from gateway.detect import Detection
from gateway.operate.audit_log import AuditLog
from gateway.status import AlarmStatus


class AlarmCommands:
    """Every answer is the list of alarms as it is then. What cannot be done is refused before it is audited."""

    def __init__(self, detection: Detection, acquirer: Acquirer, audit: AuditLog) -> None:
        self._alarms = detection.alarms
        self._conditions = detection.conditions
        self._acquirer = acquirer
        self._audit = audit

    def commands(self) -> dict[str, Body]:
        """By their names on the socket."""
        return {
            "alarms": self.listed,
            "acknowledge": self.acknowledge,
            "shelve": self.shelve,
            "unshelve": self.unshelve,
        }

    async def listed(self, by: Actor) -> list[AlarmStatus]:
        """All that are raised, unacknowledged or shelved."""
        return self._alarms.listed()

    async def acknowledge(self, by: Actor, alarm: str, comment: str = "") -> list[AlarmStatus]:
        """Somebody has seen it. Raises GatewayError when there is none such."""
        found = self._alarms.find(alarm)
        self._alarms.check_waits(found)
        said = {"target": found.key.name, "event": found.event, "why": comment}
        if found.origin:
            await self._acknowledge_at_device(by, found, found.origin, said)
        else:
            async with self._audit.audited(by, "alarm.acknowledge", **said):
                self._alarms.acknowledge(found, by.name, comment)
        return self._alarms.listed()

    async def _acknowledge_at_device(self, by: Actor, alarm: Alarm, origin: Origin, said: dict[str, str]) -> None:
        comment = said["why"]
        async with self._audit.audited(by, "alarm.acknowledge", **said, condition=origin.condition):
            with self._conditions.acknowledging(alarm, by.name, comment):
                await self._acquirer.acknowledge(alarm.key.device, origin.condition, origin.event, comment)
                await self._conditions.acknowledged(alarm, by.name, comment)

    async def shelve(self, by: Actor, alarm: str, seconds: float, reason: str) -> list[AlarmStatus]:
        """Say nothing of it for a while. Raises GatewayError when there is none such."""
        found = self._alarms.find(alarm)
        self._alarms.check_shelf(seconds)
        said = {"target": found.key.name, "event": found.event, "why": reason, "seconds": seconds}
        async with self._audit.audited(by, "alarm.shelve", **said):
            self._alarms.shelve(found, by.name, seconds, reason)
        return self._alarms.listed()

    async def unshelve(self, by: Actor, alarm: str) -> list[AlarmStatus]:
        """End its shelving. Raises GatewayError when there is none such."""
        found = self._alarms.find(alarm)
        self._alarms.check_shelved(found)
        async with self._audit.audited(by, "alarm.unshelve", target=found.key.name, event=found.event):
            self._alarms.unshelve(found, by.name)
        return self._alarms.listed()
