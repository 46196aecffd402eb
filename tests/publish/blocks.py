"""Devices, readings and records for the tests of this folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.core.readings import Exact, Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.publish import JsonEncoder, SinkSurroundings

T0_MS = 1_800_000_000_000
GATEWAY = GatewaySection(name="gw1", site="north", area="solids", line="coating")
PLACE = Context(site="north", area="solids", line="coating")


def device(types: Mapping[str, str], name: str = "coater-1", context: Context = PLACE) -> Device:
    """A device with these tags: name → type."""
    tags = [Tag(7 + number, name, tag, of_type) for number, (tag, of_type) in enumerate(types.items())]
    return Device(name, "modbus", Tags(name, tags), context)


def block(
    of: Device,
    values: Sequence[float],
    *,
    rows: Sequence[int] | None = None,
    times_ms: Sequence[int] | int = T0_MS,
    quality: Sequence[int] | int = 0,
    exact: Mapping[int, Exact] | None = None,
) -> Readings:
    """Readings of the device's tags, one after the other, or of those in `rows`."""
    n = len(values)
    ids = of.tags.ids[:n] if rows is None else of.tags.ids[np.array(rows, np.intp)]
    times = np.broadcast_to(np.array(times_ms, np.int64), n) * 1_000_000
    qualities = np.broadcast_to(np.array(quality, np.uint32), n).copy()
    return Readings(of, times, ids, np.array(values, np.float64), qualities, exact or {})


def record(readings: Readings | None = None, *, seq: int = 17, kind: Kind = Kind.READINGS, body: Any = None) -> Record:
    """A record of log "log1", accepted 5 ms after T0_MS."""
    lane = Lane.DATA if kind is Kind.READINGS else Lane.ALARM
    rows = len(readings) if readings else 0
    return Record("log1", lane, seq, kind, (T0_MS + 5) * 1_000_000, 0, 1, 0, "0badcafe", rows, readings, body)


def encoder(
    topic: str = "{site}/{line}/{device}", *, per_tag: bool = False, devices: Sequence[Device] = ()
) -> JsonEncoder:
    """An encoder of gateway gw1 whose clock stands at T0_MS."""
    clock = FakeClock(wall=T0_MS * 1_000_000)
    return JsonEncoder(topic, per_tag, SinkSurroundings(GATEWAY, "0.1.0", clock, LiveTable(), lambda: devices))
