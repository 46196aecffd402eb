"""What a server has, and what it says of it, may change while the connection lives."""

import itertools
import time

from asyncua import ua

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.supervise import running
from gateway.testing import eventually
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig
from tests.peers.opcua_hostile import published

from .bent import bent, row_of
from .conftest import node
from .test_campaign import Road


def spec(port: int, *names: str) -> DeviceSpec:
    options = {
        "name": "plc",
        "driver": "opcua",
        "url": f"opc.tcp://127.0.0.1:{port}",
        "security": "none",
        "scan": "200ms",
    }
    tags = {name: NodeConfig.model_validate({"address": node(name)}) for name in names}
    return DeviceSpec(OpcUaConfig.model_validate(options | {"timeout": "10s"}), tags)


async def test_a_node_that_appears_after_the_connect_gets_its_values_and_its_type(serve):
    peer, road = await serve(fresh=True), Road()
    name = f"Late{time.time_ns()}"
    acquirer = Acquirer(road, lambda _: OpcUa, SystemClock())
    await acquirer.apply([spec(peer.port, "Double", name)])
    async with running(acquirer.run()):
        await eventually(lambda: road.live["plc"].quality[0] == 0)
        assert road.live["plc"].quality[1] != 0
        await peer.add(name)
        await eventually(lambda: road.live["plc"].device.tags[1].type == "float64" and road.live["plc"].quality[1] == 0)
        assert road.live["plc"].value[1] == 1.0


async def test_a_server_that_says_that_a_unit_has_changed_is_asked_for_it_once():
    """The type stands for all that is described: it is what the road of this test keeps."""
    numbers, changed = itertools.count(1), []

    def value(wanted: ua.ReadValueId) -> ua.DataValue:
        if wanted.NodeId == ua.NodeId(2255):
            return ua.DataValue(ua.Variant(["http://opcfoundation.org/UA/", "urn:a", "http://peer.example/plant"]))
        if row_of(wanted.NodeId) < 0:
            return ua.DataValue()
        kind = ua.VariantType.Int32 if changed else ua.VariantType.Double
        return ua.DataValue(ua.Variant(2, kind) if wanted.AttributeId == ua.AttributeIds.Value else None)

    def publish(asked):
        """Without an end, as fast as it is asked; with the mark in each message after the change."""
        told = ua.DataValue(ua.Variant(2.0), StatusCode=ua.StatusCode(0x4000 if changed else 0))
        items = [ua.MonitoredItemNotification(0, told)]
        return published(next(numbers), ua.DataChangeNotification(MonitoredItems=items))

    def read(asked):
        return ua.ReadResponse(Results=[value(each) for each in asked.Parameters.NodesToRead])

    road = Road()
    async with bent(ReadRequest=read, PublishRequest=publish) as server:
        acquirer = Acquirer(road, lambda _: OpcUa, SystemClock())
        await acquirer.apply([spec(server.port, "T0", "T1")])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].device.tags[0].type == "float64")
            await eventually(lambda: road.live["plc"].quality[0] == 0)
            connections = len(server.connections)
            changed.append(True)
            await eventually(lambda: road.live["plc"].device.tags[0].type == "int32")
            await eventually(lambda: road.live["plc"].quality[0] < 0x8000_0000)
            asked = len(server.kinds("PublishRequest"))
            await eventually(lambda: len(server.kinds("PublishRequest")) > asked + 1000)
            assert len(server.connections) == connections + 1  # not again and again, though it goes on saying so
