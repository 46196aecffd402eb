"""The driver against a device by bacpypes3: reads, quality, changes, writes, and what stands where."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DeviceError, LinkError, Tag, quality
from gateway.testing import FakeLineHost, eventually
from plugins.bacnet.config import BacnetTag
from plugins.bacnet.driver import Bacnet
from plugins.bacnet.encoding import Kind
from plugins.bacnet.meaning import EXCEEDED, LOCAL_OVERRIDE, SUBSTITUTE, meaning
from plugins.bacnet.tests.plant import (
    INSTANCE,
    Served,
    by_name,
    connected,
    free_udp_port,
    make_device,
    qualities,
    served,
)


def tag(driver: Bacnet, name: str) -> Tag:
    return next(each for each in driver.devices[0].tags if each.name == name)


async def read(driver: Bacnet) -> dict[str, Any]:
    return by_name(await driver.read(driver.devices[0].tags))


async def test_each_type_is_read_as_what_it_is(plant: Served) -> None:
    tags = {
        "real": "AI:3",
        "enumerated": "BI:1",
        "active": {"address": "BI:1", "text": True},
        "state": "MSV:1",
        "named": {"address": "MSV:1", "text": True},
        "text": "characterstring-value:1",
        "signed": "IV:1",
        "unsigned": "PIV:1",
        "date": "date-value:1",
        "bits": "AI:3/status-flags",
        "bit": {"address": "AI:3/status-flags", "bit": 3},
        "object": "AI:3/object-identifier",
        "array": "MSV:1/state-text",
        "of_array": "MSV:1/state-text[3]",
        "size": "MSV:1/state-text[0]",
        "truth": "AI:3/out-of-service",
    }
    async with connected(make_device(tags, plant.port)) as driver:
        assert await read(driver) == {
            "real": 3.0,
            "enumerated": 1.0,
            "active": "running",
            "state": 2.0,
            "named": "auto",
            "text": "Ansatz 4711 µ",
            "signed": -300.0,
            "unsigned": 70000.0,
            "date": "2026-11-30",
            "bits": "0000",
            "bit": 0.0,
            "object": "AI:3",
            "array": ["stop", "auto", "hand"],
            "of_array": "hand",
            "size": 3.0,
            "truth": 0.0,
        }
        assert list(driver.remarks) == []


async def test_units_types_and_descriptions_come_from_the_device(plant: Served) -> None:
    tags = {
        "room": "AI:5",
        "own": {"address": "AI:6", "unit": "K", "description": "mine"},
        "name": "device:1234/object-name",
    }
    async with connected(make_device(tags, plant.port)) as driver:
        found = {each.name: what for each, what in (await driver.describe()).items()}
    assert (found["room"].type, found["room"].unit, found["room"].description) == ("float32", "°C", "Room 5")
    assert "own" not in found
    assert found["name"].type == "string"


@pytest.mark.parametrize(
    ("attribute", "said", "value", "code"),
    [
        ("reliability", "open-loop", None, quality.BAD_SENSOR_FAILURE),
        ("reliability", "communication-failure", None, quality.BAD_NO_COMMUNICATION),
        ("reliability", "configuration-error", None, quality.BAD_CONFIGURATION),
        ("reliability", "process-error", None, quality.BAD_DEVICE_FAILURE),
        ("reliability", "over-range", 21.0, EXCEEDED),
        ("outOfService", "1", 21.0, SUBSTITUTE | quality.FORCED),
    ],
)
async def test_status_flags_and_reliability_become_quality(
    plant: Served, attribute: str, said: str, value: float | None, code: int
) -> None:
    async with connected(make_device({"bent": "AI:21", "straight": "AI:22"}, plant.port)) as driver:
        plant.set("AI:21", attribute, said)
        try:
            readings = await driver.read(driver.devices[0].tags)
            assert by_name(readings) == {"bent": value, "straight": 22.0}
            assert qualities(readings) == {"bent": code, "straight": quality.GOOD}
            assert len(driver.remarks) == 1
        finally:
            plant.set("AI:21", attribute, "0" if said == "1" else "no-fault-detected")
        assert qualities(await driver.read(driver.devices[0].tags))["bent"] == quality.GOOD
        assert list(driver.remarks) == []


def test_what_is_in_alarm_is_good_and_what_is_overridden_is_forced() -> None:
    tag, found = BacnetTag(address="AI:1"), [(Kind.REAL, 4.5)]
    for flags, code in (("1000", quality.GOOD), ("0010", LOCAL_OVERRIDE | quality.FORCED), ("", quality.GOOD)):
        assert meaning(tag, found, [(Kind.BITS, flags)], None, ())[:2] == (4.5, code)


async def test_an_object_that_is_deleted_costs_its_tag_and_is_named() -> None:
    with served() as plant:
        async with connected(make_device({"a": "AI:1", "b": "AI:2", "c": "AI:3"}, plant.port)) as driver:
            assert await read(driver) == {"a": 1.0, "b": 2.0, "c": 3.0}
            plant.tell("delete AI:2")
            readings = await driver.read(driver.devices[0].tags)
            assert by_name(readings) == {"a": 1.0, "b": None, "c": 3.0}
            assert qualities(readings)["b"] == quality.BAD_NODE_ID_UNKNOWN
            assert "no such object in this device" in driver.remarks[0]


async def test_browse_lists_objects_with_names_units_and_types(plant: Served) -> None:
    async with connected(make_device({"a": "AI:1"}, plant.port)) as driver:
        found = {address: what async for address, what in driver.browse()}
    assert len(found) > 120
    assert (found["AI:7"].type, found["AI:7"].unit, found["AI:7"].description, found["AI:7"].path) == (
        "float32",
        "°C",
        "Room 7",
        "AI-7",
    )
    assert found["BI:1"].type == "bool" and found["characterstring-value:1"].type == "string"


# Writing.


async def test_a_value_is_written_at_its_priority_and_a_command_is_taken_back(plant: Served) -> None:
    tags = {
        "set": {"address": "AO:1", "priority": 10},
        "held": {"address": "AO:1", "commanded": True, "priority": 10},
        "at_10": "AO:1/priority-array[10]",
    }
    async with connected(make_device(tags, plant.port)) as driver:
        assert await read(driver) == {"set": 20.5, "held": 0.0, "at_10": None}
        await driver.write(tag(driver, "set"), 44.5)
        assert await read(driver) == {"set": 44.5, "held": 1.0, "at_10": 44.5}
        with pytest.raises(DeviceError, match="only false can be written"):
            await driver.write(tag(driver, "held"), True)
        await driver.write(tag(driver, "held"), False)
        assert await read(driver) == {"set": 20.5, "held": 0.0, "at_10": None}


async def test_states_are_written_by_their_texts(plant: Served) -> None:
    tags = {
        "mode": {"address": "MSV:1", "text": True, "priority": 9},
        "held": {"address": "MSV:1", "commanded": True, "priority": 9},
    }
    async with connected(make_device(tags, plant.port)) as driver:
        await read(driver)
        await driver.write(tag(driver, "mode"), "hand")
        assert (await read(driver))["mode"] == "hand"
        with pytest.raises(DeviceError, match="its states are stop, auto, hand"):
            await driver.write(tag(driver, "mode"), "full speed")
        await driver.write(tag(driver, "held"), False)
        assert (await read(driver))["mode"] == "auto"


async def test_what_is_refused_is_told_in_words(plant: Served) -> None:
    tags = {"none": "AV:99", "no_array": "AI:1/priority-array[3]", "bit": {"address": "AI:1/status-flags", "bit": 1}}
    async with connected(make_device(tags, plant.port)) as driver:
        for name, why in (("none", "no such object"), ("no_array", "no such property"), ("bit", "single bits")):
            with pytest.raises(DeviceError, match=why):
                await driver.write(tag(driver, name), 1.0)


# Changes that the device tells.


@pytest.mark.parametrize("cov", ["unconfirmed", "confirmed"])
async def test_changes_come_between_two_scans(cov: str) -> None:
    host = FakeLineHost()
    tags = {"room": "AI:31", "fan": {"address": "BI:1", "text": True}, "quiet": {"address": "AI:32", "cov": False}}
    with served() as plant:
        async with connected(make_device(tags, plant.port, cov=cov), host) as driver:
            assert (await read(driver))["room"] == 31.0
            plant.set("AI:31", "presentValue", 99.5)
            plant.set("AI:32", "presentValue", 99.5)
            plant.set("BI:1", "presentValue", "inactive")
            await eventually(lambda: {("room", 99.5), ("fan", "off")} <= _told(host))
            assert not {name for name, _ in _told(host)} & {"quiet"}
            assert await read(driver) == {"room": 99.5, "fan": "off", "quiet": 99.5}
            plant.set("AI:31", "statusFlags", "0100")  # bacpypes3 tells it, though it does not keep it
            await eventually(lambda: ("room", None) in _told(host))


def _told(host: FakeLineHost) -> set[tuple[str, Any]]:
    return {pair for readings in host.brought for pair in by_name(readings).items()}


async def test_a_device_that_takes_no_subscriptions_is_read_all_the_same_and_it_is_told_once(plant: Served) -> None:
    tags = {"text": "CSV:1", "room": "AI:33"}  # bacpypes3 tells changes of the second alone
    with capture_logs() as logs:
        async with connected(make_device(tags, plant.port, cov="unconfirmed")) as driver:
            for _ in range(3):
                assert await read(driver) == {"text": "Ansatz 4711 µ", "room": 33.0}
            (remark,) = driver.remarks
    assert "does not tell changes of characterstring-value:1" in remark
    assert len([each for each in logs if "does not tell changes" in each["event"]]) == 1


async def test_subscriptions_are_renewed_before_they_end(plant: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeLineHost()
    async with connected(
        make_device({"room": "AI:34"}, plant.port, cov="unconfirmed", cov_lifetime="10s"), host
    ) as driver:
        await read(driver)
        assert driver._subscriptions is not None
        (each,) = driver._subscriptions._of.values()
        first, each.due = each.due, 0.0
        await read(driver)
        assert each.due > first
        assert 0 < each.due - asyncio.get_running_loop().time() <= 5.0


# Where it is.


async def test_whichever_device_answers_is_taken_and_named(plant: Served) -> None:
    async with connected(make_device({"a": "AI:1"}, plant.port, device=None)) as driver:
        assert driver.facts["device"] == INSTANCE
        assert driver.facts["name"] == "BACpypes, Test, AHU-1234"


async def test_another_device_at_the_address_is_told_with_its_instance(plant: Served) -> None:
    with pytest.raises(LinkError, match="is not 77, but 1234: compare"):
        await Bacnet([make_device({"a": "AI:1"}, plant.port, device=77)]).connect()


async def test_devices_that_change_places_while_it_reads_are_noticed() -> None:
    with served() as first:
        device = make_device({"a": "AI:1"}, first.port)
        driver = Bacnet([device])
        await driver.connect()
        assert await read(driver) == {"a": 1.0}
    with served(instance=77, port=first.port):
        with pytest.raises(LinkError, match="is not 1234, but 77"):
            await read(driver)
        await driver.close()


async def test_a_device_is_found_by_its_instance_alone() -> None:
    port = free_udp_port("127.0.0.2")
    with served(port=port, address="127.0.0.2/8"):
        # Broadcasts of the loopback network reach its addresses.
        options = {"host": None, "broadcast": "127.255.255.255", "local_host": "127.0.0.1"}
        async with connected(make_device({"a": "AI:1"}, port, **options)) as driver:
            assert str(driver.facts["address"]) == f"127.0.0.2:{port}"
            assert await read(driver) == {"a": 1.0}


async def test_nobody_of_that_instance_is_told_with_what_to_look_at() -> None:
    options = {"host": None, "broadcast": "127.255.255.255", "request_timeout": "200ms"}
    with pytest.raises(TimeoutError, match="no device 1234 answers Who-Is"):
        await Bacnet([make_device({"a": "AI:1"}, free_udp_port(), **options)]).connect()


async def test_several_devices_share_a_port_and_a_silent_one_stops_nobody(plant: Served) -> None:
    port = free_udp_port()
    silent = Bacnet([make_device({"a": "AI:1"}, free_udp_port(), local_port=port, timeout="20s")])
    async with connected(make_device({"a": "AI:1"}, plant.port, local_port=port)) as driver:
        dialling = asyncio.ensure_future(silent.connect())
        for _ in range(20):
            assert await read(driver) == {"a": 1.0}
        assert not dialling.done()
        dialling.cancel()
        await asyncio.wait([dialling])
        assert await read(driver) == {"a": 1.0}


async def test_a_port_that_another_program_has_is_told_in_words(plant: Served) -> None:
    with pytest.raises(LinkError, match="is in use, by another BACnet program or a second gateway on this machine"):
        await Bacnet([make_device({"a": "AI:1"}, plant.port, local_port=plant.port)]).connect()


async def test_silence_and_another_protocol_are_told_apart() -> None:
    class Other(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(b"HTTP/1.1 400 Bad Request", addr)

    make = asyncio.get_running_loop().create_datagram_endpoint
    transport, _ = await make(Other, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        with pytest.raises(TimeoutError, match="no BACnet: is the port right"):
            await Bacnet([make_device({"a": "AI:1"}, port, request_timeout="500ms")]).connect()
    finally:
        transport.close()
    with pytest.raises(TimeoutError, match=r"is it on, with BACnet/IP, and does UDP \d+ get through"):
        await Bacnet([make_device({"a": "AI:1"}, free_udp_port(), request_timeout="100ms")]).connect()


@pytest.mark.parametrize(("host", "said"), [("no.such.host.invalid", "cannot find"), (".", "cannot find")])
async def test_a_name_that_is_none_is_told(host: str, said: str) -> None:
    with pytest.raises(LinkError, match=said):
        await Bacnet([make_device({"a": "AI:1"}, 1, host=host)]).connect()
