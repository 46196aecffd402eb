"""A server's history is read as it was recorded; what is odd about it costs nothing else, and nothing goes on for ever."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua

from gateway.plugin import DeviceError, quality
from plugins.opcua import OpcUa
from plugins.opcua.requests import recorded

from .bent import bent, fault
from .conftest import make_device

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = 1_000_000_000
FROM = int(BEGIN.timestamp()) * SECOND


def value(second: float, number: float | str = 1.0, status: str = "Good", sourced: bool = True) -> ua.DataValue:
    t = BEGIN + timedelta(seconds=second)
    code = ua.StatusCode(getattr(ua.StatusCodes, status))
    return ua.DataValue(ua.Variant(number), StatusCode=code, SourceTimestamp=t if sourced else None, ServerTimestamp=t)


class Past:
    """Answers with these pages, one after the other; the last one again and again where the server goes on for ever."""

    def __init__(self, *pages: list[ua.DataValue], endless: bool = False, status: str = "Good") -> None:
        self.pages, self._endless, self._status = pages, endless, status
        self.asked: list[ua.HistoryReadRequest] = []

    def __call__(self, asked: ua.HistoryReadRequest) -> ua.HistoryReadResponse:
        self.asked.append(asked)
        if asked.Parameters.ReleaseContinuationPoints:
            return ua.HistoryReadResponse(Results=[ua.HistoryReadResult()])
        point = asked.Parameters.NodesToRead[0].ContinuationPoint
        at = int(point) if point else 0
        more = at + 1 < len(self.pages) or self._endless
        page = self.pages[min(at, len(self.pages) - 1)] if self.pages else []
        code = ua.StatusCode(getattr(ua.StatusCodes, self._status))
        found = ua.HistoryReadResult(code, str(at + 1).encode() if more else None, ua.HistoryData(page))
        return ua.HistoryReadResponse(Results=[found])

    @property
    def released(self) -> int:
        return sum(each.Parameters.ReleaseContinuationPoints for each in self.asked)


async def read(
    answer: Callable[..., object], seconds: float = 3600, most: int = 10**6
) -> list[tuple[float, float, int]]:
    """Seconds since BEGIN, value and quality of what is told of a span."""
    async with bent(HistoryReadRequest=answer) as server:
        return await told(OpcUa([server.device()]), FROM, FROM + int(seconds * SECOND), most)


async def told(driver: OpcUa, from_ns: int, to_ns: int, most: int = 10**6) -> list[tuple[float, float, int]]:
    await driver.connect()
    try:
        rows: list[tuple[float, float, int]] = []
        history = driver.history(driver.devices[0].tags[0], from_ns, to_ns)
        async for block in history:
            assert block.device is driver.devices[0] and not block.own_time
            rows += zip(
                ((block.t_ns - FROM) / SECOND).tolist(), block.value.tolist(), block.quality.tolist(), strict=True
            )
            if len(rows) >= most:
                break
        await history.aclose()
        return rows
    finally:
        await driver.close()
        driver.release()


async def test_pages_are_joined_and_each_time_is_told_once_in_order():
    past = Past([value(2, 2.0), value(1, 1.0)], [value(2, 9.0), value(3, 3.0), value(3, 4.0)])
    assert await read(past) == [(1, 1.0, 0), (2, 2.0, 0), (3, 3.0, 0)]
    assert past.released == 0


async def test_bounds_times_outside_and_values_without_a_time_of_their_own_are_left_out():
    past = Past([
        value(-5), value(0, 0.0, "BadBoundNotFound"), value(1), value(2, 7.0, sourced=False), value(3600), value(10**7),
    ])  # fmt: skip
    assert await read(past) == [(1, 1.0, 0)]


async def test_a_status_is_handed_on_and_a_good_value_that_is_none_is_bad():
    past = Past([value(1, 1.0, "BadSensorFailure"), value(2, float("nan")), value(3, 3.0, "UncertainInitialValue")])
    first, second, third = await read(past)
    assert first[2] == quality.BAD_SENSOR_FAILURE and first[1] != first[1]
    assert second[2] == quality.BAD_SENSOR_FAILURE
    assert third[1:] == (3.0, 0x4092_0000)


@pytest.mark.parametrize("page", [[], [value(1)]])
async def test_a_point_to_go_on_from_that_never_ends_is_given_back_and_said(page):
    past = Past(page, endless=True)
    with pytest.raises(DeviceError, match="gives nothing more of it"):
        await read(past)
    assert past.released == 1
    assert len(past.asked) <= 2 * recorded.EMPTY_PAGES


async def test_who_has_enough_gives_the_point_back():
    past = Past([value(1)], [value(2)], [value(3)])
    assert await read(past, most=2) == [(1, 1.0, 0), (2, 1.0, 0)]
    assert past.released == 1


async def test_a_server_that_stops_at_the_number_asked_for_is_asked_on(monkeypatch):
    monkeypatch.setattr(recorded, "VALUES_AT_ONCE", 2)
    values = [value(second, float(second)) for second in range(5)]

    def answer(asked: ua.HistoryReadRequest) -> ua.HistoryReadResponse:
        begin = asked.Parameters.HistoryReadDetails.StartTime
        page = [each for each in values if each.SourceTimestamp >= begin][:2]
        return ua.HistoryReadResponse(Results=[ua.HistoryReadResult(HistoryData=ua.HistoryData(page))])

    assert [each for each, *_ in await read(answer)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("BadHistoryOperationUnsupported", "the server keeps no history of it"),
        ("BadUserAccessDenied", "may not read its history"),
        ("BadInvalidTimestampArgument", "refuses this span of time"),
        ("BadNoContinuationPoints", "has no room to go on"),
        ("BadInternalError", "BadInternalError"),
    ],
)
async def test_what_a_server_refuses_is_said_in_a_sentence(status, words):
    with pytest.raises(DeviceError, match=words):
        await read(Past([], status=status))


async def test_no_data_in_the_span_is_no_failure():
    assert await read(Past([], status="BadNoData")) == []


async def test_a_server_without_history_says_so():
    with pytest.raises(DeviceError, match=r"has no history \(Historical Access\)"):
        await read(lambda asked: fault("BadServiceUnsupported"))


async def test_what_a_real_server_recorded_is_read(serve):
    server = await serve("--history")
    driver = OpcUa([make_device(server.url, ["Count"])])
    rows: list[tuple[float, float, int]] = []
    until = time.monotonic() + 60
    while len(rows) < 20 and time.monotonic() < until:
        now = time.time_ns()
        rows = await told(OpcUa([make_device(server.url, ["Count"])]), now - 600 * SECOND, now)
    assert len(rows) >= 20
    numbers = [number for _, number, _ in rows]
    assert numbers == sorted(set(numbers)) and {code for *_, code in rows} == {0}
    assert [at for at, *_ in rows] == sorted({at for at, *_ in rows})
    middle = int((rows[10][0]) * SECOND) + FROM
    assert driver.devices[0].tags[0].name == "Count"
    assert await told(driver, middle - 2 * SECOND, middle - 2 * SECOND + 1) in ([], [rows[10]])
