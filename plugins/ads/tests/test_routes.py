"""What TwinCAT's system service is asked by UDP, against one of our own."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.plugin import LinkError, RefusedError, Search
from plugins.ads.driver import Ads
from plugins.ads.tests.fakes import NET_ID, AdsPlc, furnished
from plugins.ads.tests.simulated import connected, make_device

OWN = bytes((127, 0, 0, 1, 1, 1))


class SystemService(asyncio.DatagramProtocol):
    def __init__(self, plc: AdsPlc, password: str) -> None:
        self._plc, self._password = plc, password
        self.routes: list[dict[int, bytes]] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        magic, number, service, _, _, count = struct.unpack("<III6sHI", data[:24])
        fields, at = {}, 24
        for _ in range(count):
            tag, size = struct.unpack("<HH", data[at : at + 4])
            fields[tag] = data[at + 4 : at + 4 + size]
            at += 4 + size
        assert (magic, at) == (0x71146603, len(data))
        answer = struct.pack("<HH", 5, 6) + b"CX-01\0" + struct.pack("<HHBBH", 3, 4, 3, 1, 4024)
        if service == 6:
            right = fields[2] == self._password.encode() + b"\0" and fields[13] == b"Administrator\0"
            answer = struct.pack("<HHI", 1, 4, 0 if right else 0x704)
            if right:
                self.routes.append(fields)
                self._plc.route = True
        count = 1 if service == 6 else 2
        head = struct.pack("<III6sHI", magic, number, service | 0x80000000, NET_ID, 10000, count)
        self._transport.sendto(b"rubbish", addr)
        self._transport.sendto(head + answer, addr)


@asynccontextmanager
async def controller(
    plc: AdsPlc, monkeypatch: pytest.MonkeyPatch, password: str = "1"
) -> AsyncIterator[tuple[int, Any]]:
    loop = asyncio.get_running_loop()
    transport, service = await loop.create_datagram_endpoint(
        lambda: SystemService(plc, password), local_addr=("127.0.0.1", 0)
    )
    monkeypatch.setattr("plugins.ads.routes.UDP_PORT", transport.get_extra_info("sockname")[1])
    monkeypatch.setattr("plugins.ads.routes._WITHIN", 30.0)
    try:
        async with plc.serve() as port:
            yield port, service
    finally:
        transport.close()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILLER_PASSWORD", "1")


async def test_a_controller_is_asked_for_its_net_id(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {"count": "MAIN.nCount"}
    async with (
        controller(furnished(), monkeypatch) as (port, _),
        connected(make_device(tags, port, net_id=None)) as driver,
    ):
        assert list(await driver.read(driver.devices[0].tags)) == [-7]


async def test_a_route_is_made_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plc = furnished()
    plc.route = False
    route = {"password": {"env": "FILLER_PASSWORD"}, "name": "gw"}
    async with controller(plc, monkeypatch) as (port, service):
        async with connected(make_device({"count": "MAIN.nCount"}, port, route=route)) as driver:
            assert list(await driver.read(driver.devices[0].tags)) == [-7]
            assert any("readable" in doubt for doubt in Ads.doubts(driver.devices))
        (made,) = service.routes
        assert (made[12], made[7], made[5]) == (b"gw\0", OWN, b"127.0.0.1\0")


async def test_a_wrong_password_of_a_route_needs_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    route = {"password": {"env": "FILLER_PASSWORD"}}
    async with controller(AdsPlc(route=False), monkeypatch, password="other") as (port, _):
        with pytest.raises(RefusedError, match="user or password of route"):
            async with connected(make_device({"a": "MAIN.a"}, port, route=route)):
                pass


async def test_nobody_who_tells_his_net_id_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with controller(furnished(), monkeypatch) as (port, _):
        monkeypatch.setattr("plugins.ads.routes.parse_packet", lambda *_: None)
        monkeypatch.setattr("plugins.ads.routes._WITHIN", 0.1)
        with pytest.raises(LinkError, match="write it in net_id"):
            async with connected(make_device({"a": "MAIN.a"}, port, net_id=None)):
                pass


@pytest.mark.parametrize(
    ("change", "said"),
    [({}, None), ({"route": False}, "a route to this computer is missing"), ({"ports": ()}, "set ams_port")],
)
async def test_a_controller_is_found_with_its_name_and_what_is_missing(
    change: dict[str, Any], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plc = furnished()
    for name, value in change.items():
        setattr(plc, name, value)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1

    async with controller(plc, monkeypatch) as (port, _):
        found = [each async for each in Ads.discover(Search(turn, host="127.0.0.1", ports=(port,), timeout=30))]
    (device,) = found
    assert device.options == {"host": "127.0.0.1", "net_id": "5.80.201.232.1.1", "port": port}
    assert (device.name, device.about[0]) == ("CX-01", "TwinCAT 3.1.4024")
    assert device.about[1:] == [] if said is None else said in device.about[1]
    assert turns >= 2
