"""A device's page, a tag's page with its trend, and the history behind it as JSON, CSV and Arrow."""

import csv
import importlib.util
import io
import json
import re
from html import escape, unescape
from urllib.parse import quote

import pytest

from plugins.web import document
from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.test_page import LIMIT, text
from plugins.web.views.trend import looked
from tests.app.plant import device

HISTORY = "/api/v1/history?device=oven&tags=temp&tags=speed"


async def kept(plant: Plant, readings: int) -> None:
    """Wait until so many stand in the log."""
    while (await plant.site.ask("history", device="oven", tags=["temp"]))[0]["readings"] < readings:
        await plant.more_is_read()


async def test_a_tags_page_shows_what_the_log_holds_and_what_happened(running: Running) -> None:
    async with running("", LIMIT) as plant:
        plant.site.bench.value = 99.0
        await plant.site.answered("alarms", lambda alarms: alarms)
        await kept(plant, 3)
        while not await plant.site.ask("events", device="oven"):
            await plant.more_is_read()
        page = await plant.browser().get("/trend?device=oven&tag=temp&tag=speed&span=15m")
        body, said = page.body.decode(), text(page)
        assert page.status == 200
        assert body.count("<svg") == 2
        assert "too high" in said
        assert 'class="mark warn"' in body, "the event is marked on the curve"
        assert "style=" not in body
        found = re.search(r'data-told="([^"]*)"', body)
        assert found
        told = json.loads(unescape(found[1]))
        assert (told["device"], told["tags"], told["live"]) == ("oven", ["temp", "speed"], True)
        assert told["to"] - told["from"] == 900_000
        for path in re.findall(r'(?:src|href)="(/static/[^"]*)"', body):
            got = await plant.browser().get(unescape(path))
            assert got.status == 200, path
        past = text(await plant.browser().get("/trend?device=oven&tag=temp&span=1h&to=86400000"))
        assert "Nothing of this time is kept" in past
        assert "later" in past


async def test_a_devices_page_shows_its_tags_and_leads_to_their_trend(running: Running) -> None:
    evil = 'a"<b>&'
    async with running("", device("press", tags=f"[device.tags]\n'{evil}' = {{}}\n")) as plant:
        page = await plant.browser().get("/device?name=press")
        body = page.body.decode()
        assert (page.status, "<b>" in body) == (200, False)
        assert 'action="/trend"' in body
        assert f'value="{escape(evil)}"' in body
        trend = await plant.browser().get(f"/trend?device=press&tag={quote(evil)}")
        assert (trend.status, "<b>" in trend.body.decode()) == (200, False)
        nothing = await plant.browser().get("/trend?device=press")
        assert (nothing.status, nothing.headers["location"]) == (303, "/device?name=press")
        for path in ("/device?name=none", "/device?name=%3Cscript%3E"):
            got = await plant.browser().get(path)
            assert (got.status, "<script>" in got.body.decode()) == (404, False)
        for path in ("/trend?device=none&tag=x", "/trend?device=press&tag=x"):
            assert (await plant.browser().get(path)).status in (400, 409)
        assert (await plant.browser().get("/device?name=oven", accept_language="ko")).status == 200


@pytest.mark.parametrize("odd", ["span=1y", "span=", "to=x", "to=-1", "to=99999999999999999999", "to=0", "from=1"])
def test_what_makes_no_sense_in_an_address_is_passed_over(odd: str) -> None:
    query = dict([odd.split("=")])
    asked = looked({"device": "oven", **query}, ["temp", "temp"], 10**12)
    assert asked.tags == ("temp",)
    assert asked.start < asked.to <= 10**12
    assert looked({}, [], 10**12).address().startswith("/trend?")


async def test_history_comes_as_json_csv_and_arrow(running: Running) -> None:
    async with running() as plant:
        await kept(plant, 3)
        told = (await plant.browser().get(HISTORY)).json()["items"]
        assert [(each["tag"], each["unit"]) for each in told] == [("temp", "°C"), ("speed", "")]
        assert len(told[0]["ts"]) == len(told[0]["values"]) >= 3
        table = await plant.browser().get(HISTORY, accept="text/csv")
        rows = list(csv.DictReader(io.StringIO(table.body.decode("utf-8-sig"))))
        assert {row["tag"] for row in rows} == {"temp", "speed"}
        assert {row["unit"] for row in rows if row["tag"] == "temp"} == {"°C"}
        assert rows[0]["time"].endswith("+00:00")
        arrow = await plant.browser().get(HISTORY, accept="application/vnd.apache.arrow.stream")
        if importlib.util.find_spec("pyarrow") is None:
            assert arrow.status == 406
        else:
            import pyarrow as pa

            found = pa.ipc.open_stream(arrow.body).read_all()
            assert found.column_names == ["time", "device", "tag", "value", "unit"]
            assert found.num_rows >= len(rows)
        few = (await plant.browser().get(f"{HISTORY}&points=2")).json()["items"]
        assert len(few[0]["ts"]) <= 2
        for wrong in (
            "points=1",
            "points=x",
            "from_ns=5&to_ns=5",
            "from_ns=x",
            "colour=red",
            "from_ns=-9&to_ns=9223372036854775807",
        ):
            for accept in ("application/json", "text/csv"):
                got = await plant.browser().get(f"{HISTORY}&{wrong}", accept=accept)
                assert got.status in (400, 409), wrong
        for wrong in ("device=oven", "tags=temp", "device=none&tags=x", "device=oven&tags=none"):
            assert (await plant.browser().get(f"/api/v1/history?{wrong}")).status in (400, 409), wrong


async def test_history_needs_a_login_where_looking_does(running: Running) -> None:
    async with running("login_to_look = true") as plant:
        for path in (HISTORY, "/device?name=oven", "/trend?device=oven&tag=temp"):
            for accept in ("text/html", "text/csv"):
                assert (await plant.browser().get(path, accept=accept)).status in (303, 401), path


def test_the_vendored_files_are_those_that_the_readme_names() -> None:
    import hashlib

    readme = (document.STATIC.parent / "README.md").read_text(encoding="utf-8")
    for name in ("uPlot.iife.min.js", "uPlot.min.css"):
        assert hashlib.sha256((document.STATIC / name).read_bytes()).hexdigest() in readme, name
    assert "MIT" in (document.STATIC / "uPlot.LICENSE").read_text(encoding="utf-8")
