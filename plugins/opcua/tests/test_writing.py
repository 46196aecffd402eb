"""Writing to real servers, and what a value becomes before it is sent."""

import math

import pytest
from asyncua import ua

from gateway.plugin import DeviceError
from plugins.opcua import OpcUa
from plugins.opcua.requests.writing import as_variant

from .conftest import make_device, streaming

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("patient")]  # the first run installs node-opcua

V = ua.VariantType


async def test_a_written_value_comes_back_by_the_subscription(serve):
    peer = await serve()
    device = make_device(peer.url, ["Setpoint", "Words"])
    tags = {tag.name: tag for tag in device.tags}
    async with streaming(device) as collector:
        await collector.until(lambda: collector.rows("Setpoint"))
        await collector.driver.write(tags["Setpoint"], 77)
        await collector.driver.write(tags["Words"], "grün")
        await collector.until(lambda: 77.0 in collector.values("Setpoint") and "grün" in collector.values("Words"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ReadOnly", 2.0, r"ReadOnly: .*\(Bad(NotWritable|UserAccessDenied)\)"),
        ("Nothing", 2.0, "BadNodeIdUnknown"),
        ("Setpoint", "high", "Setpoint: wants a number"),
        ("Array", 1.0, "arrays are not written"),
    ],
)
async def test_a_refused_write_says_why(serve, name, value, told):
    peer = await serve()
    device = make_device(peer.url, [name])
    driver = OpcUa([device])
    await driver.connect()
    with pytest.raises(DeviceError, match=told):
        await driver.write(device.tags[0], value)
    await driver.close()


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [(V.Int16, 5.0, 5), (V.Byte, True, 1), (V.Boolean, 1.0, True), (V.Float, 3, 3.0), (V.String, "x", "x"),
     (V.UInt64, 2**64 - 1, 2**64 - 1), (V.ByteString, "ab", b"ab")],
)  # fmt: skip
def test_a_value_takes_the_type_of_its_node(kind, value, sent):
    found = as_variant(value, ua.Variant(ua.get_default_value(kind), kind))
    assert (found.Value, found.VariantType) == (sent, kind)
    assert type(found.Value) is type(sent)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(V.Int16, 40000), (V.Int16, 1.5), (V.UInt32, -1), (V.Boolean, 2), (V.Boolean, "on"), (V.Double, "1"),
     (V.String, 1), (V.Int32, "1"), (V.Int32, math.inf), (V.Int32, math.nan), (V.NodeId, "i=1")],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(kind, value):
    with pytest.raises(ValueError, match=r"\S"):
        as_variant(value, ua.Variant(ua.get_default_value(kind), kind))
