"""The status as metrics for Prometheus (text exposition format 0.0.4): base units, `_total` on what only grows, and a bounded
number of series. A tag's name or value is never a label.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

TYPE = "text/plain; version=0.0.4; charset=utf-8"
MANY = 500
"""Parts of a kind that are told one by one; how many were left out is a metric too."""

Part = Mapping[str, Any]
Read = Callable[[Part], float | None]


def render(status: Part, refusals: Mapping[str, int]) -> bytes:
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


def _families(status: Part) -> Iterator[Metric]:
    yield _labelled(
        "build_info", "Version of the gateway; always 1.", ("version", "python"),
        [((status["version"], platform.python_version()), 1.0)],
    )  # fmt: skip
    yield _gauge("uptime_seconds", "Time since the gateway was started.", status["uptime_s"])
    yield _gauge(
        "config_loaded_timestamp_seconds", "When the configuration was loaded.", status["config"]["loaded"] / 1e3
    )
    yield _gauge(
        "clock_synchronized",
        "1 while a time service keeps the clock right.",
        status["clock"]["state"] == "synchronised",
    )
    yield from _devices(status["devices"])
    yield from _sinks(status["sinks"])
    yield from _outbox(status["outbox"])
    yield from _models(status["models"])
    yield from _alarms(status["alarms"])
    yield from _trust(status)
    yield _gauge_of(
        "service_up", "1 while the service works.", ("service", "plugin"), status.get("services", ()),
        lambda part: part["state"] == "up", lambda part: (part["name"], part["plugin"]),
    )  # fmt: skip
    kinds = {kind: len(status[f"{kind}s"]) for kind in ("device", "sink", "model")}
    yield _labelled(
        "parts_left_out", f"Parts beyond the first {MANY} of a kind, which are not told one by one.", ("kind",),
        [((kind,), max(0, number - MANY)) for kind, number in kinds.items()],
    )  # fmt: skip


def _devices(devices: Iterable[Part]) -> Iterator[Metric]:
    devices = list(devices)

    def gauge(name: str, text: str, read: Read) -> Metric:
        return _gauge_of(f"device_{name}", text, ("device",), devices, read)

    def counter(name: str, text: str, key: str) -> Metric:
        return _counter_of(f"device_{name}", text, ("device",), devices, lambda part: part[key])

    yield _gauge_of(
        "device_up", "1 while the device is being read.", ("device", "driver"), devices,
        lambda part: part["state"] == "up", lambda part: (part["name"], part["driver"]),
    )  # fmt: skip
    yield gauge("state_age_seconds", "Time in its present state.", lambda part: part["since_s"])
    yield gauge("tags", "Tags of the device.", lambda part: part["tags"])
    yield gauge("good_tags", "Tags whose last value is good.", lambda part: part["good"])
    yield counter("polls", "Answered polls.", "polls")
    yield counter("errors", "Polls that failed.", "errors")
    yield counter("skipped_polls", "Polls left out, since the one before was not answered yet.", "skipped")
    yield gauge("clock_offset_seconds", "How far its own clock is ahead.", lambda part: part.get("clock_offset_s"))


def _sinks(sinks: Iterable[Part]) -> Iterator[Metric]:
    sinks = list(sinks)

    def gauge(name: str, text: str, read: Read) -> Metric:
        return _gauge_of(f"sink_{name}", text, ("sink",), sinks, read)

    def counter(name: str, text: str, key: str) -> Metric:
        return _counter_of(f"sink_{name}", text, ("sink",), sinks, lambda part: part[key])

    yield _gauge_of(
        "sink_up", "1 while the far side is connected.", ("sink", "plugin"), sinks,
        lambda part: part["state"] == "up", lambda part: (part["name"], part["plugin"]),
    )  # fmt: skip
    yield gauge("state_age_seconds", "Time in its present state.", lambda part: part["since_s"])
    yield gauge(
        "last_acknowledged_age_seconds", "Time since the far side acknowledged anything.",
        lambda part: part["last_acknowledged_s"],
    )  # fmt: skip
    yield counter("acknowledged_records", "Records that the far side has acknowledged.", "acknowledged_records")
    yield counter("acknowledged_readings", "Readings that the far side has acknowledged.", "acknowledged_readings")
    yield counter("refused_records", "Records that the far side refused for good.", "refused_for_good")
    yield gauge("waiting_after_refusal_records", "Records refused for now.", lambda part: part["waiting_after_refusal"])
    lanes = [(sink["name"], word, lane) for sink in sinks[:MANY] for word, lane in sink["outbox"]["lanes"].items()]
    yield _labelled(
        "sink_pending", "Readings (lane data) and events (lane alarm) that wait for the far side.", ("sink", "lane"),
        [((name, word), lane["pending"]) for name, word, lane in lanes],
    )  # fmt: skip
    dropped = CounterMetricFamily(
        "edge_gateway_sink_dropped", "Readings and events that will not be delivered.", labels=("sink", "lane")
    )
    for name, word, lane in lanes:
        dropped.add_metric((name, word), sum(lane["dropped"].values()))
    yield dropped


def _outbox(outbox: Part) -> Iterator[Metric]:
    def gauge(name: str, text: str, value: float | None) -> Metric:
        return _gauge(f"outbox_{name}", text, value)

    yield gauge("disk_ok", "1 while the disk takes what is read.", outbox["disk"] == "ok")
    yield gauge("size_bytes", "Size of the store-and-forward log.", outbox["size"])
    yield gauge("limit_bytes", "Size at which the oldest data goes.", outbox["max_size"])
    yield gauge("disk_free_bytes", "Free bytes of its disk.", outbox["free"])
    yield gauge("disk_free_inodes", "Free inodes of its disk, where it counts them.", outbox.get("inodes"))
    yield gauge("disk_reserve_bytes", "Free bytes below which the oldest data goes too.", outbox.get("min_free"))
    yield gauge("dead_letters", "Records refused for good, and kept.", outbox["dead"]["letters"])
    yield _counter("outbox_written_bytes", "Bytes written to the disk.", outbox["written_bytes"])
    yield _counter("outbox_syncs", "Times that the disk was asked to make it last.", outbox["syncs"])
    yield _counter(
        "outbox_not_accepted_readings", "Readings that were not accepted, and are lost.", outbox["not_accepted"]
    )
    yield _labelled_counter(
        "outbox_accepted", "Readings (lane data) and events (lane alarm) accepted.", ("lane",),
        [((word,), lane["accepted"]) for word, lane in outbox["lanes"].items()],
    )  # fmt: skip


def _models(models: Iterable[Part]) -> Iterator[Metric]:
    models = list(models)
    yield _gauge_of("model_up", "1 while the model scores.", ("model",), models, lambda part: part["state"] == "up")
    yield _gauge_of(
        "model_score_seconds", "Time that it takes to score a window.", ("model",), models,
        lambda part: None if part.get("score_ms") is None else part["score_ms"] / 1e3,
    )  # fmt: skip
    yield _counter_of("model_late_windows", "Windows scored late.", ("model",), models, lambda part: part.get("late"))
    yield _counter_of(
        "model_skipped_windows",
        "Windows not scored, for want of time.",
        ("model",),
        models,
        lambda part: part.get("skipped"),
    )


def _alarms(alarms: Iterable[Part]) -> Iterator[Metric]:
    alarms = list(alarms)
    states = dict.fromkeys(("raised", "latched", "cleared", "acknowledged"), 0)
    for alarm in alarms:
        states[alarm["state"]] = states.get(alarm["state"], 0) + 1
    yield _labelled("alarms", "Alarms in each state.", ("state",), [((state,), n) for state, n in states.items()])
    yield _gauge("alarms_shelved", "Alarms that somebody has shelved.", sum(bool(alarm["shelved"]) for alarm in alarms))


def _trust(status: Part) -> Iterator[Metric]:
    audit = status.get("audit", {})
    yield _gauge("audit_ok", "1 while the audit trail takes records.", not audit.get("failing"))
    yield _gauge("audit_damaged", "1 when the audit trail was found damaged.", bool(audit.get("damage")))
    yield _gauge("parked_parts", "Parts left out, since their plugin does not load.", len(status.get("parked", ())))
    yield _gauge(
        "stalls", "Calls that have blocked everything lately.", sum(s["recent"] for s in status.get("stalls", ()))
    )


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


def _name(part: Part) -> tuple[str, ...]:
    return (part["name"],)


def _gauge_of(
    name: str, text: str, labels: tuple[str, ...], parts: Iterable[Part], read: Read,
    names: Callable[[Part], tuple[str, ...]] = _name,
) -> Metric:  # fmt: skip
    return _labelled(name, text, labels, [(names(part), read(part)) for part in list(parts)[:MANY]])


def _counter_of(name: str, text: str, labels: tuple[str, ...], parts: Iterable[Part], read: Read) -> Metric:
    rows = [(_name(part), value) for part in list(parts)[:MANY] if (value := read(part)) is not None]
    return _labelled_counter(name, text, labels, rows)
