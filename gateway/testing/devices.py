"""Devices, tags and records without an outbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from gateway.acquire.values import as_readings
from gateway.config.base import DeviceConfig, SinkConfig, TagConfig
from gateway.config.mistakes import check
from gateway.core.context import Context
from gateway.core.quality import is_bad
from gateway.core.readings import Exact, Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.driver import Driver, option_types
from gateway.plugin.sink import Sink

M = TypeVar("M", bound=BaseModel)

_T0 = 1_800_000_000_000_000_000


@dataclass(frozen=True)
class OneDriver:
    """The drivers of a gateway that has only this one, under whatever name, and bars no device."""

    only: type[Driver[Any, Any]]

    def driver(self, name: str) -> type[Driver[Any, Any]]:
        """That one, whatever it is called."""
        return self.only

    def barred_device(self, device: DeviceConfig) -> str:
        """Nothing bars it."""
        return ""


def bind(
    config: DeviceConfig, tags: Mapping[str, TagConfig], *, first_id: int = 1, context: Context | None = None
) -> Device:
    """The device of these options, its tags numbered from `first_id`; in a gateway the outbox gives the numbers."""
    bound = [
        Tag(
            number,
            config.name,
            name,
            "float64" if tag.scaled else tag.value_type(),
            tag.unit,
            tag.description,
            config=tag,
        )
        for number, (name, tag) in enumerate(tags.items(), first_id)
    ]
    return Device(config.name, config.driver, Tags(config.name, bound), context or Context(), config)


def build_device(driver: type[Driver[Any, Any]], options: Mapping[str, Any], tags: Mapping[str, Any]) -> Device:
    """The same from options as the configuration file writes them, checked by the driver's own types.

    `name` and `driver` may be left out of `options`. Raises pydantic.ValidationError, with what `check` would say as notes.
    """
    device_type, tag_type = option_types(driver)
    config = _validated(device_type, {"name": "device-1", "driver": "under_test", **options})
    return bind(config, {name: _validated(tag_type, tag) for name, tag in tags.items()})


def _validated(options: type[M], table: Mapping[str, Any]) -> M:
    try:
        return options.model_validate(table)
    except ValidationError as error:
        for mistake in check(options, table, Path())[1]:
            error.add_note(f"{'.'.join(map(str, mistake.path))}: {mistake.message}")
        raise


async def read_all(driver: Driver[Any, Any], device: Device) -> list[Exact | float | None]:
    """The value of each tag of a device of an open line, in their order; None for a bad one."""
    readings = as_readings(device, device.tags, await driver.read(device.tags), t_ns=1)
    found = [readings.exact.get(row, value) for row, value in enumerate(readings.value.tolist())]
    return [None if bad else value for value, bad in zip(found, is_bad(readings.quality), strict=True)]


def build_sink_config(sink: type[Sink[Any]], options: Mapping[str, Any]) -> SinkConfig:
    """A sink's options from what the configuration file writes. Raises pydantic.ValidationError."""
    (sink_type,) = option_types(sink)
    config: SinkConfig = _validated(sink_type, {"name": "sink-1", "plugin": "under_test", **options})
    return config


def records(device: Device, count: int, *, first: int = 1, kind: Kind = Kind.READINGS) -> list[Record]:
    """Records as an outbox hands them out: of readings one second apart, every tag counting up, or of bodies."""
    return [_record(device, seq, kind) for seq in range(first, first + count)]


def _record(device: Device, seq: int, kind: Kind) -> Record:
    wall_ns = _T0 + seq * 1_000_000_000
    size = len(device.tags)
    readings = Readings(
        device,
        np.full(size, wall_ns, np.int64),
        device.tags.ids,
        np.arange(seq, seq + size, dtype=np.float64),
        np.zeros(size, np.uint32),
    )
    is_readings = kind is Kind.READINGS
    return Record(
        log="testlog",
        lane=Lane.DATA if is_readings else Lane.ALARM,
        seq=seq,
        kind=kind,
        wall_ns=wall_ns,
        boot_ns=seq * 1_000_000_000,
        boot=1,
        epoch=0,
        config="0badcafe",
        rows=size if is_readings else 0,
        readings=readings if is_readings else None,
        body=None if is_readings else _body(device, seq, wall_ns),
    )


def _body(device: Device, seq: int, wall_ns: int) -> Mapping[str, object]:
    return {
        "event": f"event-{seq}",
        "kind": "anomaly",
        "state": "raised",
        "device": device.name,
        "ts": wall_ns // 1_000_000,
        "severity": "warning",
        "message": "made up by a test",
    }
