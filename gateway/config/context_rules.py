"""`[[context]]`: rules that say by tags what devices work for."""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from gateway.config.base import Section
from gateway.config.fields import Field, Name


class ContextSection(Section):
    """`[[context]]`: what devices work for, said by tags: order, batch (or lot), phase. Readings and events carry it."""

    name: Name = Field(examples=["bioreactor batches"])
    """Name of this rule, unique in this gateway; told with what it opens and closes."""

    enabled: bool = True
    """false: checked, and shown as disabled, and nothing is done with it."""

    devices: tuple[str, ...] = Field(strict=False, min_length=1, examples=[["bioreactor-*"]])
    """Names of devices, `*` and `?` allowed: the unit for which it says this."""

    sets: Literal["order", "batch", "unit_procedure", "operation", "phase", "product", "equipment_state"] = Field(
        examples=["batch"]
    )
    """Which part of the context."""

    tag: str | None = Field(default=None, examples=["bioreactor-1/batch_id"])
    """The tag whose value it is: of each of the devices its own, or DEVICE/TAG, one for all of them. An empty text and the
    number 0 say: nothing. A bad or stale value says nothing new."""

    values: Mapping[str, str] = Field(default_factory=dict, examples=[{"1": "inoculation", "2": "growth"}])
    """What values of the tag mean, such as codes of phases. A value that does not stand here is told, and means nothing."""

    value: str | None = Field(default=None, min_length=1, examples=["cleaning"])
    """In the place of a tag: always this, as long as `when` is set."""

    when: str | None = Field(default=None, examples=["bioreactor-1/batch_runs"])
    """A bit, written as `tag` is: only while it is set, there is anything."""

    @model_validator(mode="after")
    def _one_source(self) -> "ContextSection":
        if (self.tag is None) == (self.value is None):
            raise ValueError("write tag, whose value it is, or value, and not both")
        if self.value is not None and self.when is None:
            raise ValueError("value: needs when, the bit that says as long as it is set")
        if self.values and self.tag is None:
            raise ValueError("values: say what a tag means, and there is no tag")
        return self

    @property
    def sources(self) -> dict[str, str]:
        """The tags that it looks at, by the keys that name them."""
        return {key: name for key in ("tag", "when") if (name := getattr(self, key)) is not None}


def parted(tag: str) -> tuple[str, str]:
    """Device and tag of DEVICE/TAG; the device is empty where a tag stands alone."""
    device, slash, name = tag.partition("/")
    return (device, name) if slash else ("", tag)
