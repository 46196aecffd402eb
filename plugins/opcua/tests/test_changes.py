"""What a server has, and what it says of it, may change while the connection lives."""

import itertools
import time

import pytest
from asyncua import ua

from gateway.acquire.acquirer import Acquirer
from gateway.config.model import DeviceSpec
from gateway.core.clock import SystemClock
from gateway.supervise import running
from gateway.testing import OneDriver, eventually
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig
from plugins.opcua.requests import changes, polling
from plugins.opcua.requests.event_fields import NAMES
from plugins.opcua.subscribe import items
from tests.peers.opcua_hostile import published

from .bent import bent, row_of
from .conftest import node
from .test_campaign import Road


def spec(port: int, *names: str, **more) -> DeviceSpec:
    options = {
        "name": "plc",
        "driver": "opcua",
        "url": f"opc.tcp://127.0.0.1:{port}",
        "security": "none",
        "scan": "200ms",
    }
    tags = {name: NodeConfig.model_validate({"address": node(name)}) for name in names}
    return DeviceSpec(OpcUaConfig.model_validate(options | {"timeout": "10s"} | more), tags)


@pytest.mark.parametrize("acquisition", ["subscribe", "poll"])
async def test_a_node_that_appears_after_the_connect_gets_its_values_and_its_type(serve, acquisition):
    peer, road = await serve(fresh=True), Road()
    name = f"Late{time.time_ns()}"
    acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
    await acquirer.apply([spec(peer.port, "Double", name, acquisition=acquisition)])
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
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
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


class Plant:
    """What a bent server answers: the tags T0 and T1, of which the second one may be missing, and their type."""

    def __init__(self) -> None:
        self.known = {"T0", "T1"}
        self.kind = ua.VariantType.Double
        self.content: object = 2
        self.declared: ua.NodeId | None = None
        self.names = ["http://opcfoundation.org/UA/", "urn:a", "http://peer.example/plant"]
        self.changes: list[object] = []
        """Events that wait to be published, each by its own publish answer."""
        self._subscriptions, self._numbers = itertools.count(7), itertools.count(1)

    def value(self, wanted: ua.ReadValueId) -> ua.DataValue:
        if wanted.NodeId == ua.NodeId(2255):
            return ua.DataValue(ua.Variant(self.names))
        if row_of(wanted.NodeId) < 0:
            return ua.DataValue()
        if wanted.NodeId.Identifier not in self.known:
            return ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
        if wanted.AttributeId == ua.AttributeIds.Value:
            return ua.DataValue(ua.Variant(self.content, self.kind))
        if wanted.AttributeId == ua.AttributeIds.DataType and self.declared:
            return ua.DataValue(ua.Variant(self.declared))
        return ua.DataValue()

    def read(self, asked):
        return ua.ReadResponse(Results=[self.value(each) for each in asked.Parameters.NodesToRead])

    def subscribed(self, asked):
        response = ua.CreateSubscriptionResponse()
        response.Parameters.SubscriptionId = next(self._subscriptions)
        response.Parameters.RevisedPublishingInterval = asked.Parameters.RequestedPublishingInterval
        response.Parameters.RevisedMaxKeepAliveCount = asked.Parameters.RequestedMaxKeepAliveCount
        return response

    def monitored(self, asked):
        def made(item: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
            name = item.ItemToMonitor.NodeId.Identifier
            known = isinstance(name, int) or name in self.known
            code = ua.StatusCodes.Good if known else ua.StatusCodes.BadNodeIdUnknown
            return ua.MonitoredItemCreateResult(ua.StatusCode(code), 1, RevisedQueueSize=100)

        return ua.CreateMonitoredItemsResponse(Results=[made(each) for each in asked.Parameters.ItemsToCreate])

    def publish(self, asked):
        """Values of both tags, or, by the second subscription, an event that waits."""
        if self.changes:
            response = published(1, self.changes.pop(0))
            response.Parameters.SubscriptionId = 8
            return response
        told = ua.DataValue(ua.Variant(2, self.kind))
        items = [ua.MonitoredItemNotification(row, told) for row in range(2) if f"T{row}" in self.known]
        return published(next(self._numbers), ua.DataChangeNotification(MonitoredItems=items))

    def tell(self, kind: int, *changes: object) -> None:
        """Let an event of this type be published, with these changes."""
        fields = {"EventType": ua.NodeId(kind), "EventId": b"1", "Changes": list(changes) or None}
        values = [ua.Variant(fields.get(name)) for name in NAMES]
        event = ua.EventFieldList(ClientHandle=0, EventFields=values)
        self.changes.append(ua.EventNotificationList(Events=[event]))

    def serve(self):
        return bent(
            ReadRequest=self.read,
            PublishRequest=self.publish,
            CreateSubscriptionRequest=self.subscribed,
            CreateMonitoredItemsRequest=self.monitored,
        )


async def test_a_polled_node_that_is_of_another_type_when_it_comes_back_is_asked_what_it_is(monkeypatch):
    monkeypatch.setattr(changes, "LOOK_EVERY", 5.0)  # a look that a busy machine has cut off is made again
    plant, road = Plant(), Road()
    async with plant.serve() as server:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec(server.port, "T0", "T1", acquisition="poll")])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].device.tags[1].type == "float64")
            plant.known.remove("T1")
            await eventually(lambda: road.live["plc"].quality[1] >= 0x8000_0000)
            plant.known.add("T1")
            plant.kind = ua.VariantType.Int32
            await eventually(lambda: road.live["plc"].device.tags[1].type == "int32")
            await eventually(lambda: not road.live["plc"].quality.any())
            assert 2 <= len(server.connections) <= 3  # not again and again


