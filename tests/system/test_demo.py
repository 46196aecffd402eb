"""`edge-gateway demo` without a terminal, as a script or a curious stranger starts it."""

import asyncio
import re
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path

import pytest

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


async def played(*arguments: str, launcher: Sequence[str] = ("-m", "gateway")) -> tuple[int, list[tuple[float, str]]]:
    """Exit status, and every line with the seconds from the start."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *launcher, "demo", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        lines = [(time.monotonic() - started, line.decode().rstrip()) async for line in process.stdout]
        return await process.wait(), lines
    finally:
        if process.returncode is None:
            process.kill()


def first(lines: list[tuple[float, str]], pattern: str) -> float:
    """Seconds until a line with this pattern."""
    found = next((at for at, line in lines if re.search(pattern, line)), None)
    assert found is not None, f"{pattern!r} is not in:\n" + "\n".join(line for _, line in lines)
    return found


@pytest.mark.timeout(150)
async def test_shows_a_value_within_5_s_and_the_event_within_a_minute_and_leaves_a_config(tmp_path: Path) -> None:
    code, lines = await played("--keep", str(tmp_path / "kept"))
    text = "\n".join(line for _, line in lines)
    assert code == 0, text
    assert first(lines, VALUE.pattern) < 5, text
    assert first(lines, "anomaly raised") < 60, text
    assert first(lines, "anomaly cleared") < 120, text
    assert first(lines, r"\d+%  spray_|\d+%  atom"), "the event says which tags"
    assert re.search(r"Numbers missing: 0\. Repeated: 0\.", text), text
    assert "\x1b" not in text, "plain lines where there is no terminal"
    checked = await command("check", "--config", str(tmp_path / "kept/config.toml"))
    assert checked.code == 0, checked
    assert "Traceback" not in (tmp_path / "kept/gateway.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_plays_with_a_broker_in_python_where_mosquitto_is_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="the demo's own broker is missing: pip install 'edge-gateway[demo]'")
    code, lines = await played("--keep", str(tmp_path), launcher=("-c", WITHOUT_MOSQUITTO))
    assert code == 0 and "amqtt" in lines[1][1], lines
    assert first(lines, VALUE.pattern) < 10
    assert first(lines, "anomaly raised") < 60
