"""`edge-gateway demo` without a terminal, as a script or a curious stranger starts it."""

import asyncio
import re
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.demo import scenario
from gateway.demo.scenario import Ports

from .daemon import ROOT, command

pytestmark = pytest.mark.system

WITHOUT_MOSQUITTO = """
import shutil, sys
found = shutil.which
shutil.which = lambda name, *more, **others: None if name == "mosquitto" else found(name, *more, **others)
from gateway.cli import main
sys.exit(main())
"""
VALUE = re.compile(r"^(coater-1|bioreactor-1): .*=\d")
BEAT = 0.05


class Played(NamedTuple):
    """What a demonstration printed, and how quick the machine was meanwhile."""

    code: int
    lines: list[tuple[float, str]]
    """Each with the seconds from the start."""
    check: float
    """Seconds that the check of the same configuration took beside its start: the same programs are loaded."""
    stood_still: float
    """Seconds for which this process got no turn."""

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def first(self, pattern: str) -> float:
        """Seconds until a line with this pattern."""
        found = next((at for at, line in self.lines if re.search(pattern, line)), None)
        assert found is not None, f"{pattern!r} is not in:\n{self.text}"
        return found

    def in_time(self, start: float) -> None:
        """The first value within `start` seconds, the event within a minute and its end within two; on a machine that is too
        busy for that, within what follows from how slow it was."""
        start = max(start, 3 * self.check) + 3 * self.stood_still
        assert self.first(VALUE.pattern) < start, self.text
        late = max(0.0, self.first(VALUE.pattern) - 5) + self.stood_still
        assert self.first("anomaly raised") < 60 + 3 * late, self.text
        assert self.first("anomaly cleared") < 120 + 3 * late, self.text


async def played(directory: Path, *arguments: str, launcher: Sequence[str] = ("-m", "gateway")) -> Played:
    """Play it to its end."""
    config = scenario.write(directory, Ports(1883, 5020, 4840), sys.executable, "mosquitto")
    standstill = Standstill()
    async with standstill:
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *launcher, "demo", *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
        )
        checking = asyncio.create_task(seconds_of_a_check(config))
        assert process.stdout is not None
        try:
            lines = [(time.monotonic() - started, line.decode().rstrip()) async for line in process.stdout]
            return Played(await process.wait(), lines, await checking, standstill.seconds)
        finally:
            if process.returncode is None:
                process.kill()


async def seconds_of_a_check(config: Path) -> float:
    begun = time.monotonic()
    await command("check", "--config", str(config))
    return time.monotonic() - begun


class Standstill:
    """Adds up for how long this process got no turn."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __aenter__(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT)
            late = time.monotonic() - before - BEAT
            self.seconds += late if late > BEAT else 0.0


@pytest.mark.timeout(400)
async def test_shows_a_value_within_5_s_and_the_event_within_a_minute_and_leaves_a_config(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    played_to_end = await played(tmp_path / "other", "--keep", str(tmp_path / "kept"))
    text = played_to_end.text
    assert played_to_end.code == 0, text
    played_to_end.in_time(5)
    assert played_to_end.first(r"\d+%  spray_|\d+%  atom"), "the event says which tags"
    assert re.search(r"Numbers missing: 0\. Repeated: 0\.", text), text
    assert "\x1b" not in text, "plain lines where there is no terminal"
    checked = await command("check", "--config", str(tmp_path / "kept/config.toml"))
    assert checked.code == 0, checked
    assert "Traceback" not in (tmp_path / "kept/gateway.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_plays_with_a_broker_in_python_where_mosquitto_is_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="the demo's own broker is missing: pip install amqtt")
    (tmp_path / "other").mkdir()
    played_to_end = await played(
        tmp_path / "other", "--keep", str(tmp_path / "kept"), launcher=("-c", WITHOUT_MOSQUITTO)
    )
    assert played_to_end.code == 0 and "amqtt" in played_to_end.lines[1][1], played_to_end.lines
    played_to_end.in_time(10)
