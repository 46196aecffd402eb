"""What a PLC reports by itself, and what makes up for reports that get lost, against a PLC of our own."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from gateway.plugin import Device, ForeseenError, LinkError, quality
from gateway.testing import FakeLineHost, eventually
from plugins.ads.driver import Ads
from plugins.ads.reading import UNCERTAIN_STOPPED
from plugins.ads.tests.fakes import DINT, INT, AdsPlc, furnished
from plugins.ads.tests.simulated import make_device

T0 = 1_800_000_000_000_000_000
"""When the PLC of the tests says that everything is."""


class Heard:
    """What a subscribed line has brought."""

    def __init__(self, driver: Ads) -> None:
        self.driver = driver
        self.values: dict[str, tuple[Any, int]] = {}
        """By device and tag, value and quality."""
        self.times: dict[str, int] = {}
        self.blocks = 0
        self.error: Exception | None = None

    async def listen(self) -> None:
        names = {tag.id: f"{device.name}/{tag.name}" for device in self.driver.devices for tag in device.tags}
        if len(self.driver.devices) > 1:
            names = {}
        try:
            async with aclosing(self.driver.stream()) as blocks:  # type: ignore[type-var]
                async for block in blocks:
                    self.blocks += 1
                    own = names or {tag.id: f"{block.device.name}/{tag.name}" for tag in block.device.tags}
                    for row, tag in enumerate(block.tag):
                        name = own[int(tag)]
                        value = block.exact.get(row, float(block.value[row]))
                        self.values[name] = value, int(block.quality[row])
                        self.times[name] = int(block.t_ns[row])
        except LinkError as error:
            self.error = error

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(condition, 30.0)


@asynccontextmanager
async def listening(*devices: Device, host: FakeLineHost | None = None) -> AsyncIterator[Heard]:
    driver = Ads(list(devices), host or FakeLineHost())
    await driver.connect()
    await driver.describe()
    heard = Heard(driver)
    task = asyncio.create_task(heard.listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await driver.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.ads.feed.LOOK", 0.05)
    monkeypatch.setattr("plugins.ads.device_feed.SOON", 0.05)
    monkeypatch.setattr("plugins.ads.device_feed.CHECK", 0.1)


def subscribed(tags: dict[str, Any], port: int, **options: Any) -> Device:
    return make_device(tags, port, acquisition="subscribe", **options)


async def test_changes_come_with_the_time_of_the_plc() -> None:
    plc = furnished()
    async with plc.serve() as port:
        device = subscribed({"count": "MAIN.nCount", "lot": "MAIN.sLot", "huge": "MAIN.nHuge", "gone": "MAIN.x"}, port)
        async with listening(device) as heard:
            await heard.until(lambda: len(heard.values) == 4)
            assert heard.values["device-1/count"] == (-7, quality.GOOD)
            assert heard.values["device-1/lot"] == ("LOT-7", quality.GOOD)
            assert heard.values["device-1/huge"] == ((1 << 63) + 1, quality.GOOD)
            assert heard.values["device-1/gone"][1] == quality.BAD_NODE_ID_UNKNOWN
            plc.put("MAIN.nCount", struct.pack("<h", 5))
            await heard.until(lambda: heard.values["device-1/count"][0] == 5)
            assert heard.times["device-1/count"] == T0
            assert heard.driver.counts.get("lost_notifications", 0) == 0
    assert plc.handles == {}


async def test_what_does_not_change_is_known_to_be_alive() -> None:
    plc, host = furnished(), FakeLineHost()
    async with plc.serve() as port, listening(subscribed({"count": "MAIN.nCount"}, port), host=host) as heard:
        await heard.until(lambda: "device-1/count" in heard.values and host.signs > 3)
        assert heard.blocks == 1


async def test_a_report_that_was_lost_is_made_up_for() -> None:
    plc = furnished()
    async with plc.serve() as port, listening(subscribed({"count": "MAIN.nCount", "run": "MAIN.bRun"}, port)) as heard:
        await heard.until(lambda: len(heard.values) == 2)
        offset = plc.symbols["MAIN.NCOUNT"].offset
        plc.memory[offset : offset + 2] = struct.pack("<h", 77)
        await heard.until(lambda: heard.values["device-1/count"][0] == 77)
        assert heard.driver.counts["lost_notifications"] == 1
        assert heard.times["device-1/count"] != T0, "it has the gateway's time"


async def test_what_the_plc_does_not_report_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdsPlc, "add_note", lambda *_: struct.pack("<I", 0x716))
    plc = furnished()
    async with plc.serve() as port:
        device = subscribed({"count": "MAIN.nCount", "run": "MAIN.bRun"}, port, scan="100ms")
        async with listening(device) as heard:
            await heard.until(lambda: len(heard.values) == 2)
            plc.put("MAIN.nCount", struct.pack("<h", 78))
            await heard.until(lambda: heard.values["device-1/count"][0] == 78)


async def test_after_a_download_everything_is_subscribed_anew() -> None:
    plc = furnished()
    async with plc.serve() as port, listening(subscribed({"count": "MAIN.nCount", "run": "MAIN.bRun"}, port)) as heard:
        await heard.until(lambda: len(heard.values) == 2)
        plc.download("MAIN.nCount", "MAIN.bRun")
        plc.add("MAIN.nCount", "INT", INT, struct.pack("<h", 6))
        await heard.until(lambda: heard.values["device-1/count"][0] == 6)
        await heard.until(lambda: heard.values["device-1/run"][1] == quality.BAD_NODE_ID_UNKNOWN)
        plc.put("MAIN.nCount", struct.pack("<h", 8))
        await heard.until(lambda: heard.values["device-1/count"][0] == 8)
        assert heard.error is None


async def test_another_type_ends_the_line_so_that_it_is_told_anew() -> None:
    plc = furnished()
    async with plc.serve() as port, listening(subscribed({"count": "MAIN.nCount"}, port)) as heard:
        await heard.until(lambda: len(heard.values) == 1)
        plc.download("MAIN.nCount")
        plc.add("MAIN.nCount", "DINT", DINT, struct.pack("<i", 70000))
        await heard.until(lambda: heard.error is not None)
        assert isinstance(heard.error, ForeseenError)
        assert heard.values["device-1/count"][0] == -7


async def test_a_plc_that_stops_makes_all_uncertain_until_it_runs_again() -> None:
    plc = furnished()
    async with plc.serve() as port, listening(subscribed({"count": "MAIN.nCount", "lot": "MAIN.sLot"}, port)) as heard:
        for state, code in ((6, UNCERTAIN_STOPPED), (5, quality.GOOD)):
            plc.state = state
            await heard.until(
                lambda code=code: (
                    heard.values.get("device-1/count") == (-7, code)
                    and heard.values.get("device-1/lot") == ("LOT-7", code)
                )
            )


async def test_a_plc_that_is_gone_leaves_its_neighbour_alone() -> None:
    plc = furnished()
    plc.ports = (851, 852)
    async with plc.serve() as port:
        first = subscribed({"count": "MAIN.nCount"}, port)
        second = subscribed({"count": "MAIN.nCount"}, port, ams_port=852, name="device-2")
        async with listening(first, second) as heard:
            await heard.until(lambda: len(heard.values) == 2)
            plc.ports = (851,)
            await heard.until(lambda: heard.values["device-2/count"][1] == quality.BAD_DEVICE_FAILURE)
            plc.put("MAIN.nCount", struct.pack("<h", 3))
            await heard.until(lambda: heard.values["device-1/count"] == (3, quality.GOOD))
            plc.ports = (851, 852)
            await heard.until(lambda: heard.values["device-2/count"] == (3, quality.GOOD))
            plc.ports = ()
            await heard.until(lambda: heard.error is not None)
            assert "config mode" in str(heard.error)


def note(*parts: tuple[int, int, bytes]) -> bytes:
    """A notification's body: its number, time and data, of each."""
    stamps = b"".join(struct.pack("<QIII", stamp, 1, number, len(data)) + data for number, stamp, data in parts)
    return struct.pack("<II", 4 + len(stamps), len(parts)) + stamps


