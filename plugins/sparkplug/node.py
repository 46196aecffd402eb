"""An edge node within one session with a broker: its messages, with the numbers that tie them together. No I/O.

Sparkplug 3.0: one counter (seq) runs over all messages of a session but the death, and a birth of the node sets it to 0; the
number of the session (bdSeq) stands in the birth and in the death that the broker has as its will."""

from dataclasses import dataclass, field

from gateway.plugin import Kind, Message, quality

from .device_metrics import DeviceMetrics
from .payload import NAMESPACE, Births, DataType, Metric, Sample, payload, statement
from .stored import Aliases
from .templates import Templates

REBIRTH = "Node Control/Rebirth"
BDSEQ = "bdSeq"
COMMAND = "Gateway/Command"
TEMPLATE = "template "
"""Before the name of one, where aliases are kept."""
STATEMENTS = {
    Kind.EVENT: "Gateway/Event",
    Kind.LOSS: "Gateway/Loss",
    Kind.RECEIPT: "Gateway/Receipt",
    Kind.SKIP: "Gateway/Skip",
}
"""Metrics of the node whose values are the records that hold no readings, as JSON (docs/json.md)."""
_MEANING = {
    "Gateway/Event": "an anomaly, an alarm, or a change of state, as JSON",
    "Gateway/Loss": "readings that were lost, and why, as JSON",
    "Gateway/Receipt": "what was accepted of a device in an hour, with its hash, as JSON",
    "Gateway/Skip": "numbers that no record has, as JSON",
    COMMAND: "what came of the last command (NCMD, DCMD), as JSON",
}


@dataclass(frozen=True, slots=True)
class Topics:
    """Of one node: `spBv1.0/group/verb/node[/device]`."""

    group: str
    node: str

    def of_node(self, verb: str) -> str:
        """Topic of a message of the node."""
        return f"{NAMESPACE}/{self.group}/{verb}/{self.node}"

    def of_device(self, verb: str, device: str) -> str:
        """Topic of a message of one of its devices."""
        return f"{NAMESPACE}/{self.group}/{verb}/{self.node}/{device}"

    def command(self, topic: str) -> str | None:
        """Whom a command is for: a device, or the node (empty); None for a topic of others."""
        if topic == self.of_node("NCMD"):
            return ""
        start = self.of_device("DCMD", "")
        return topic[len(start) :] if topic.startswith(start) else None


@dataclass(slots=True)
class Node:
    """One session. Messages are to be sent in the order in which they were made."""

    topics: Topics
    bdseq: int
    aliases: Aliases
    version: str
    templates: Templates
    uint32_as_long: bool = False
    born: bool = False
    devices: dict[str, DeviceMetrics] = field(default_factory=dict)
    """All that were seen in this session, by name."""
    _seq: int = 0
    _newest: dict[str, int] = field(default_factory=dict)
    """Of the node's own metrics: time of the present value, ms since 1970."""

    def __post_init__(self) -> None:
        for name in (
            "Gateway/Version",
            *STATEMENTS.values(),
            COMMAND,
            *(TEMPLATE + each for each in self.templates.patterns),
        ):
            self._alias(name)

    def death(self, now_ms: int) -> Message:
        """What the broker says when it has lost the node, and the node itself when it leaves."""
        births = Births()
        births.add(Metric(BDSEQ, None, DataType.INT64), Sample(now_ms, self.bdseq), with_quality=False)
        return Message(self.topics.of_node("NDEATH"), payload(now_ms, births.encoded(), None))

    def birth(self, now_ms: int) -> Message:
        """The node's own birth, which a birth of each device that is alive must follow before any data."""
        births = Births()
        births.add(Metric(BDSEQ, None, DataType.INT64), Sample(now_ms, self.bdseq), with_quality=False)
        births.add(Metric(REBIRTH, None, DataType.BOOLEAN), Sample(now_ms, False), with_quality=False)
        version = Metric("Gateway/Version", self._alias("Gateway/Version"), DataType.STRING)
        births.add(version, Sample(now_ms, self.version))
        for name in (*STATEMENTS.values(), COMMAND):
            metric = Metric(
                name, self._alias(name), DataType.STRING, [("documentation", DataType.STRING, _MEANING[name])]
            )
            births.add(metric, Sample(now_ms, None, quality.BAD_DATA_UNAVAILABLE))
        for name, members in self.templates.members.items():
            births.add_definition(Metric(name, self._alias(f"{TEMPLATE}{name}"), DataType.TEMPLATE), members, now_ms)
        self._newest.clear()
        self._seq = 0
        self.born = True
        for device in self.devices.values():
            device.alive = False
        return Message(self.topics.of_node("NBIRTH"), payload(now_ms, births.encoded(), self._next()))

    def _alias(self, metric: str) -> int:
        return self.aliases.of("", metric)

    def device(self, name: str) -> DeviceMetrics:
        """The metrics of a device of this name."""
        known = self.devices.get(name)
        if known is None:
            known = self.devices[name] = DeviceMetrics(name, self.aliases, uint32_as_long=self.uint32_as_long)
        return known

    def device_message(self, verb: str, device: str, now_ms: int, metrics: bytes = b"") -> Message:
        """DBIRTH, DDATA or DDEATH."""
        return Message(self.topics.of_device(verb, device), payload(now_ms, metrics, self._next()))

    def statement(self, name: str, ms: int, text: str, now_ms: int) -> Message:
        """NDATA: a value of one of the node's own metrics, in words; `ms`: of when it is."""
        late = ms < self._newest.get(name, 0)
        self._newest[name] = max(ms, self._newest.get(name, 0))
        metric = Metric(name, self._alias(name), DataType.STRING)
        metrics = statement(metric, Sample(ms, text, late=late))
        return Message(self.topics.of_node("NDATA"), payload(now_ms, metrics, self._next()))

    def _next(self) -> int:
        seq, self._seq = self._seq, (self._seq + 1) % 256
        return seq