async def test_a_polled_value_of_another_kind_is_a_new_type_only_where_the_server_declares_that(monkeypatch):
    monkeypatch.setattr(changes, "LOOK_EVERY", 0.2)
    plant, road = Plant(), Road()
    plant.declared = ua.NodeId(ua.ObjectIds.Double)
    async with plant.serve() as server:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec(server.port, "T0", acquisition="poll")])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].device.tags[0].type == "float64")
            looks = len(server.kinds("TranslateBrowsePathsToNodeIdsRequest"))
            plant.kind, plant.content = ua.VariantType.String, "open"
            await eventually(lambda: len(server.kinds("TranslateBrowsePathsToNodeIdsRequest")) >= looks + 2)
            assert road.live["plc"].device.tags[0].type == "float64"
            assert road.live["plc"].quality[0] >= 0x8000_0000
            plant.declared = ua.NodeId(ua.ObjectIds.String)
            await eventually(lambda: road.live["plc"].device.tags[0].type == "string")
            await eventually(lambda: road.live["plc"].quality[0] == 0)


async def test_a_polled_server_is_asked_for_the_namespaces_that_it_lacked(monkeypatch):
    monkeypatch.setattr(polling, "NAMES_EVERY", 0.3)
    plant, road = Plant(), Road()
    late, plant.names = plant.names, plant.names[:2]
    async with plant.serve() as server:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec(server.port, "T0", acquisition="poll")])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].quality[0] >= 0x8000_0000)
            plant.names = late
            await eventually(lambda: road.live["plc"].quality[0] == 0)
            await eventually(lambda: road.live["plc"].device.tags[0].type == "float64")


@pytest.mark.parametrize("kind", [ua.ObjectIds.BaseModelChangeEventType, ua.ObjectIds.GeneralModelChangeEventType])
async def test_a_server_that_tells_of_new_nodes_is_asked_at_once_for_those_that_it_refused(monkeypatch, kind):
    monkeypatch.setattr(items, "FIRST_RETRY", 3600.0)
    plant, road = Plant(), Road()
    plant.known.remove("T1")
    async with plant.serve() as server:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec(server.port, "T0", "T1", events=True)])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].quality[0] == 0 and road.live["plc"].quality[1] >= 0x8000_0000)
            plant.known.add("T1")
            plant.tell(kind)
            await eventually(lambda: road.live["plc"].device.tags[1].type == "float64")
            await eventually(lambda: road.live["plc"].quality[1] == 0)


async def test_a_server_that_tells_what_means_something_else_now_is_asked_for_that_alone():
    plant, road = Plant(), Road()
    async with plant.serve() as server:
        acquirer = Acquirer(road, OneDriver(OpcUa), SystemClock())
        await acquirer.apply([spec(server.port, "T0", "T1", events=True)])
        async with running(acquirer.run()):
            await eventually(lambda: road.live["plc"].device.tags[1].type == "float64")
            await eventually(lambda: not road.live["plc"].quality.any())
            plant.kind = ua.VariantType.Int32
            of_no_tag = ua.SemanticChangeStructureDataType(Affected=ua.NodeId("Other", 2))
            plant.tell(ua.ObjectIds.SemanticChangeEventType, of_no_tag)
            await eventually(lambda: not plant.changes)
            asked = len(server.kinds("TranslateBrowsePathsToNodeIdsRequest"))
            plant.tell(
                ua.ObjectIds.SemanticChangeEventType,
                of_no_tag,
                ua.SemanticChangeStructureDataType(Affected=ua.NodeId("T1", 2)),
            )
            await eventually(lambda: road.live["plc"].device.tags[1].type == "int32")
            again = server.kinds("TranslateBrowsePathsToNodeIdsRequest")[asked]
            assert [path.StartingNode.Identifier for path in again.Parameters.BrowsePaths] == ["T1"]
