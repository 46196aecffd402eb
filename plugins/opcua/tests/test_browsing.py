"""Browsing gives all that a server has, page by page; or says what is missing."""

import pytest
from asyncua import ua
from structlog.testing import capture_logs

from gateway.cli.browse import names
from gateway.config.devices import _wrong_name
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig
from plugins.opcua.requests import browsing, nodes

from .bent import bent, fault, reading

OBJECTS = 85


def variable(number: int, name: str | None = None) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(
        ReferenceTypeId=ua.NodeId(35),
        NodeId=ua.ExpandedNodeId(f"T{number}", 2),
        BrowseName=ua.QualifiedName(name or f"T{number}", 2),
        NodeClass=ua.NodeClass.Variable,
    )


class Folder:
    """Objects with some variables below it, told so many at a time."""

    def __init__(self, below: list[ua.ReferenceDescription], page: int, places: int = 10) -> None:
        self._below, self._page, self._places = below, page, places
        self.released: list[bytes] = []

    def _from(self, at: int) -> ua.BrowseResult:
        more = at + self._page < len(self._below)
        point = str(at + self._page).encode() if more else None
        return ua.BrowseResult(ContinuationPoint=point, References=self._below[at : at + self._page])

    def browse(self, asked: ua.BrowseRequest) -> ua.BrowseResponse:
        wanted = [each.NodeId.Identifier for each in asked.Parameters.NodesToBrowse]
        return ua.BrowseResponse(Results=[self._from(0) if each == OBJECTS else ua.BrowseResult() for each in wanted])

    def browse_next(self, asked: ua.BrowseNextRequest) -> ua.BrowseNextResponse:
        points = asked.Parameters.ContinuationPoints
        response = ua.BrowseNextResponse()
        if asked.Parameters.ReleaseContinuationPoints:
            self.released += points
            return response
        response.Parameters.Results = [self._from(int(point)) for point in points]
        return response

    def server(self, **more):
        return bent(
            **{"BrowseRequest": self.browse, "BrowseNextRequest": self.browse_next, "ReadRequest": reading({}), **more}
        )


async def browsed(server) -> tuple[list, list]:
    """What is offered, and what is said to be missing."""
    driver = OpcUa([server.device()])
    with capture_logs() as logs:
        await driver.connect()
        try:
            found = [each async for each in driver.browse()]
        finally:
            await driver.close()
            driver.release()
    missing = [told.description for address, told in found if not address]
    assert missing == [log["missing"] for log in logs if "missing" in log]
    return [each for each in found if each[0]], missing


@pytest.mark.parametrize("page", [1, 10, 24, 25])
async def test_a_folder_is_browsed_page_by_page(page):
    async with Folder([variable(number) for number in range(25)], page).server() as server:
        found, missing = await browsed(server)
    assert [each.path for _, each in found] == [f"T{number}" for number in range(25)]
    assert missing == []


async def test_a_folder_that_never_ends_is_cut_and_its_place_released(monkeypatch):
    monkeypatch.setattr(browsing, "MOST_REFERENCES", 50)
    folder = Folder([variable(number) for number in range(1000)], 10)
    async with folder.server() as server:
        found, missing = await browsed(server)
    assert len(found) == 50
    assert folder.released == [b"50"]
    assert missing == ["nodes with more below them than is looked at: 1"]


async def test_pages_with_nothing_in_them_end():
    def empty(asked):
        response = ua.BrowseNextResponse()
        response.Parameters.Results = [ua.BrowseResult(ContinuationPoint=b"more")]
        return response

    async with Folder([variable(number) for number in range(20)], 10).server(BrowseNextRequest=empty) as server:
        found, missing = await browsed(server)
        assert len(server.kinds("BrowseNextRequest")) <= browsing.EMPTY_PAGES + 1
    assert len(found) == 10
    assert missing


async def test_nodes_beyond_a_number_are_left_out_and_that_is_said(monkeypatch):
    monkeypatch.setattr(nodes, "MOST_NODES", 12)
    async with Folder([variable(number) for number in range(25)], 10).server() as server:
        found, missing = await browsed(server)
    assert len(found) == 10
    assert missing == ["nodes beyond 12: 15"]


async def test_what_the_server_refuses_to_tell_is_said():
    folder = Folder([variable(number) for number in range(3)], 10)

    def browse(asked):
        answer = folder.browse(asked)
        for node, result in zip(asked.Parameters.NodesToBrowse, answer.Results, strict=True):
            if node.NodeId.Identifier == "T1":
                result.StatusCode = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return answer

    async with folder.server(BrowseRequest=browse) as server:
        found, missing = await browsed(server)
    assert len(found) == 3
    assert missing == ["nodes below which the server does not say what there is (BadUserAccessDenied): 1"]


async def test_a_server_without_places_to_go_on_from_is_asked_node_by_node():
    folder = Folder([variable(number) for number in range(3)], 10)
    asked_together = []

    def browse(asked):
        answer = folder.browse(asked)
        if len(answer.Results) > 1:
            asked_together.append(len(answer.Results))
            answer.Results[1].StatusCode = ua.StatusCode(ua.StatusCodes.BadNoContinuationPoints)
        return answer

    async with folder.server(BrowseRequest=browse) as server:
        found, missing = await browsed(server)
    assert (len(found), missing) == (3, [])
    assert asked_together


async def test_a_server_that_bears_few_nodes_at_a_time_is_browsed_all_the_same():
    folder = Folder([variable(number) for number in range(9)], 4)

    def browse(asked):
        return fault("BadTooManyOperations") if len(asked.Parameters.NodesToBrowse) > 2 else folder.browse(asked)

    async with folder.server(BrowseRequest=browse) as server:
        found, missing = await browsed(server)
    assert (len(found), missing) == (9, [])


async def test_whatever_names_a_server_gives_what_is_printed_can_be_used_as_it_is():
    odd = [
        "line\nfeed",
        *["x" * 300] * 2,
        "latin \udce9",
        "\x1b[2J",
        "a/b+c#",
        "",
        " ",
        "ok",
        "zero\u200bwidth",
        "\u202eback",
    ]
    async with Folder([variable(number, name) for number, name in enumerate(odd)], 3).server() as server:
        found, missing = await browsed(server)
    assert missing == []
    for name, (address, what) in zip(names(found), found, strict=True):
        assert NodeConfig.model_validate({"address": address})
        assert _wrong_name(name) == ""
        assert name.encode()
        assert "\n" not in what.path
