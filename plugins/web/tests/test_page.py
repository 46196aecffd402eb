"""The page as a browser without JavaScript gets it."""

import re
from urllib.parse import urlencode

import pytest

from plugins.web import document
from plugins.web import page as page_module
from plugins.web.html import Html, tag
from plugins.web.tests.browser import Answer, Browser
from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import PASSWORD, add
from plugins.web.views.upkeep import MATTERS
from plugins.web.words import WORDS, Words, language_of
from tests.app.plant import device

LIMIT = '[[alarm]]\nname = "too high"\ndevices = ["oven"]\ntag = "temp"\nhigh = 50.0\nseverity = "warning"\n'


def text(answer: Answer) -> str:
    """What a person reads of it."""
    body = re.sub(r"<[^>]+>", " ", answer.body.decode())
    return re.sub(r"\s+", " ", body)


async def send(browser: Browser, path: str, **fields: str) -> Answer:
    """A form."""
    return await browser.ask("POST", path, urlencode(fields).encode(), content_type="application/x-www-form-urlencoded")


async def logged_in(plant: Plant, name: str) -> Browser:
    browser = plant.browser()
    answer = await send(browser, "/login", name=name, password=PASSWORD)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    return browser


def form_of(answer: Answer) -> str:
    found = re.search(r'name="form" value="([^"]+)"', answer.body.decode())
    assert found, answer.body
    return found[1]


async def test_it_says_first_whether_all_is_well(running: Running) -> None:
    async with running() as plant:
        while "All is well" not in (said := text(await plant.browser().get("/"))):
            await plant.more_is_read()
        assert "central" in said
        assert "oven" in said
        plant.site.bench.connecting.clear()
        plant.site.bench.lost.add("oven")
        while "device oven down" not in (said := text(await plant.browser().get("/"))):
            await plant.browser().get("/healthz")
        assert "One thing to look at" in said
        assert said.index("to look at") < said.index("device oven down") < said.index("Is data leaving?")
        plant.site.bench.connecting.set()


async def test_it_needs_nothing_from_elsewhere_and_no_script_within(running: Running) -> None:
    async with running() as plant:
        answer = await plant.browser().get("/")
        body = answer.body.decode()
        sources = re.findall(r'(?:src|href)="([^"]*)"', body)
        assert all(each.startswith(("/", "#")) and not each.startswith("//") for each in sources), sources
        assert "style=" not in body
        assert not re.search(r"<script[^>]*>[^<]", body)
        for name in ("page.css", "page.js"):
            (path,) = (each for each in sources if name in each)
            got = await plant.browser().get(path)
            assert got.status == 200
            assert "immutable" in got.headers["cache-control"] or "max-age" in got.headers["cache-control"]


async def test_what_comes_from_outside_forges_nothing(running: Running) -> None:
    evil = "<script>alert(1)</script>"
    async with running("", device("a'&<b>", tags=f'[device.tags]\n"{evil}" = {{ unit = "<i>" }}\n')) as plant:
        while evil not in {row["tag"] for row in await plant.site.ask("tags")}:
            await plant.more_is_read()
        body = (await plant.browser().get("/?q=%22%3E%3Cscript%3E&from=0")).body.decode()
        body += (await plant.browser().get("/")).body.decode() + str((await plant.browser().get("/parts")).json())
        assert "<script>" not in body
        assert "<b>" not in body
        assert "<i>" not in body
        assert "&lt;script&gt;alert(1)" in body


async def test_tags_are_searched_and_paged(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "ROWS", 3)
    tags = "[device.tags]\n" + "".join(f"number-{number} = {{}}\n" for number in range(7))
    async with running("", device("press", tags=tags)) as plant:
        while len(await plant.site.ask("tags")) < 9:
            await plant.more_is_read()
        said = (await plant.browser().get("/?q=NUMBER-3")).body.decode()
        assert "1 of 1 shown" in said
        path, seen = "/?q=press", set()
        while path:
            body = (await plant.browser().get(path)).body.decode()
            seen |= set(re.findall(r'data-tag="([^"]+)"', body))
            more = re.search(r'href="([^"]+)#tags">Next page', body)
            path = more[1].replace("&amp;", "&") if more else ""
        assert len(seen) == 7
        assert body.count("data-age=") == body.count("data-tag=") > 0, "the script looks for both"
        assert "Nothing found" in text(await plant.browser().get("/?q=nothing-like-it"))


