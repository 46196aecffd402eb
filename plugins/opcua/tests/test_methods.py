"""Methods of a real server: found by name, called with arguments of the types that it tells, refused in plain words."""

import pytest
from asyncua import ua

from gateway.plugin import DeviceError
from plugins.opcua import OpcUa
from plugins.opcua.requests.methods import as_argument
from tests.peers.opcua_servers import NAMESPACE

from .conftest import make_device

TANK = f"nsu={NAMESPACE};s=Tank"
METHODS = {"tank": {"object": TANK, "allow": ["Fill", "Name", "Jam", "Empty", f"nsu={NAMESPACE};s=Tank.Fill"]}}
KIND = ua.VariantType


@pytest.fixture(scope="module")
def kind():
    return "node-opcua"


@pytest.fixture
async def driver(kind, serve):
    peer = await serve("--alarms")
    driver = OpcUa([make_device(peer.url, ["Double"], methods=METHODS, timeout="25s")])
    await driver.connect()
    yield driver
    await driver.close()
    driver.release()


async def call(driver, method, *arguments, target="tank"):
    return await driver.call(driver.devices[0], target, method, arguments)


@pytest.mark.timeout(300)  # the first run installs node-opcua
class TestCalling:
    async def test_a_method_is_called_by_name_and_its_results_have_their_names(self, driver):
        assert await call(driver, "Fill", 2.5, 4) == [("total", 10.0)]

    async def test_a_method_is_called_by_its_node_id(self, driver):
        assert await call(driver, f"nsu={NAMESPACE};s=Tank.Fill", 1, 3) == [("total", 3.0)]

    async def test_an_argument_may_be_a_list(self, driver):
        assert await call(driver, "Name", ["Boiler", "süd"]) == [("name", "Boiler süd")]

    @pytest.mark.parametrize(
        ("method", "arguments", "says"),
        [
            ("Fill", [1], r"Fill wants volume \(Double\), times \(UInt16\); 1 given"),
            ("Name", [], r"Name wants text \(a list of String\); 0 given"),
            ("Fill", ["full", 1], "volume: wants a number, not 'full'"),
            ("Fill", [1, 70000], "times: wants an integer from 0 to 65535, not 70000"),
            ("Fill", [1, [1]], r"times: wants one value, not \[1\]"),
            ("Name", ["Boiler"], r"text: wants a list such as \[1, 2\], not 'Boiler'"),
            ("Jam", [], r"not possible in the state that the device is in \(BadInvalidState\)"),
            ("Empty", [], 'the object has no method "Empty"; it has: Fill, Name, Jam, Hidden'),
        ],
    )
    async def test_what_does_not_fit_or_is_refused_is_said(self, driver, method, arguments, says):
        with pytest.raises(DeviceError, match=says):
            await call(driver, method, *arguments)

    async def test_an_object_that_is_not_there_is_said(self, driver):
        device = make_device(
            driver.config.url, ["Double"], methods={"tank": {"object": "ns=2;s=Nowhere", "allow": ["Fill"]}}
        )
        driver.config = device.config
        with pytest.raises(DeviceError, match='no method "Fill"; it has: none'):
            await call(driver, "Fill", 1, 1)


def test_only_what_the_configuration_names_may_be_called():
    assert OpcUa.methods(make_device("opc.tcp://h", ["a"], methods=METHODS).config) == {
        "tank": tuple(METHODS["tank"]["allow"])
    }
    assert OpcUa.methods(make_device("opc.tcp://h", ["a"]).config) == {}


@pytest.mark.parametrize(
    ("value", "kind", "is_list", "becomes"),
    [
        (3, KIND.Int16, False, 3),
        (3.0, KIND.UInt32, False, 3),
        (True, KIND.Boolean, False, True),
        ("a", KIND.String, False, "a"),
        ([1, 2], KIND.Double, True, [1.0, 2.0]),
        ([], KIND.Int32, True, []),
    ],
)
def test_arguments_become_what_the_server_wants(value, kind, is_list, becomes):
    variant = as_argument(value, kind, is_list=is_list)
    assert (variant.Value, variant.VariantType, variant.is_array) == (becomes, kind, is_list)


@pytest.mark.parametrize(
    ("value", "kind", "is_list"),
    [(1.5, KIND.Int16, False), (2, KIND.Boolean, False), ([[1]], KIND.Int16, True), ("x", KIND.Variant, False)],
)
def test_arguments_that_do_not_fit_are_refused(value, kind, is_list):
    with pytest.raises(ValueError, match=r"wants|not written"):
        as_argument(value, kind, is_list=is_list)
