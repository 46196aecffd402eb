"""Addresses by names, which stay right whatever ids the server gives its nodes."""

import pytest
from asyncua import ua

from gateway.plugin import quality
from plugins.opcua import OpcUa
from plugins.opcua.address import NamePath, parse_place
from plugins.opcua.config import NodeConfig

from .bent import bent, reading
from .conftest import make_device, streaming
from .test_browsing import OBJECTS, variable

SERVED = {"by_name": {"address": "path=Plant/Double"}, "lost": {"address": "path=Plant/Nothing"}}


@pytest.mark.parametrize(
    "text", ["path=", "path=/Plant", "path=Plant//Double", "path=Plant/", "path=" + "a/" * 100 + "b"]
)
def test_a_path_has_a_name_in_each_step(text):
    with pytest.raises(ValueError, match="as browse shows them"):
        NodeConfig.model_validate({"address": text})


def test_a_path_reads_back_as_it_is_written():
    assert parse_place("path=Plant/Line 1/Δp=2") == NamePath(("Plant", "Line 1", "Δp=2"))
    assert str(parse_place("path=Plant/Line 1")) == "path=Plant/Line 1"


@pytest.mark.parametrize("acquisition", ["subscribe", "poll"])
async def test_a_tag_by_path_is_read_whatever_the_indexes(serve, kind, acquisition):
    server = await serve(*(["--shift"] if kind == "node-opcua" else []))
    async with streaming(make_device(server.url, SERVED, acquisition=acquisition)) as collector:
        await collector.until(lambda: collector.values("by_name") and collector.rows("lost"))
    assert collector.values("by_name")[0] == 2.25
    assert {code for *_, code in collector.rows("lost")} == {quality.BAD_NODE_ID_UNKNOWN}


async def test_a_path_that_fits_two_nodes_is_none():
    twins = [variable(1, "Twin"), variable(2, "Twin"), variable(3, "Alone"), variable(3, "Alone")]

    def browse(asked: ua.BrowseRequest) -> ua.BrowseResponse:
        wanted = [each.NodeId.Identifier for each in asked.Parameters.NodesToBrowse]
        return ua.BrowseResponse(
            Results=[ua.BrowseResult(References=twins) if each == OBJECTS else ua.BrowseResult() for each in wanted]
        )

    async with bent(BrowseRequest=browse, ReadRequest=reading({})) as server:
        driver = OpcUa([server.device()])
        await driver.connect()
        try:
            session = driver._open()
            from plugins.opcua.requests.ways import find_ways

            await find_ways(session, [NamePath(("Twin",)), NamePath(("Alone",)), NamePath(("Alone", "Below"))])
        finally:
            await driver.close()
            driver.release()
    assert session.node_id(NamePath(("Alone",))) == ua.NodeId("T3", 2)
    assert session.node_id(NamePath(("Twin",))) is None
    assert "2 nodes that are named" in session.why_none(NamePath(("Twin",)))
    assert 'nothing that is named "Below" below Alone' in session.why_none(NamePath(("Alone", "Below")))
