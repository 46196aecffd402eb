"""An alarm when a tag jumps: further than so much from one reading to the next; cleared after so many calm readings."""

from pydantic import Field

from gateway.plugin import Watch, WatchConfig


class JumpConfig(WatchConfig):
    """Options of an [[alarm]] with plugin = "jump"."""

    tag: str
    """The tag that is watched."""

    by: float = Field(gt=0)
    """How far is a jump."""

    calm: int = 3
    """Readings without one that clear it."""


class Jump(Watch[JumpConfig]):
    """Compares each reading with the one before."""

    def __init__(self, config, host):
        super().__init__(config, host)
        self.ids, self.last, self.calm, self.looks = {}, {}, {}, 0

    def bind(self, device):
        self.ids[device.name] = next((tag.id for tag in device.tags if tag.name == self.config.tag), None)

    def seen(self, readings, boot_ns):
        name = readings.device.name
        for row in (readings.tag == self.ids[name]).nonzero()[0]:
            value, t_ns = float(readings.value[row]), int(readings.t_ns[row])
            before = self.last.get(name, value)
            self.last[name] = value
            jumps = abs(value - before) > self.config.by
            self.calm[name] = 0 if jumps else self.calm.get(name, 0) + 1
            if jumps:
                self.host.raised(name, f"{name} jumped from {before:g} to {value:g}", t_ns, to=value)
            elif self.calm[name] == self.config.calm:
                self.host.cleared(name, f"{name} is calm again", t_ns)

    def look(self, boot_ns):
        self.looks += 1

    def facts(self):
        return {"looks": self.looks, "last": self.last}
