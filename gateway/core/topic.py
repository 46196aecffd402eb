"""Topics from the plant's own names: a template such as "{enterprise}/{site}/{area}/{line}/{device}" (ISA-95 levels)."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from gateway.core.context import Context

PLACEHOLDERS = ("enterprise", "site", "area", "line", "device", "gateway")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# MQTT 5 §1.5.4 and §4.7: separators and wildcards, control characters, and what is no character at all.
_BROKERS_OWN = ("$SYS", "$share/", "$queue/", "${")
"""Under these nobody may publish, or a name would decide. Others with "$" mean something to a broker ($aws/rules/…)."""
_UNSAFE = re.compile("[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def check_template(template: str, *, also: Sequence[str] = (), needs_device: bool = True) -> str:
    """The template itself. Raises ValueError that says what is wrong with it and what to write. `also`: further
    placeholders that may stand in it."""
    known = (*PLACEHOLDERS, *also)
    for name in _PLACEHOLDER.findall(template):
        if name not in known:
            raise ValueError(f"unknown placeholder {{{name}}}, {_meant(name, known)}")
    if needs_device and "{device}" not in template:
        raise ValueError("the topic must contain {device}, else all devices would share one topic")
    literal = _PLACEHOLDER.sub("", template)
    if "{" in literal or "}" in literal:
        raise ValueError('the braces do not match; write a placeholder as "{device}"')
    wrong = _UNSAFE.search(literal.replace("/", ""))
    if wrong:
        raise ValueError(f"{wrong[0]!r} cannot stand in a topic")
    if template.startswith(_BROKERS_OWN):
        raise ValueError(f'a topic that starts with "{template.partition("/")[0]}" belongs to the broker')
    return template


def _meant(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), known, n=1)
    all_of_them = ", ".join(f"{{{each}}}" for each in known)
    return f"did you mean {{{near[0]}}}?" if near else f"write one of {all_of_them}"


def fill(template: str, names: Mapping[str, str]) -> str:
    """The topic as it is written, every placeholder replaced by its name, made safe; levels that become empty by that are
    left out, those that are written empty stay (MQTT 5 §4.7.3)."""
    written = template.split("/")
    levels = [_PLACEHOLDER.sub(lambda match: safe(names.get(match[1], "")), level) for level in written]
    topic = "/".join(level for level, before in zip(levels, written, strict=True) if level or not before)
    return "_" + topic[1:] if topic.startswith("$") and not template.startswith("$") else topic


def device_topic(template: str, place: Context, device: str, gateway: str) -> str:
    """Under what a device's messages are published."""
    return fill(template, {**place.said(), "device": device, "gateway": gateway})


def own_topic(template: str, place: Context, gateway: str) -> str:
    """Under what the gateway publishes what is about itself: its name stands in the place of a device's, unless the template
    has a place for it."""
    return device_topic(template, place, "" if "{gateway}" in template else gateway, gateway)


def safe(name: str) -> str:
    """A name as one level of a topic: what a topic cannot hold becomes "_"."""
    return _UNSAFE.sub("_", name)
