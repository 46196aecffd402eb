"""The status as metrics for Prometheus (text exposition format 0.0.4): base units, `_total` on what only grows, and a bounded
number of series. A tag's name or value is never a label.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.plugin import GatewayStatus

TYPE = "text/plain; version=0.0.4; charset=utf-8"
MANY = 500
"""Parts of a kind that are told one by one; how many were left out is a metric too."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=_Named)


def render(status: GatewayStatus, refusals: Mapping[str, int]) -> bytes:
    """All metrics as text. Blocking: some milliseconds for hundreds of devices."""
    told = CollectorRegistry(auto_describe=False)
    told.register(_Told([*_families(status), *_refusals(refusals)]))
    ProcessCollector(registry=told)
    return generate_latest(told)


class _Told(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(status: GatewayStatus) -> Iterator[Metric]:
    yield _labelled(
        "build_info", "Version of the gateway; always 1.", ("version", "python"),
        [((status.version, platform.python_version()), 1.0)],
    )  # fmt: skip
    yield _gauge("uptime_seconds", "Time since the gateway was started.", status.uptime_s)
    yield _gauge("config_loaded_timestamp_seconds", "When the configuration was loaded.", status.config.loaded / 1e3)
    yield _gauge(
        "clock_synchronized",
        "1 while a time service keeps the clock right.",
        status.clock.state == "synchronised",
    )
    yield from _devices(status)
    yield from _sinks(status)
    yield from _outbox(status)
    yield from _models(status)
    yield from _alarms(status)
    yield from _trust(status)
    services = _Parts("service", status.services)
    yield services.up("1 while the service works.", "plugin", lambda part: part.plugin, lambda part: part.state)
    kinds = {
        kind: len(parts)
        for kind, parts in (("device", status.devices), ("sink", status.sinks), ("model", status.models))
    }
    yield _labelled(
        "parts_left_out", f"Parts beyond the first {MANY} of a kind, which are not told one by one.", ("kind",),
        [((kind,), max(0, number - MANY)) for kind, number in kinds.items()],
    )  # fmt: skip


def _devices(status: GatewayStatus) -> Iterator[Metric]:
    devices = _Parts("device", status.devices)
    yield devices.up("1 while the device is being read.", "driver", lambda part: part.driver, lambda part: part.state)
    yield devices.gauge("state_age_seconds", "Time in its present state.", lambda part: part.since_s)
    yield devices.gauge("tags", "Tags of the device.", lambda part: part.tags)
    yield devices.gauge("good_tags", "Tags whose last value is good.", lambda part: part.good)
    yield devices.counter("polls", "Answered polls.", lambda part: part.polls)
    yield devices.counter("errors", "Polls that failed.", lambda part: part.errors)
    yield devices.counter(
        "skipped_polls", "Polls left out, since the one before was not answered yet.", lambda part: part.skipped
    )
    yield devices.gauge("clock_offset_seconds", "How far its own clock is ahead.", lambda part: part.clock_offset_s)


def _sinks(status: GatewayStatus) -> Iterator[Metric]:
    sinks = _Parts("sink", status.sinks)
    yield sinks.up("1 while the far side is connected.", "plugin", lambda part: part.plugin, lambda part: part.state)
    yield sinks.gauge("state_age_seconds", "Time in its present state.", lambda part: part.since_s)
    yield sinks.gauge(
        "last_acknowledged_age_seconds", "Time since the far side acknowledged anything.",
        lambda part: part.last_acknowledged_s,
    )  # fmt: skip
    yield sinks.counter(
        "acknowledged_records", "Records that the far side has acknowledged.", lambda part: part.acknowledged_records
    )
    yield sinks.counter(
        "acknowledged_readings", "Readings that the far side has acknowledged.", lambda part: part.acknowledged_readings
    )
    yield sinks.counter(
        "refused_records", "Records that the far side refused for good.", lambda part: part.refused_for_good
    )
    yield sinks.gauge(
        "waiting_after_refusal_records", "Records refused for now.", lambda part: part.waiting_after_refusal
    )
    lanes = [(sink.name, word, lane) for sink in status.sinks[:MANY] for word, lane in sink.outbox.lanes.items()]
    yield _labelled(
        "sink_pending", "Readings (lane data) and events (lane alarm) that wait for the far side.", ("sink", "lane"),
        [((name, word), lane.pending) for name, word, lane in lanes],
    )  # fmt: skip
    dropped = CounterMetricFamily(
        "edge_gateway_sink_dropped", "Readings and events that will not be delivered.", labels=("sink", "lane")
    )
    for name, word, lane in lanes:
        dropped.add_metric((name, word), sum(lane.dropped.values()))
    yield dropped


def _outbox(status: GatewayStatus) -> Iterator[Metric]:
    outbox = status.outbox

    def gauge(name: str, text: str, value: float | None) -> Metric:
        return _gauge(f"outbox_{name}", text, value)

    yield gauge("disk_ok", "1 while the disk takes what is read.", outbox.disk == "ok")
    yield gauge("size_bytes", "Size of the store-and-forward log.", outbox.room.size)
    yield gauge("limit_bytes", "Size at which the oldest data goes.", outbox.room.max_size)
    yield gauge("disk_free_bytes", "Free bytes of its disk.", outbox.room.free)
    yield gauge("disk_free_inodes", "Free inodes of its disk, where it counts them.", outbox.room.inodes)
    yield gauge("disk_reserve_bytes", "Free bytes below which the oldest data goes too.", outbox.room.min_free)
    yield gauge("dead_letters", "Records refused for good, and kept.", outbox.dead.letters)
    yield _counter("outbox_written_bytes", "Bytes written to the disk.", outbox.room.written_bytes)
    yield _counter("outbox_syncs", "Times that the disk was asked to make it last.", outbox.room.syncs)
    yield _counter(
        "outbox_not_accepted_readings", "Readings that were not accepted, and are lost.", outbox.room.not_accepted
    )
    yield _labelled_counter(
        "outbox_accepted", "Readings (lane data) and events (lane alarm) accepted.", ("lane",),
        [((word,), lane.accepted) for word, lane in outbox.lanes.items()],
    )  # fmt: skip


def _models(status: GatewayStatus) -> Iterator[Metric]:
    models = _Parts("model", status.models)
    yield models.gauge("up", "1 while the model scores.", lambda part: part.state == "up")
    yield models.gauge(
        "score_seconds", "Time that it takes to score a window.",
        lambda part: None if part.scoring is None else part.scoring.score_ms / 1e3,
    )  # fmt: skip
    yield models.counter(
        "late_windows", "Windows scored late.", lambda part: None if part.scoring is None else part.scoring.late
    )
    yield models.counter(
        "skipped_windows", "Windows not scored, for want of time.",
        lambda part: None if part.scoring is None else part.scoring.skipped,
    )  # fmt: skip


def _alarms(status: GatewayStatus) -> Iterator[Metric]:
    alarms = status.alarms
    states = dict.fromkeys(("raised", "latched", "cleared", "acknowledged"), 0)
    for alarm in alarms:
        states[alarm.state] = states.get(alarm.state, 0) + 1
    yield _labelled("alarms", "Alarms in each state.", ("state",), [((state,), n) for state, n in states.items()])
    yield _gauge("alarms_shelved", "Alarms that somebody has shelved.", sum(bool(alarm.shelved) for alarm in alarms))


def _trust(status: GatewayStatus) -> Iterator[Metric]:
    audit = status.audit
    yield _gauge("audit_ok", "1 while the audit trail takes records.", not audit.failing)
    yield _gauge("audit_damaged", "1 when the audit trail was found damaged.", bool(audit.damage))
    ends = {(each.where, each.name): each.left_s for each in status.certificates[:MANY]}
    yield _labelled(
        "certificate_expires_in_seconds",
        "Until a certificate or revocation list ends.",
        ("where", "name"),
        ends.items(),
    )
    yield _gauge("parked_parts", "Parts left out, since their plugin does not load.", len(status.parked))
    yield _gauge("stalls", "Calls that have blocked everything lately.", sum(s.recent for s in status.stalls))


def _refusals(counts: Mapping[str, int]) -> Iterator[Metric]:
    yield _labelled_counter(
        "web_refused", "Requests and connections that were not served.", ("why",),
        [((why,), number) for why, number in sorted(counts.items())],
    )  # fmt: skip


# Families.


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return _labelled(name, text, (), [((), value)])


def _counter(name: str, text: str, value: float) -> Metric:
    return _labelled_counter(name, text, (), [((), value)])


def _labelled(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, float | None]]) -> Metric:
    family = GaugeMetricFamily(f"edge_gateway_{name}", text, labels=labels)
    for values, value in rows:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def _labelled_counter(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, float]]) -> Metric:
    family = CounterMetricFamily(f"edge_gateway_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


class _Parts(Generic[P]):
    """The parts of a kind, each a series."""

    def __init__(self, kind: str, parts: Sequence[P]) -> None:
        self._kind = kind
        self._parts = parts[:MANY]

    def up(self, text: str, label: str, of: Callable[[P], str], state: Callable[[P], str]) -> Metric:
        """1 for each that is up, with one label more."""
        rows = [((part.name, of(part)), state(part) == "up") for part in self._parts]
        return _labelled(f"{self._kind}_up", text, (self._kind, label), rows)

    def gauge(self, name: str, text: str, read: Callable[[P], float | None]) -> Metric:
        """What may rise and fall."""
        rows = [((part.name,), read(part)) for part in self._parts]
        return _labelled(f"{self._kind}_{name}", text, (self._kind,), rows)

    def counter(self, name: str, text: str, read: Callable[[P], float | None]) -> Metric:
        """What only grows."""
        rows = [((part.name,), value) for part in self._parts if (value := read(part)) is not None]
        return _labelled_counter(f"{self._kind}_{name}", text, (self._kind,), rows)
