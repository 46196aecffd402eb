"""A fault campaign against the driver as the gateway runs it, and a million spoilt frames."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.core.live import LiveTable
from gateway.core.quality import is_good
from gateway.kit.blocks import BlockDecoder, ValuePlace
from gateway.kit.line import DamagedError, LineFraming
from gateway.plugin import Device, LinkError, Readings
from gateway.supervise import backoff, running
from gateway.testing import OneDriver, eventually
from plugins.modbus.address import COILS, HOLDING_REGISTERS
from plugins.modbus.driver import Modbus
from plugins.modbus.line.framing import AsciiFraming, RtuFraming, TcpFraming
from plugins.modbus.requests import ModbusRequest, read
from plugins.modbus.tests.fakes import floats, make_device, split
from tests.peers.proxy import FaultProxy, half, repeat, swallow

RIGHT = [1 + n / 64 for n in range(20)] + [1 + n for n in range(2, 30)]
"""What a libmodbus server that never changes holds in the tags below."""
TAGS = floats(20) | {f"w{n}": {"address": f"ir:{n}", "type": "uint16"} for n in range(2, 30)}


class Road:
    """Keeps how often all was good and right, and what was good and wrong."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.live = LiveTable()
        self.good = 0
        self.wrong: list[list[float]] = []

    def bind(self, spec: DeviceSpec, found: Any) -> Device:
        return self._device

    def define(self, device: Device) -> Any:
        return self.live.define(device)

    def seen(self, readings: Readings, boot_ns: int) -> None:
        good = is_good(readings.quality) & (readings.quality == 0)
        if not (readings.value[good] == [value for value, ok in zip(RIGHT, good, strict=True) if ok]).all():
            self.wrong.append(readings.value.tolist())
        self.good += bool(good.all())

    def keep(self, readings: Readings) -> None: ...
    def settle(self) -> None: ...
    def device_changed(self, device: Device, health: Any) -> None: ...


@pytest.mark.timeout(300)
@pytest.mark.parametrize("in_flight", [1, 3])
async def test_after_every_fault_the_device_is_read_again_and_nothing_wrong_was_good(
    libmodbus: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.05)
    (port,) = libmodbus("--period", "3600")
    async with FaultProxy("127.0.0.1", port) as proxy:
        device = make_device(TAGS, port=proxy.port, scan="20ms", timeout="500ms", max_in_flight=in_flight)
        road = Road(device)
        acquirer = Acquirer(road, OneDriver(Modbus), SystemClock())
        await acquirer.apply([DeviceSpec(device.config, {tag.name: tag.config for tag in device.tags})])
        async with running(acquirer.run()):
            for fault in [
                proxy.drop,
                proxy.cut,
                proxy.freeze,
                proxy.garbage,
                lambda: proxy.spoil_next(half),
                lambda: proxy.spoil_next(swallow),
                lambda: proxy.spoil_next(repeat),
                lambda: proxy.spoil_next(lambda block: block[:8] + bytes(reversed(block[8:]))),
                lambda: proxy.spoil_next(lambda block: b"\xff" + block),
            ]:
                await read_again(road)
                fault()
                await proxy.restore() if fault == proxy.cut else None
                if fault == proxy.freeze:
                    await dropped(acquirer)
                    await proxy.restore()
                await read_again(road)
    assert road.wrong == []


async def dropped(acquirer: Acquirer) -> None:
    (source,) = acquirer.sources
    before = source.line.counts().get("drops", 0)
    await eventually(lambda: source.line.counts().get("drops", 0) > before, 30)


async def read_again(road: Road) -> None:
    before = road.good
    await eventually(lambda: road.good >= before + 3, 30)


AnyFraming = LineFraming[ModbusRequest]
FRAMINGS: list[AnyFraming] = [TcpFraming(), RtuFraming(), AsciiFraming()]
ASKED = [read(unit, area, 7, count) for unit, area, count in ((1, HOLDING_REGISTERS, 6), (9, COILS, 21))]


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: type(framing).__name__)
def test_of_a_million_spoilt_frames_none_is_good_that_its_form_can_tell(framing: AnyFraming, new_seed: int) -> None:
    dice = random.Random(new_seed)
    decoder = BlockDecoder(
        3, [ValuePlace(0, 0, "float32", "CDAB"), ValuePlace(1, 4, "bcd32", "ABCD"), ValuePlace(2, 8, "bool", bit=3)]
    )
    for _ in range(340_000):
        asked = dice.choice(ASKED)
        payload = dice.randbytes(asked.size)
        sent = framing.wrap(ModbusRequest(asked.unit, asked.head + payload, b""), 5)
        spoilt = spoil(sent, dice)
        for answer in answers(framing, asked, spoilt):
            assert len(answer) == asked.size
            assert answer == payload or not detectable(framing, sent, spoilt)
            if len(answer) == 12:
                decoder.decode(answer)


def spoil(frame: bytes, dice: random.Random) -> bytes:
    """A frame with one to three bytes changed, cut short, or with bytes added."""
    spoilt = bytearray(frame)
    for _ in range(dice.randint(1, 3)):
        match dice.randrange(4):
            case 0 if spoilt:
                del spoilt[dice.randrange(len(spoilt)) :]
            case 1:
                spoilt[dice.randrange(len(spoilt) + 1) : 0] = dice.randbytes(dice.randint(1, 4))
            case _ if spoilt:
                spoilt[dice.randrange(len(spoilt))] ^= dice.randint(1, 255)
    return bytes(spoilt)


def answers(framing: AnyFraming, asked: ModbusRequest, data: bytes) -> list[bytes]:
    """The payloads that are taken for good; no other error than those two may come."""
    try:
        frames, _ = split(framing, data)
        found = [framing.answer(asked, frame) for frame in frames]
    except (LinkError, DamagedError, ValueError):
        return []
    return [answer for answer in found if isinstance(answer, bytes)]


def detectable(framing: AnyFraming, sent: bytes, spoilt: bytes) -> bool:
    """Whether the check bytes must tell: a CRC-16 any change within two bytes, an LRC that of one digit; TCP has none. Other
    changes meet by chance, one in 65536 or in 256."""
    changed = [at for at, (was, is_) in enumerate(zip(sent, spoilt, strict=False)) if was != is_]
    if isinstance(framing, TcpFraming) or len(sent) != len(spoilt) or not changed:
        return False
    return changed[-1] - changed[0] < (1 if isinstance(framing, AsciiFraming) else 2)
