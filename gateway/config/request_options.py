"""What the far side of a sink may ask for."""

from typing import Literal, TypeAlias

from pydantic import model_validator

from gateway.config.base import Section
from gateway.config.fields import Duration, Field, WriteRate

RequestName: TypeAlias = Literal[
    "write", "snapshot", "replay", "rebirth", "batch_start", "batch_set", "batch_end", "batches", "batch"
]


class RequestOptions(Section):
    commands: tuple[RequestName, ...] = Field(default=(), strict=False, examples=[["snapshot", "write"]])
    """What may be asked for: write a tag, a snapshot of last values, a replay of history, a rebirth (descriptions and states
    told anew); begin and end a batch and say its phase, what is open, what a batch gave. Without any, requests are not
    listened to. What the far side may is also for [access] to say."""

    writable: tuple[str, ...] = Field(default=(), strict=False, examples=[["coater-1/drum_speed", "mixer-*/setpoint"]])
    """Tags that may be written by requests, as DEVICE/TAG, `*` and `?` allowed. They need write = true too."""

    rate: WriteRate = Field(default=(10, 1.0), examples=["10/s"])
    """How many requests are looked at. What comes beyond is counted, and not done."""

    max_age: Duration = Field(default=30.0, ge=1, le=86_400)
    """How old a request may be by its own time and this machine's clock. What changes something must tell its time."""

    response_topics: tuple[str, ...] = Field(default=(), strict=False, examples=[["mes/answers/#"]])
    """Where a request may want its answer, beside the gateway's own topic for answers; `+` and `#` as in MQTT. Topics under
    which the gateway itself publishes never get one."""

    @model_validator(mode="after")
    def _writing(self) -> "RequestOptions":
        if ("write" in self.commands) != bool(self.writable):
            raise ValueError(
                'writable: goes together with "write" in commands, and names the tags, such as "coater-1/*"'
            )
        return self