async def test_odd_reports_cost_nothing_but_themselves() -> None:
    plc = furnished()
    tags = {"count": "MAIN.nCount", "speed": "MAIN.fSpeed"}
    async with plc.serve() as port, listening(subscribed(tags, port)) as heard:
        await heard.until(lambda: len(heard.values) == 2)
        number = next(each.number for each in plc.notes.values() if each.place[2] == 2)
        writer, to = plc.notes[number].writer, plc.notes[number].to
        odd = [
            note((999, 0, b"xx")),
            note((number, 0, b"\1")),
            note((number, (1 << 64) - 1, struct.pack("<h", 21))),
            note((number, 0, b"\1\0"))[:-1],
            struct.pack("<II", 4, 1_000_000),
            b"",
        ]
        for body in odd:
            head = to + bytes(8) + struct.pack("<HHIII", 8, 4, len(body), 0, 0)
            writer.write(struct.pack("<HI", 0, len(head) + len(body)) + head + body)
            foreign = bytes(8) + head[8:]
            writer.write(struct.pack("<HI", 0, len(foreign) + len(body)) + foreign + body)
        await heard.until(lambda: heard.values["device-1/count"][0] == 21)
        plc.put("MAIN.fSpeed", struct.pack("<f", np.float32(9.5)))
        await heard.until(lambda: heard.values["device-1/speed"][0] == 9.5)
        counts = heard.driver.counts
        assert counts["stray_notifications"] == 1
        assert counts["damaged_notifications"] == 3
