"""Objects of companion types are found on a server of another make, and offered as tags without a node id."""

import re

import pytest
from asyncua import ua

from gateway.plugin import Search
from plugins.opcua import OpcUa
from plugins.opcua.companions import recognise, tree
from plugins.opcua.companions.models import COMPANIONS, WITHIN
from plugins.opcua.config import NodeConfig
from plugins.opcua.values.units import code_of, ours
from tests.peers.opcua_servers import require_node_opcua

from .bent import bent, fault, reading
from .conftest import make_device, streaming

AXIS = "Cells/Robot/MotionDevices/Arm/Axes"
LAB = "Cells/Incubator/FunctionalUnitSet/Chamber/FunctionSet"
FOUND = {
    f"{AXIS}/Axis_1/ParameterSet/ActualPosition": ("float64", "°", ""),
    f"{AXIS}/Axis_1/ParameterSet/ActualSpeed": ("float64", "°/s", ""),
    f"{AXIS}/Axis_2/ParameterSet/ActualPosition": ("float64", "°", ""),
    f"{AXIS}/Axis_2/ParameterSet/ActualSpeed": ("float64", "furlong", ""),
    "Cells/Robot/MotionDevices/Arm/PowerTrains/Train_1/Motor/ParameterSet/MotorTemperature": ("float64", "°C", ""),
    "Cells/Robot/SafetyStates/Safety/ParameterSet/OperationalMode": ("int32", "", "state"),
    "Cells/Robot/Controllers/Cabinet/SystemOperation/SystemOperationStateMachine/CurrentState": ("string", "", "state"),
    "Cells/Incubator/DeviceHealth": ("int32", "", "state"),
    "Cells/Incubator/DeviceState/CurrentState": ("string", "", "state"),
    f"{LAB}/Humidity/SensorValue": ("float64", "", ""),
    f"{LAB}/Heater/TargetValue": ("float64", "", ""),
    f"{LAB}/Door/SensorValue": ("uint32", "", "state"),
    "Cells/Packer/Status/CurMachSpeed": ("float32", "", ""),
    "Cells/Packer/BaseStateMachine/MachineState/ExecuteState/CurrentState": ("string", "", "state"),
    "Cells/pH-1/DeviceHealth": ("int32", "", "state"),
    "Cells/pH-1/SignalSet/Acidity/AnalogSignal": ("float32", "pH", ""),
    "Cells/Camera/VisionStateMachine/CurrentState": ("string", "", "state"),
    "Cells/Camera/SafetyStateManagement/VisionSafetyTriggered": ("bool", "", ""),
    "Cells/Jobs/CurrentState": ("string", "", "state"),
}
"""Of each model some members: type, unit, role."""


@pytest.fixture
def kind():
    require_node_opcua()
    return "node-opcua"


async def offered(device):
    """What is offered, by path, and what is said to be missing."""
    driver = OpcUa([device])
    await driver.connect()
    try:
        found = [each async for each in driver.browse_types()]
    finally:
        await driver.close()
        driver.release()
    return {what.path: (address, what) for address, what in found if address}, [
        what.description for address, what in found if not address
    ]


async def test_each_model_is_recognised_with_units_states_and_words(serve):
    server = await serve("--companions")
    found, missing = await offered(make_device(server.url, []))
    assert {path: (what.type, what.unit, what.role) for path, (_, what) in found.items() if path in FOUND} == FOUND
    assert all(address == f"path={path}" for path, (address, _) in found.items())
    assert {what.group.partition(" ")[0] for _, what in found.values()} >= {"Robotics", "LADS", "PackML", "PA-DIM"}
    said = {path: what.description for path, (_, what) in found.items()}
    assert "(0 closed, 1 open)" in said[f"{LAB}/Door/SensorValue"]
    assert "4 MAINTENANCE_REQUIRED" in said["Cells/pH-1/DeviceHealth"]
    assert "[0112/2///61987#ABA563#001]" in said["Cells/pH-1/SignalSet/Acidity/AnalogSignal"]
    arm = found[f"{AXIS}/Axis_1/MotionProfile"][1].group
    assert arm == "Robotics MotionDeviceType Cells/Robot/MotionDevices/Arm: Arms & Co, A6, serial number S-4711"
    assert found["Cells/pH-1/DeviceHealth"][1].group.startswith("PA-DIM PhMeterType")
    (what,) = missing
    assert "ParameterSet/EmergencyStop of Cells/Robot/SafetyStates/Broken" in what
    assert "ParameterSet/ActualPosition of Cells/Bare" in what


async def test_what_is_offered_is_read_after_a_restart_with_other_indexes_and_ids(serve):
    server = await serve("--companions")
    found, _ = await offered(make_device(server.url, []))
    tags = {f"t{row}": {"address": address} for row, (address, _) in enumerate(found.values())}
    for options in tags.values():
        NodeConfig.model_validate(options)
    shifted = await serve("--companions", "--shift")
    position = next(
        name for name, each in tags.items() if each["address"].endswith("Axis_1/ParameterSet/ActualPosition")
    )
    async with streaming(make_device(shifted.url, tags)) as collector:
        await collector.until(lambda: all(collector.rows(name) for name in tags))
        assert collector.values(position)[-1] == 12.5
        await shifted.order(member=f"{AXIS}/Axis_1/ParameterSet/ActualPosition".removeprefix("Cells/"), value=13.5)
        await collector.until(lambda: collector.values(position)[-1] == 13.5)
    before, after = [await node_ids(url, tags) for url in (server.url, shifted.url)]
    assert before != after


