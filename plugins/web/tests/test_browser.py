"""The page in a real browser: quiet, small, for everybody, by keyboard, without scripts, and live."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import eventually
from plugins.web.tests import scene
from plugins.web.tests.chromium import ENTER, MISSING, TAB, Tab, browsing, chromium
from plugins.web.tests.conftest import Plant
from plugins.web.tests.people import PASSWORD
from plugins.web.tests.views import SIZES, THEMES, log_in, views

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AXE = Path(__file__).parent / "axe" / "node_modules" / "axe-core" / "axe.min.js"
LARGEST = 200_000
"""Bytes of a view with all that it needs."""
FINGER = 44
"""Pixels that a glove hits (WCAG 2.2, 2.5.5)."""
SMALL = f"""[...document.querySelectorAll("button, input:not([type=hidden]), select, summary, nav a, header a")]
  .map((each) => each.type === "checkbox" ? each.closest("label") : each)
  .filter((each) => each.checkVisibility() && !each.classList.contains("skip"))
  .filter((each) => Math.min(each.getBoundingClientRect().height, each.getBoundingClientRect().width) < {FINGER} - 0.5)
  .map((each) => each.outerHTML.slice(0, 200))"""
WIDER = "Math.max(0, document.documentElement.scrollWidth - innerWidth)"
HIDDEN = """[...document.querySelectorAll(".wide td, .wide th")]
  .filter((each) => each.getBoundingClientRect().right > each.closest(".wide").getBoundingClientRect().right + 1)
  .map((each) => "out of sight: " + each.outerHTML.slice(0, 120))"""
FOCUSABLE = "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"
NUMBERED = f"""(() => {{
  const all = [...document.querySelectorAll("{FOCUSABLE}")].filter((each) => each.checkVisibility());
  all.forEach((each, at) => (each.dataset.numbered = at));
  return all.map((each) => each.outerHTML.slice(0, 120));
}})()"""
FOCUSED = """(() => {
  const here = document.activeElement, style = getComputedStyle(here);
  return [here.dataset.numbered ?? null, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
})()"""


@pytest.fixture
def browser_path() -> str:
    """Chromium."""
    return chromium() or pytest.skip(MISSING)


@asynccontextmanager
async def looking(path: str, plant: Plant, who: str = "root") -> AsyncIterator[Tab]:
    """A tab in which he is logged in."""
    async with browsing(path) as browser, browser.tab() as tab:
        await log_in(tab, plant, who)
        yield tab


def pages(plant: Plant) -> Iterator[tuple[str, str]]:
    for name, path in views().items():
        yield name, plant.address + path


async def test_every_view_is_quiet_small_within_its_window_and_asks_nobody_else(
    browser_path: str, tmp_path: Path
) -> None:
    async with scene.bad_day(tmp_path) as plant, looking(browser_path, plant) as tab:
        await tab.call("Network.setCacheDisabled", cacheDisabled=True)
        found: list[str] = []
        for name, address in pages(plant):
            for size in ("phone", "desk"):
                for theme in THEMES:
                    for language in ("en", "ko"):
                        where = f"{name} {size} {theme} {language}"
                        await tab.looks(*SIZES[size], theme=theme, language=language)
                        tab.clear()
                        await tab.goto(address)
                        assert await tab.run("document.documentElement.lang") == language, where
                        assert 1000 < tab.size < LARGEST, where
                        small = await tab.run(SMALL) if size == "phone" else []
                        wrong = [*tab.complaints, *tab.foreign(plant.address), *small, *await tab.run(HIDDEN)]
                        wrong += [f"{wider} pixels wider"] if (wider := await tab.run(WIDER)) else []
                        found += [f"{where}: {each}" for each in wrong]
    assert not found, "\n".join(found)


async def test_axe_finds_nothing(browser_path: str, tmp_path: Path) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core: sh .ci/tools.sh installs it")
    found: list[str] = []
    async with scene.bad_day(tmp_path) as plant, looking(browser_path, plant) as tab:
        for name, address in pages(plant):
            for theme, size in (("light", "desk"), ("dark", "desk"), ("light", "phone")):
                await tab.looks(*SIZES[size], theme=theme)
                await tab.goto(address)
                await tab.run(AXE.read_text(encoding="utf-8"))
                told = await tab.run("axe.run({resultTypes: ['violations']}).then((found) => found.violations)")
                found += [f"{name} {theme} {size}: {_said(each)}" for each in told]
    assert not found, "\n".join(found)


def _said(violation: Any) -> str:
    nodes = [node["html"][:150] + " " + node.get("failureSummary", "")[:300] for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']}: {nodes}"


async def test_all_can_be_reached_by_keyboard_and_one_sees_where_one_is(browser_path: str, tmp_path: Path) -> None:
    async with scene.bad_day(tmp_path) as plant, looking(browser_path, plant) as tab:
        await tab.looks(*SIZES["desk"])
        for name, address in pages(plant):
            is_renewed = name == "first"  # and what is numbered has to stay
            await tab.call("Emulation.setScriptExecutionDisabled", value=is_renewed)
            await tab.goto(address)
            await tab.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            wanted = await tab.run(NUMBERED)
            reached: set[str] = set()
            for _ in range(3 * len(wanted) + 10):  # a date has several fields
                await tab.press(TAB)
                number, is_seen = await tab.run(FOCUSED)
                if number is None:
                    continue
                assert is_seen, f"{name}: {wanted[int(number)]}"
                reached.add(number)
                if len(reached) == len(wanted):
                    break
            missing = [each for at, each in enumerate(wanted) if str(at) not in reached]
            assert missing == [], name


async def focus_on(tab: Tab, selector: str) -> None:
    """By the tabulator alone."""
    for _ in range(200):
        await tab.press(TAB)
        if await tab.run(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"no way to {selector}: {await tab.run('document.body.innerText')}")


@pytest.mark.parametrize("scripts", [True, False])
async def test_one_logs_in_acknowledges_and_writes_by_keyboard_alone(
    browser_path: str, tmp_path: Path, scripts: bool
) -> None:
    async with scene.bad_day(tmp_path) as plant, browsing(browser_path) as browser, browser.tab() as tab:
        await tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        await tab.goto(f"{plant.address}login")
        await focus_on(tab, "main input[name=name]")
        await tab.write("root")
        await tab.press(TAB)
        await tab.write(PASSWORD)
        await entered(tab)
        await focus_on(tab, "form[action='/acknowledge'] input[name=comment]")
        await tab.write("seen by hand")
        await entered(tab)
        await plant.site.answered("alarms", lambda told: any(_by_hand(each) for each in told))
        await tab.goto(f"{plant.address}write?device=oven&tag=setpoint")
        await focus_on(tab, "input[name=value]")
        await tab.write("42.5")
        await tab.press(TAB)
        await tab.write("recipe 7")
        await entered(tab)
        assert "Write 42.5 °C to oven/setpoint?" in await tab.run("document.body.innerText")
        assert plant.site.bench.written == [], "nothing is written before it is said yes to"
        await focus_on(tab, "button.grave")
        await entered(tab)
        assert "Confirmed: the device took it" in await tab.run("document.body.innerText")
        assert plant.site.bench.written == [("setpoint", 42.5)]
        (record,) = [each for each in plant.site.audit() if each["action"] == "write"]
        assert (record["who"].partition(" ")[0], record["why"]) == ("root", "recipe 7")
        assert tab.complaints == []


def _by_hand(alarm: Any) -> bool:
    return bool(alarm["acknowledged"]) and alarm["acknowledged"]["comment"] == "seen by hand"


async def entered(tab: Tab) -> None:
    """Press Enter, and wait for the page that it leads to."""
    before = await tab.run("performance.timeOrigin")
    await tab.press(ENTER)
    await tab.until(f"performance.timeOrigin !== {before} && document.readyState === 'complete'")


async def test_without_scripts_each_view_has_its_content(browser_path: str, tmp_path: Path) -> None:
    async with scene.bad_day(tmp_path) as plant, looking(browser_path, plant) as tab:
        said = {}
        for scripts in (True, False):
            await tab.call("Emulation.setScriptExecutionDisabled", value=not scripts)
            for name, address in pages(plant):
                await tab.goto(address)
                heads = await tab.run(
                    "[...document.querySelectorAll('main h2, main h3')].map((each) => each.innerText)"
                )
                rows = await tab.run("document.querySelectorAll('main tr, main li, main svg').length")
                said[name, scripts] = heads, rows
                assert tab.complaints == [], name
        for name, _ in pages(plant):
            assert said[name, False][0] == said[name, True][0], name
            assert said[name, False][1] > 0 or name in ("certificates", "login"), name
        assert said["trend", False][1] > 3, "the server draws the curves"


async def test_values_alarms_and_the_sentence_are_live_and_a_cut_is_told(browser_path: str, tmp_path: Path) -> None:
    async with browsing(browser_path) as browser, browser.tab() as tab:
        async with scene.scene(tmp_path, *scene.BAD[3:]) as plant:
            await tab.goto(plant.address)
            value = "document.querySelector('[data-device=oven][data-tag=temp]').textContent"
            await tab.until(f"{value} === '1'")
            plant.site.bench.value = 61.25
            await tab.until(f"{value} === '61.25'")
            await tab.until("document.getElementById('alarms').innerText.includes('too hot')")
            await tab.until("document.getElementById('headline').innerText.includes('alarms')")
            await tab.until("document.getElementById('lost').hidden")
            shown = await tab.run("performance.timeOrigin")
        await tab.until("!document.getElementById('lost').hidden")
        assert "Not live: no answer since" in await tab.run("document.getElementById('lost').textContent")
        assert await tab.run("document.body.classList.contains('lost')")
        assert await tab.run("performance.timeOrigin") == shown, "it is the page that was opened first"


async def test_ten_thousand_tags_are_searched_and_small(browser_path: str, tmp_path: Path) -> None:
    async with scene.scene(tmp_path, *scene.MANY) as plant, browsing(browser_path) as browser, browser.tab() as tab:
        await eventually(lambda: plant.gateway.live["wide"].snapshot().tag.size == 10_000, what="all are read")
        await tab.goto(plant.address)
        assert tab.size < LARGEST
        assert await tab.run("document.querySelectorAll('[data-tag]').length") == 200
        await tab.goto(f"{plant.address}?q=tag-0777")
        assert await tab.run("document.querySelectorAll('[data-tag]').length") == 10
        assert tab.complaints == []


async def test_a_gateway_that_has_next_to_nothing_has_a_page_all_the_same(browser_path: str, tmp_path: Path) -> None:
    async with scene.scene(tmp_path, scene.MIXER) as plant, looking(browser_path, plant) as tab:
        for name, path in views().items():
            if name not in ("alarm", "device", "trend", "write"):
                tab.clear()
                await tab.goto(plant.address + path)
                assert tab.complaints == [], name
        await tab.goto(plant.address)
        assert "No destination is configured" in await tab.run("document.body.innerText")
