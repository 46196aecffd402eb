"""The examples of docs/web.md do what the page says."""

import asyncio
import csv
import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import add, token
from tests.app.plant import device

PAGE = (Path(__file__).parents[3] / "docs" / "web.md").read_text()
EXAMPLES = [
    re.sub("^ {4}", "", block, flags=re.MULTILINE)
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", PAGE, re.MULTILINE)
]
LIMIT = '[[alarm]]\nname = "too hot"\ndevices = ["press-1"]\ntag = "temp"\nhigh = -1000.0\n'


async def done(plant: Plant, *command: str, **environment: str) -> str:
    """What an example prints. It runs beside the gateway, which is in this very process."""
    at = [part.replace("localhost:8080", f"127.0.0.1:{plant.browser().port}") for part in command]
    process = await asyncio.create_subprocess_exec(
        *at, cwd=plant.site.path, env={"PATH": "/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_examples_for_curl(running: Running) -> None:
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("needs curl: apt-get install curl")
    (block,) = (each for each in EXAMPLES if "curl" in each)
    tags, table, acknowledge = block.strip().replace("\\\n", "").splitlines()
    async with running("", device("press-1"), LIMIT) as plant:
        add(plant, "anna", "operator")
        while not (await plant.site.ask("alarms")):
            await plant.more_is_read()
        assert {row["device"] for row in json.loads(await done(plant, "sh", "-c", tags))["items"]} == {"press-1"}
        await done(plant, "sh", "-c", table)
        rows = list(csv.DictReader(io.StringIO((plant.site.path / "tags.csv").read_text("utf-8-sig"))))
        assert {row["device"] for row in rows} == {"oven", "press-1"}
        await done(plant, "sh", "-c", acknowledge, TOKEN=token(plant, "anna", "operator"))
        (alarm,) = await plant.site.ask("alarms")
        assert alarm["acknowledged"]["comment"] == "on my way"
        assert alarm["acknowledged"]["by"].startswith("anna (token ")


async def test_the_example_in_python(running: Running) -> None:
    (block,) = (each for each in EXAMPLES if "urllib" in each)
    async with running("", device("press-1")) as plant:
        while not await plant.site.ask("tags", device="press-1"):
            await plant.more_is_read()
        *rows, stream = (await done(plant, sys.executable, "-c", block)).splitlines()
        assert [row.split()[0] for row in rows] == ["temp", "speed"]
        assert stream.startswith("{'temp': [")