async def test_an_alarm_is_acknowledged_and_shelved_by_who_may(running: Running) -> None:
    async with running("", LIMIT) as plant:
        add(plant, "kim", "operator")
        add(plant, "vera", "viewer")
        plant.site.bench.value = 99.0
        while not await plant.site.ask("alarms"):
            await plant.more_is_read()
        (alarm,) = await plant.site.ask("alarms")
        anybody = await plant.browser().get("/")
        assert "too high" in text(anybody)
        assert "<button>Acknowledge" not in anybody.body.decode()
        vera = await logged_in(plant, "vera")
        page = await vera.get("/")
        assert "<button>Acknowledge" not in page.body.decode()
        assert (await send(vera, "/acknowledge", form=form_of(page), alarm=alarm["event"], comment="")).status == 403
        kim = await logged_in(plant, "kim")
        form = form_of(await kim.get("/"))
        assert (await send(kim, "/acknowledge", form="wrong", alarm=alarm["event"], comment="")).status == 403
        assert (await send(plant.browser(), "/acknowledge", form=form, alarm=alarm["event"], comment="")).status == 401
        assert (await send(kim, "/acknowledge", form=form, alarm=alarm["event"], comment="seen")).status == 303
        assert (await plant.site.ask("alarms"))[0]["acknowledged"]["by"] == "kim (operator)"
        bad = await send(kim, "/shelve", form=form, alarm=alarm["event"], reason="", minutes="x")
        assert (bad.status, "shelve" in text(bad)) == (400, True)
        assert (await send(kim, "/shelve", form=form, alarm=alarm["event"], reason="repair", minutes="5")).status == 303
        assert (await plant.site.ask("alarms"))[0]["shelved"]["reason"] == "repair"
        assert "shelved by kim (operator): repair" in text(await kim.get("/"))


async def test_who_logs_out_is_out(running: Running) -> None:
    async with running("login_to_look = true") as plant:
        add(plant, "kim", "operator")
        got = await plant.browser().get("/")
        assert (got.status, got.headers["location"]) == (303, "/login")
        assert (await plant.browser().get("/parts")).status == 401
        kim = await logged_in(plant, "kim")
        stolen = plant.browser()
        stolen.cookies = dict(kim.cookies)
        page = await stolen.get("/")
        assert page.status == 200
        await send(kim, "/logout", form="wrong")
        assert (await stolen.get("/")).status == 200
        await send(stolen, "/logout", form=form_of(page))
        assert (await kim.get("/")).status == 303


async def test_a_wrong_login_is_told_and_no_users_too(running: Running) -> None:
    async with running() as plant:
        assert "edge-gateway user add" in text(await plant.browser().get("/login"))
        add(plant, "kim", "operator")
        got = await send(plant.browser(), "/login", name="kim", password="wrong")
        assert (got.status, "name or password is wrong" in text(got)) == (401, True)
        for body in (b"\xff", b"&" * 100, b"a=1&" * 1000, b"nothing"):
            assert (await plant.browser().ask("POST", "/login", body)).status in (400, 401)


async def test_it_speaks_the_language_of_its_reader(running: Running) -> None:
    async with running() as plant:
        await plant.more_is_read()
        korean = await plant.browser().get("/", accept_language="ko-KR,ko;q=0.9,en;q=0.8")
        assert '<html lang="ko">' in korean.body.decode()
        assert "데이터 전송 상태" in text(korean)
        browser = plant.browser()
        assert "Is data leaving?" in text(await browser.get("/?lang=en", accept_language="ko"))
        assert "Is data leaving?" in text(await browser.get("/", accept_language="ko"))


def test_every_word_is_there_in_both_languages() -> None:
    for key, (english, korean) in WORDS.items():
        assert english, key
        assert korean, key
        assert english.count("{") == korean.count("{"), key
        hangul = re.search("[가-힣]", korean)
        assert hangul or key == "other language", key
    here = document.STATIC.parent
    files = [*here.glob("*.py"), *(here / "views").glob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    asked = set(re.findall(r"\bword\([\"']([^\"']+)[\"']", source)) | {name for _, name in document.PLACES}
    assert len(asked) > 30
    assert asked - WORDS.keys() == set()
    states = {"up", "down", "faulted", "starting", "stopped", "raised", "latched", "cleared", "normal", "acknowledged"}
    states |= {"running", "warmup", "degraded", "failed"}
    states |= {"own", "trusted", "rejected", *MATTERS}
    states |= {"devices up", "sinks up", "severity info", "severity warning", "severity alarm"}
    states |= {"did shelve", "15m", "1h", "8h", "1d", "7d", "30d"}
    assert WORDS.keys() - asked - states == set(), "nobody says these"


def test_a_state_that_the_page_does_not_know_is_told_as_it_is() -> None:
    assert Words("ko").state("half up") == "half up"
    assert Words("fr").language == "en"
    assert [language_of(each) for each in ("", "de-DE, ko;q=0.5", "KO", "x" * 10_000)] == ["en", "ko", "ko", "en"]


@pytest.mark.parametrize("odd", ["<b>", '"', "'", "&amp;", "\ud800", "\x00"])
def test_whatever_is_put_into_html_stays_text(odd: str) -> None:
    made = tag("td", odd, title=odd)
    assert made.count("<") == made.count(">") == 2
    assert made.count('"') == 2
    made.encode()
    assert tag("p", Html("<b>")) == "<p><b></p>"
