"""In which form a sink's readings go out: options that sinks share which send JSON."""

from dataclasses import dataclass
from typing import Any, Literal

from gateway.core.topic import check_template
from gateway.encode import MESSAGE, PRESETS, READING, RECORD, Template, TemplateError, parse, preset

Preset = Literal["own", "telegraf", "neuron", "kepware", "thingsboard", "umh"]
Payload = Preset | dict[str, Any] | list[Any]
"""The gateway's own form, that of another gateway, or a template (docs/json.md)."""

OWN: Preset = "own"


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How readings become messages."""

    template: Template | None = None
    """None: the gateway's own form."""
    per_tag: bool = False
    per_slot: bool = False
    """One message for all records that are ready at one moment."""
    readings_topic: str = ""
    """Template of the readings' topics, where they stand elsewhere than under the devices' own."""


assert {OWN, *PRESETS} == {*Preset.__args__}  # type: ignore[attr-defined]


def template_of(payload: Payload, *, per_tag: bool = False, per_slot: bool = False) -> Template | None:
    """The template that is meant; None for the gateway's own form. Raises ValueError that names the key."""
    if per_tag and per_slot:
        raise ValueError("per_slot: cannot stand beside per_tag")
    scope = MESSAGE if per_slot else READING if per_tag else RECORD
    if payload == OWN:
        return None
    try:
        return preset(payload, scope) if isinstance(payload, str) else parse(payload, scope)
    except TemplateError as error:
        raise TemplateError(("payload", *error.place), str(error)) from error


def check_readings_topic(topic: str, template: Template | None, *, per_tag: bool, per_slot: bool) -> None:
    """See that messages under this topic can be told apart. Raises ValueError that names the key."""
    used = template.used if template is not None else frozenset[str]()
    says_device = "device" in used or (template is not None and template.by_device)
    says_tag = "tag" in used or (template is None and per_tag)
    try:
        check_template(topic, also=("tag",) if per_tag else (), needs_device=not (per_slot or says_device))
    except ValueError as error:
        raise ValueError(f"readings_topic: {error}") from error
    if per_slot and "{device}" in topic:
        raise ValueError("readings_topic: with per_slot a message holds several devices: leave {device} out")
    if per_tag and "{tag}" not in topic and not says_tag:
        raise ValueError("readings_topic: must contain {tag}, else nothing would tell the tags apart")


def unsaid(payload: Payload, template: Template | None) -> list[str]:
    """What is lost in this form, as a remark."""
    lost = template.unsaid() if template is not None else []
    name = f'"{payload}"' if isinstance(payload, str) else "the template"
    return [f"payload: {name} does not say {'; '.join(lost)}"] if lost else []
