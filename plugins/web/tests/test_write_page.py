"""The form that writes to a tag."""

from typing import Any
from urllib.parse import quote

import pytest

from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import add
from plugins.web.tests.test_page import form_of, logged_in, send, text
from tests.app.plant import device

LIMITS = 'min = 0.0, max = 80.0, max_rate = "100/min"'
TAGS = f'[device.tags]\nset = {{ unit = "°C", write = true, {LIMITS} }}\nlevel = {{}}\n'
SET = "/write?device=press&tag=set"


async def ready(plant: Plant) -> None:
    """Both tags have been read."""
    await plant.site.answered("tags", lambda rows: sum(row["device"] == "press" and row["good"] for row in rows) == 2)


def writing(running: Running, more: str = "") -> Any:
    return running("", device("press", tags=TAGS).replace("[device.tags]", f"{more}[device.tags]"))


@pytest.fixture
def allowed(site: Any) -> None:
    site.gateway_line = "writes = true"


@pytest.mark.usefixtures("allowed")
async def test_a_value_is_asked_for_asked_again_written_and_audited(running: Running) -> None:
    async with writing(running) as plant:
        await ready(plant)
        add(plant, "erin", "engineer")
        erin = await logged_in(plant, "erin")
        form = await erin.get(SET)
        for said in ("Last read", "0 … 80 °C", "100 times in", "New value"):
            assert said in text(form), said
        assert f'href="{SET.replace("&", "&amp;")}"' in (await erin.get("/device?name=press")).body.decode()
        fields = {"form": form_of(form), "device": "press", "tag": "set", "value": "33.5", "reason": "<b>recipe"}
        question = await send(erin, "/write", **fields, step="ask")
        assert "Write 33.5 °C to press/set?" in text(question)
        assert "<b>recipe" not in question.body.decode()
        assert plant.site.bench.written == []
        answer = await send(erin, "/write", **fields)
        assert "Confirmed: the device took it" in text(answer)
        assert plant.site.bench.written == [("set", 33.5)]
        (record,) = [each for each in plant.site.audit() if each["action"] == "write"]
        assert (record["who"], record["why"], record["new"]) == ("erin (engineer)", "<b>recipe", 33.5)
        plant.site.bench.sticks = False
        assert "read back as another value" in text(await send(erin, "/write", **{**fields, "value": "40"}))


@pytest.mark.usefixtures("allowed")
async def test_what_is_refused_says_why_and_writes_nothing(running: Running) -> None:
    async with writing(running) as plant:
        await ready(plant)
        add(plant, "erin", "engineer")
        erin = await logged_in(plant, "erin")
        fields = {"form": form_of(await erin.get(SET)), "device": "press", "tag": "set", "value": "1", "reason": "x"}
        for changed, status, said in (
            ({"value": "99"}, 409, "outside 0 to 80"),
            ({"value": "nan"}, 400, "must be a number"),
            ({"value": "warm<b>"}, 400, "is no value for this tag"),
            ({"value": ""}, 400, "is no value for this tag"),
            ({"reason": ""}, 400, "reason"),
            ({"tag": "level"}, 409, "may not be written"),
            ({"tag": "none"}, 404, "There is no tag"),
            ({"device": "none"}, 404, "There is no tag"),
            ({"form": "x"}, 403, ""),
        ):
            answer = await send(erin, "/write", **{**fields, **changed})
            assert (answer.status, said in text(answer)) == (status, True), (changed, text(answer))
            assert "<b>" not in answer.body.decode()
        assert plant.site.bench.written == []


@pytest.mark.usefixtures("allowed")
async def test_only_who_may_sees_a_form_and_only_where_a_tag_may_be_written(running: Running) -> None:
    async with writing(running) as plant:
        await ready(plant)
        add(plant, "erin", "engineer")
        add(plant, "otto", "operator")
        erin, otto, anybody = await logged_in(plant, "erin"), await logged_in(plant, "otto"), plant.browser()
        assert "may not be written" in text(await erin.get("/write?device=press&tag=level"))
        for browser in (otto, anybody):
            page = await browser.get(SET)
            assert "Log in as an engineer to write" in text(page)
            assert 'name="value"' not in page.body.decode()
            assert "/write?" not in (await browser.get("/device?name=press")).body.decode()
        fields = {"device": "press", "tag": "set", "value": "1", "reason": "x"}
        assert (await send(anybody, "/write", **fields)).status == 401
        assert (await send(otto, "/write", **fields, form=form_of(await otto.get("/")))).status == 403
        assert (await anybody.get(f"/write?device=press&tag={quote('<script>')}")).status == 404
        assert plant.site.bench.written == []


async def test_where_writing_is_switched_off_the_gateway_refuses(running: Running) -> None:
    async with writing(running) as plant:
        await ready(plant)
        add(plant, "erin", "engineer")
        erin = await logged_in(plant, "erin")
        fields = {"form": form_of(await erin.get(SET)), "device": "press", "tag": "set", "value": "1", "reason": "x"}
        answer = await send(erin, "/write", **fields)
        assert (answer.status, "writing is switched off" in text(answer)) == (409, True)