async def node_ids(url, tags):
    driver = OpcUa([make_device(url, tags)])
    await driver.connect()
    try:
        return [str(each) for each in driver._open().ways.values()]
    finally:
        await driver.close()
        driver.release()


async def test_a_named_server_is_asked_for_its_types_when_it_is_discovered(serve):
    server = await serve("--companions")

    async def turn():
        pass

    place = Search(turn, host="127.0.0.1", ports=[server.port], timeout=10)
    (plain,) = [each async for each in OpcUa.discover(place)]
    assert not plain.offers
    named = Search(turn, host="127.0.0.1", ports=[server.port], timeout=10, named=True)
    (found,) = [each async for each in OpcUa.discover(named)]
    assert FOUND.keys() <= {what.path for _, what in found.offers}
    assert any("Axis" not in said and "Bare" in said for said in found.about)


async def test_a_server_that_tells_nothing_unprotected_is_not_asked(serve):
    server = await serve("--security", "Basic256Sha256")

    async def turn():
        pass

    named = Search(turn, host="127.0.0.1", ports=[server.port], timeout=10, named=True)
    (found,) = [each async for each in OpcUa.discover(named)]
    assert not found.offers
    assert "browse --types" in found.about[-1]


async def test_a_server_without_companions_offers_nothing(serve):
    server = await serve()
    assert await offered(make_device(server.url, [])) == ({}, [])


def instances(count: int, *, subtypes_in_a_circle: bool = False):
    """A server with so many axes below Objects, none of which has a position."""
    nothing = ua.NodeId()
    axis, base = ua.NodeId("AxisType", 1), ua.NodeId("Base", 1)

    def browse(asked: ua.BrowseRequest) -> ua.BrowseResponse:
        return ua.BrowseResponse(Results=[below(each) for each in asked.Parameters.NodesToBrowse])

    def below(asked: ua.BrowseDescription) -> ua.BrowseResult:
        if asked.BrowseDirection == ua.BrowseDirection.Inverse:
            top = {axis: base, base: axis}.get(asked.NodeId) if subtypes_in_a_circle else None
            return ua.BrowseResult(References=[reference(top, "Base", 45)] if top else [])
        if asked.NodeId == ua.NodeId(ua.ObjectIds.ObjectsFolder):
            return ua.BrowseResult(
                References=[reference(ua.NodeId(f"A{row}", 1), f"A{row}", 35, axis) for row in range(count)]
            )
        return ua.BrowseResult(References=[reference(ua.NodeId(ua.ObjectIds.ObjectsFolder), "Back", 35)])

    def reference(node: ua.NodeId, name: str, kind: int, type_: ua.NodeId = nothing) -> ua.ReferenceDescription:
        return ua.ReferenceDescription(
            ReferenceTypeId=ua.NodeId(kind), NodeId=ua.ExpandedNodeId(node.Identifier, node.NamespaceIndex),
            BrowseName=ua.QualifiedName(name, 1), NodeClass=ua.NodeClass.Object, TypeDefinition=type_,
        )  # fmt: skip

    return bent(BrowseRequest=browse, ReadRequest=reading({}))


@pytest.mark.parametrize("circle", [False, True])
async def test_circles_of_nodes_and_of_types_end(circle):
    async with instances(30, subtypes_in_a_circle=circle) as server:
        assert await offered(server.device()) == ({}, [])


async def test_thousands_of_instances_without_their_members_are_counted(monkeypatch):
    monkeypatch.setattr(recognise, "lineages", axis_lineage)
    async with instances(3000) as server:
        found, (missing,) = await offered(server.device())
    assert not found
    assert re.fullmatch(
        r"members that their types demand: (ParameterSet/ActualPosition of A\d+, ){9}.* and 2990 more", missing
    )


async def axis_lineage(session, types):
    return {each: [("http://opcfoundation.org/UA/Robotics", "AxisType")] for each in types if not each.is_null()}


async def test_more_nodes_than_are_looked_at_are_said(monkeypatch):
    monkeypatch.setattr(tree, "MOST_NODES", 100)
    async with instances(300) as server:
        _, missing = await offered(server.device())
    assert missing == ["nodes beyond 100: 202"]


async def test_a_server_that_cannot_be_browsed_says_so():
    async with bent(BrowseRequest=lambda asked: fault("BadServiceUnsupported"), ReadRequest=reading({})) as server:
        with pytest.raises(Exception, match="BadServiceUnsupported"):
            await offered(server.device())


def test_units_go_by_their_codes():
    degrees = ua.EUInformation(UnitId=4408652, DisplayName=ua.LocalizedText("deg C"))
    assert (code_of(degrees), ours(degrees)) == ("CEL", "°C")
    assert ours(ua.EUInformation(UnitId=17476)) == "°"
    unknown = ua.EUInformation(NamespaceUri="urn:own", UnitId=4408652, DisplayName=ua.LocalizedText("furlong\n"))
    assert (code_of(unknown), ours(unknown)) == ("", "furlong")
    assert ours(ua.EUInformation(UnitId=-1)) == ours(ua.EUInformation(UnitId=1)) == ""


def test_what_is_declared_is_written_as_paths():
    for companion in (*COMPANIONS, WITHIN):
        assert all(not uri.endswith("/") for uri in companion.uris)
        for members in companion.types.values():
            paths = f"{members.needed} {members.optional}".split()
            assert len(set(paths)) == len(paths)
            assert all(re.fullmatch(r"\w+(/\w+)*", path) for path in paths)
