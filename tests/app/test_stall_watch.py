"""A plugin that blocks the event loop is named, and left alone at the next start where that was the end."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.command import Actor
from gateway.operate.plugins_in_use import PluginsInUse
from gateway.operate.stalls import stall_watch
from gateway.operate.stalls.stall_watch import StallWatch
from gateway.plugin.discovery import Plugins
from tests.app.plant import Site, device, sink


class Block:
    """Blocks the thread that calls it, once, until the watch has looked at it and noted it down."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.note = b""
        self._noted = threading.Event()
        self._write = StallWatch._write
        self._site = site
        monkeypatch.setattr(StallWatch, "_write", lambda *arguments: self._written(*arguments))
        for name, value in {"LIMIT": 0.05, "GRAVE": 0.1, "LOOK": 0.01}.items():
            monkeypatch.setattr(stall_watch, name, value)

    def _written(self, *arguments: Any) -> None:
        self._write(*arguments)
        self.note = (self._site.path / "state" / "blocked.json").read_bytes()
        self._noted.set()

    def __call__(self) -> None:
        self._site.bench.block = None
        assert self._noted.wait(60), "the watch has not noticed"


@pytest.fixture
def watch(site: Site, monkeypatch: pytest.MonkeyPatch) -> Block:
    monkeypatch.setattr(stall_watch.StallWatch, "_waited", lambda self: 0.0)  # on a busy machine too
    return Block(site, monkeypatch)


async def block(site: Site, watch: Block) -> dict[str, Any]:
    """Status after the oven's driver has blocked everything."""
    site.write(sink(), device("oven"), device("press"))
    async with site.running():
        await site.heard("north/oven")
        site.bench.block = watch
        await site.until(lambda: watch.note, "the watch notices")
        await site.heard("north/press", since=len(site.far.story))
        # It is told when the loop has turned again; the devices of one answer may have been looked at before its stalls.
        status = await site.answered(
            "status", lambda status: status["stalls"] and any(each["remarks"] for each in status["devices"])
        )
    return dict(status)


async def test_a_call_that_blocks_everything_is_named_with_plugin_device_file_and_line(
    site: Site, watch: Block
) -> None:
    with capture_logs() as logs:
        status = await block(site, watch)
    (stall,) = status["stalls"]
    assert (stall["plugin"], stall["times"], stall["recent"]) == ("lab", 1, True)
    assert stall["part"] in ("device oven", "device press")
    place, _, line = stall["at"].rpartition(":")
    assert "bench.block" in Path(place).read_text().splitlines()[int(line) - 1]
    (guilty,) = [each for each in status["devices"] if f"device {each['name']}" == stall["part"]]
    assert "it blocked the whole gateway for" in guilty["remarks"][0]
    said = [entry for entry in logs if "event loop is blocked" in entry["event"]]
    assert said and "plugin lab (device" in said[0]["by"]
    assert not (site.path / "state" / "blocked.json").exists(), "it went on, so nothing is left alone next time"


async def test_a_loop_that_only_waits_for_a_processor_is_not_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LIMIT": 0.05, "BEAT": 0.05, "LOOK": 0.01}.items():
        monkeypatch.setattr(stall_watch, name, value)
    looks: list[float] = []

    def waited(_: StallWatch) -> float:
        looks.append(time.monotonic())
        return looks[-1]  # all of the time

    monkeypatch.setattr(StallWatch, "_waited", waited)
    watch = StallWatch(tmp_path, PluginsInUse(Plugins(), tmp_path))
    with capture_logs() as logs:
        async with watch.running():
            deadline = time.monotonic() + 60
            while len(looks) < 10 and time.monotonic() < deadline:
                time.sleep(0.01)  # the loop does not turn, and the watch looks why
    assert len(looks) >= 10
    assert (watch.listed(), logs) == ([], [])


async def test_what_blocked_the_gateway_until_it_was_killed_is_left_alone_until_somebody_reloads(
    site: Site, watch: Block
) -> None:
    status = await block(site, watch)
    name = status["stalls"][0]["part"].removeprefix("device ")
    other = {"oven": "press", "press": "oven"}[name]
    (site.path / "state" / "blocked.json").write_bytes(watch.note)  # as a kill leaves it
    for _ in range(2):  # also at the start after that
        async with site.running() as gateway:
            await site.heard(f"north/{other}", since=len(site.far.story))
            devices = {each["name"]: each for each in (await site.ask("status"))["devices"]}
            assert devices[name]["state"] == "down"
            assert "blocked the whole gateway" in devices[name]["reason"]
            assert "edge-gateway reload" in devices[name]["reason"]
    async with site.running() as gateway:
        assert (await gateway.reloads.reload(Actor("test")))["applied"]
        await site.heard(f"north/{name}", since=len(site.far.story))
    async with site.running():
        await site.heard(f"north/{name}", since=len(site.far.story))


async def test_a_plugin_that_was_changed_is_tried_again(site: Site, watch: Block) -> None:
    status = await block(site, watch)
    name = status["stalls"][0]["part"].removeprefix("device ")
    note = watch.note.replace(b'"hash": "', b'"hash": "0')
    (site.path / "state" / "blocked.json").write_bytes(note)
    async with site.running():
        await site.heard(f"north/{name}", since=len(site.far.story))


@pytest.mark.parametrize("note", [b"", b"[" * 100_000, b'{"plugin": 1}', b"\xff"])
async def test_a_note_that_cannot_be_read_is_told_and_keeps_nobody_away(site: Site, note: bytes) -> None:
    (site.path / "state").mkdir()
    (site.path / "state" / "blocked.json").write_bytes(note)
    site.write(sink(), device("oven"))
    with capture_logs() as logs:
        async with site.running():
            await site.heard("north/oven")
    assert [entry for entry in logs if "before its end cannot be read" in entry["event"]]
