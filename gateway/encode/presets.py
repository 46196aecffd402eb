"""Templates under names: payloads that read like those of other gateways (docs/json.md)."""

from collections.abc import Mapping
from typing import Any

from gateway.encode.template import MESSAGE, READING, RECORD, Template, TemplateError, parse

_GOOD_VALUES = {"by_tag": "{value}", "only": "good"}

_METRIC = {
    "fields": _GOOD_VALUES,
    "name": "{device}",
    "tags": {"gateway": "{gateway}", "site": "{site}", "area": "{area}", "line": "{line}"},
    "timestamp": "{ts}",
}
"""Telegraf, data_format "json" with json_timestamp_units = "1ms"; several of them are its batch format."""

_KEPWARE = {
    "timestamp": "{ts}",
    "values": {"each_reading": {"id": "{device}.{tag}", "v": "{value}", "q": "{good}", "t": "{ts}"}},
}
"""Kepware IoT Gateway, standard template."""

_NEURON = {
    "timestamp": "{ts}",
    "node": "{device}",
    "group": "{driver}",
    "values": _GOOD_VALUES,
    "errors": {"by_tag": "{code}", "only": "bad"},
    "metas": {},
}
"""EMQX Neuron, values-format; the errors are OPC UA status codes."""

_THINGSBOARD = {"by_device": [{"ts": "{ts}", "values": _GOOD_VALUES}]}
"""ThingsBoard, the gateway's telemetry (v1/gateway/telemetry)."""

_UMH = {"only": "good", "timestamp_ms": "{ts}", "value": "{value}"}
"""United Manufacturing Hub, _historian."""

PRESETS: Mapping[str, Mapping[int, Any]] = {
    "telegraf": {RECORD: _METRIC, MESSAGE: {"metrics": {"each_record": _METRIC}}},
    "neuron": {RECORD: _NEURON},
    "kepware": {RECORD: _KEPWARE, MESSAGE: _KEPWARE, READING: _KEPWARE["values"]["each_reading"]},  # type: ignore[index]
    "thingsboard": {RECORD: _THINGSBOARD, MESSAGE: _THINGSBOARD},
    "umh": {READING: _UMH},
}
"""By name and by what one message holds."""

_MODES = {RECORD: "one message per record", READING: "per_tag = true", MESSAGE: "per_slot = true"}


def preset(name: str, scope: int) -> Template:
    """The template of this name for messages of this scope. Raises TemplateError."""
    forms = PRESETS[name]
    if scope not in forms:
        known = " or ".join(_MODES[each] for each in forms)
        raise TemplateError((), f'"{name}" has no form for {_MODES[scope]}: set {known}')
    return parse(forms[scope], scope)
