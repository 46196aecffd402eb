"""Did we lose anything yesterday? As the page answers it."""

import re
from typing import Any

import pytest

from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.test_page import text
from plugins.web.views.receipts import Account, Day, day_of, receipts_page
from plugins.web.words import Words
from tests.app.plant import device

HOUR = 3_600_000
NOW = 1_800_100_000_000
DAY = day_of({}, NOW)


def receipt(hour: int, device: str = "oven", **changes: Any) -> dict[str, Any]:
    """Of an hour of that day."""
    start = DAY.start + hour * HOUR
    whole = {
        "device": device, "hour": f"hour {hour}", "from": start, "to": start + HOUR, "records": 1, "read": 100,
        "readings": 100, "not_accepted": 0, "missed_polls": 0, "gaps": [], "interrupted": False, "incomplete": False,
        "revision": 1, "final": True, "sinks": {"central": {"acknowledged": 100, "pending": 0, "dropped": {}}},
    }  # fmt: skip
    return {**whole, **changes}


def whole_day(**odd: dict[str, Any]) -> list[dict[str, Any]]:
    """All 24 hours; `odd`: changes by hour, such as h7."""
    return [receipt(hour, **odd.get(f"h{hour}", {})) for hour in range(24)]


def said(receipts: list[dict[str, Any]], day: Day = DAY) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", receipts_page(Words("en"), day, receipts, ["oven"])))


def test_it_says_that_nothing_was_lost_only_where_all_is_known() -> None:
    assert "Nothing of what was accepted is lost" in said(whole_day())
    assert "Nobody knows" in said([])
    missing = said(whole_day()[:5] + whole_day()[6:])
    assert "Nothing of what was accepted is lost" not in missing
    assert "Not all of the day is known of oven" in missing
    for odd in ("interrupted", "incomplete"):
        assert "Nothing of what was accepted is lost" not in said(whole_day(h3={odd: True}))


def test_what_is_lost_is_counted_with_its_reason() -> None:
    dropped = {"central": {"acknowledged": 60, "pending": 0, "dropped": {"expired": 40}}}
    told = said(whole_day(h3={"sinks": dropped}, h4={"not_accepted": 5}))
    assert "45 readings are lost" in told
    assert "central: 40 (expired)" in told
    assert "5 not accepted" in told
    waits = {"central": {"acknowledged": 90, "pending": 10, "dropped": {}}}
    assert "10 readings still wait" in said(whole_day(h23={"sinks": waits, "final": False}))


def test_gaps_are_told_with_their_reasons_and_are_no_loss() -> None:
    gap = {"reason": "offline: <b>no answer", "from": DAY.start + HOUR, "to": DAY.start + HOUR + 60_000}
    page = receipts_page(Words("ko"), DAY, whole_day(h1={"gaps": [gap]}), ["oven"])
    assert "offline: &lt;b&gt;no answer" in page
    assert "Nothing of what was accepted is lost" in said(whole_day(h1={"gaps": [gap]}))
    assert "1 m" in said(whole_day(h1={"gaps": [gap]}))


def test_a_device_is_looked_at_hour_by_hour() -> None:
    told = said(whole_day(), Day(DAY.date, "oven", NOW))
    assert told.count("final") == 24
    assert "--verify" in told
    assert '--device "oven"' in told.replace("&quot;", '"')


@pytest.mark.parametrize("odd", ["", "x", "9999-99-99", "9999-12-31", "0001-01-01", "2027-1-1", "\x00"])
def test_an_odd_day_is_one_that_there_is(odd: str) -> None:
    day = day_of({"day": odd}, NOW)
    assert day.start <= day.end <= NOW or day.start == day.end
    assert Account("oven", day, []).lost == 0


async def test_it_is_asked_of_the_running_gateway(running: Running) -> None:
    async def today(plant: Plant, query: str = "") -> str:
        return text(await plant.browser().get(f"/receipts?day=9999-01-01{query}"))

    async with running("", device("press")) as plant:
        while "central:" not in (told := await today(plant)):
            await plant.more_is_read()
        assert "press" in told
        assert "the hour is not over" in await today(plant, "&device=oven")
        assert "press" not in (await today(plant, "&device=oven")).partition("How to check")[0]
        assert (await plant.browser().get("/receipts?device=%3Cb%3E")).body.count(b"<b>") == 0
        assert "데이터 증빙" in text(await plant.browser().get("/receipts", accept_language="ko"))
    async with running("login_to_look = true") as plant:
        assert (await plant.browser().get("/receipts")).headers["location"] == "/login"
