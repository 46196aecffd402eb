"""What messages of gateways say: which tag had which value, and when."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.core.parsing import doubting, parse_json

Value = float | bool | str


class HeardValue(NamedTuple):
    """One value of one tag."""

    name: str
    """`device/tag`."""
    ms: float | None
    """Source time, ms since 1970; None where the message tells none."""
    value: Value


Layout = Callable[[Any, Mapping[str, str]], Iterator[HeardValue]]
"""Reads the parsed message; by the names that the topic gave."""

_NAMES = re.compile(r"\{(device|tag)\}")
_VALUES, _TIMES = ("value", "v", "val"), ("ts", "t", "timestamp", "time")


class Topic:
    """Where messages are looked for: an MQTT filter in which `{device}` and `{tag}` may stand for a level."""

    def __init__(self, template: str) -> None:
        self.filter = _NAMES.sub("+", template)
        parts = re.split(r"(\{device\}|\{tag\}|[+#])", template)
        known = {"{device}": r"(?P<device>[^/]+)", "{tag}": r"(?P<tag>[^/]+)", "+": "[^/]*", "#": ".*"}
        self._pattern = re.compile("".join(known.get(part, re.escape(part)) for part in parts))

    def names(self, topic: str) -> Mapping[str, str] | None:
        """What the topic names; None where it is none of these. `parent/#` holds `parent` too."""
        found = self._pattern.fullmatch(topic) or self._pattern.fullmatch(f"{topic}/")
        return None if found is None else {"topic": topic, **found.groupdict()}


def samples(layout: Layout, payload: bytes, names: Mapping[str, str]) -> list[HeardValue]:
    """What a message says. Raises ValueError for one that is not of this layout."""
    with doubting(ValueError):
        return list(layout(parse_json(payload), names))


def _ours(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """docs/json.md. Descriptions, events and states are no readings."""
    device = names.get("device") or names["topic"].rpartition("/")[2]
    times = body.get("t", {})
    for tag, value in body.get("values", {}).items():
        yield from _sample(device, tag, value, times.get(tag, body["ts"]))


def _telegraf(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """Telegraf's JSON format, one metric a message or several."""
    for metric in body.get("metrics", [body]):
        tags = metric.get("tags", {})
        device = names.get("device") or tags.get("name") or tags.get("device") or metric["name"]
        for tag, value in metric["fields"].items():
            yield from _sample(device, tag, value, metric.get("timestamp"))


def _thingsboard(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """Telemetry of ThingsBoard's gateway API: device → entries with a time and values."""
    for device, entries in body.items():
        for entry in entries:
            for tag, value in entry.get("values", entry).items():
                yield from _sample(device, tag, value, entry.get("ts"))


def _kepware(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """KEPServerEX's IoT Gateway: values with `id` (channel.device.tag), `v`, `q` and `t`."""
    for entry in body["values"]:
        *_, device, tag = ("", *str(entry["id"]).split("."))
        if entry.get("q", True):
            yield from _sample(device, tag, entry["v"], entry.get("t", body.get("timestamp")))


def _neuron(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """Neuron, in its formats with `values` and with `tags`."""
    found = body.get("values") or {each["name"]: each.get("value") for each in body.get("tags", ())}
    for tag, value in found.items():
        yield from _sample(body.get("node") or names.get("device", ""), tag, value, body.get("timestamp"))


def _plain(body: Any, names: Mapping[str, str]) -> Iterator[HeardValue]:
    """A value alone, or an object with value and time; the topic names the tag. Of any other object each member is a tag."""
    device, tag = names.get("device", ""), names.get("tag")
    if not isinstance(body, Mapping):
        yield from _sample(device, tag or names["topic"], body, None)
        return
    when = next((body[key] for key in _TIMES if key in body), None)
    value = next((body[key] for key in _VALUES if key in body), None)
    if value is not None:
        yield from _sample(device, tag or names["topic"], value, when)
        return
    for key, each in body.items():
        if key not in _TIMES:
            yield from _sample(device, key, each, when)


LAYOUTS: Mapping[str, Layout] = {
    "edge-gateway": _ours, "telegraf": _telegraf, "thingsboard": _thingsboard, "kepware": _kepware, "neuron": _neuron,
    "plain": _plain,
}  # fmt: skip


def _sample(device: str, tag: str, value: Any, when: Any) -> Iterator[HeardValue]:
    """What is bad, or no single value, is none."""
    if isinstance(value, float | int | bool | str):
        yield HeardValue(f"{device}/{tag}" if device else str(tag), _ms(when), value)


def _ms(when: Any) -> float | None:
    """Seconds, ms, µs or ns since 1970, told by their size."""
    if isinstance(when, bool) or not isinstance(when, float | int):
        return None
    for least, factor in ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0)):
        if when >= least:
            return when * factor
    return when * 1e3
