"""Pictures of the page, to be looked at: each view on a phone, a desk and a wall, dark and light, in both languages.

python -m benchmarks.screenshots FOLDER [PART-OF-A-NAME …]
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from plugins.web.tests import scene
from plugins.web.tests.chromium import MISSING, Browser, browsing, chromium
from plugins.web.tests.conftest import Plant
from plugins.web.tests.views import SIZES, THEMES, log_in, views
from tests.app.plant import sink

PLANTS: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Plant]]] = {
    "bad": scene.bad_day,
    "good": lambda at: scene.scene(at, *scene.GOOD, sink()),
    "little": lambda at: scene.scene(at, scene.MIXER),
    "many": lambda at: scene.scene(at, *scene.MANY),
}
WARM_UP = 12.0
"""Seconds until the model has a window."""


async def taken(folder: Path, wanted: list[str], browser: Browser, name: str, plant: Plant) -> None:
    """All pictures of one plant."""
    async with browser.tab() as tab:
        await log_in(tab, plant)
        for view, path in views().items():
            if name != "bad" and view in ("alarm", "device", "write"):
                continue  # of what is not there
            for size, (width, height) in SIZES.items():
                for theme in THEMES:
                    for language in ("en", "ko"):
                        file = f"{name}-{view}-{size}-{theme}-{language}.png"
                        if wanted and not all(each in file for each in wanted):
                            continue
                        await tab.looks(width, height, theme=theme, language=language)
                        await tab.goto(plant.address + path)
                        if view == "trend":
                            await tab.until("document.querySelector('#chart canvas')")
                        await tab.picture(folder / file, whole=size != "wall", most=3 * height)
                        print(file, flush=True)


async def main(folder: Path, wanted: list[str]) -> None:
    """Each plant in turn."""
    path = chromium()
    if path is None:
        raise SystemExit(MISSING)
    async with browsing(path) as browser:
        for name, plant in PLANTS.items():
            if not {*wanted} & PLANTS.keys() or name in wanted:
                with tempfile.TemporaryDirectory() as at:
                    async with plant(Path(at)) as running:
                        await asyncio.sleep(WARM_UP)
                        await taken(folder, [each for each in wanted if each != name], browser, name, running)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
