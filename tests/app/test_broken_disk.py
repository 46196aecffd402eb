"""A real file system that gives up while the gateway runs on it, and a start on what is left of it."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.outbox import outbox
from tests.app.plant import Site, device, sink


@pytest.fixture
def ext4(site: Site) -> Iterator[Path]:
    """The site's state directory on an ext4 of its own, in a file."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a broken disk is not tested: needs root and e2fsprogs, to mount an ext4 (sudo make test-all)")
    image, place = site.path / "ext4", site.path / "state"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a broken disk is not tested: mount says {done.stderr.strip()}; run it where mounts are allowed")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC])
async def test_a_start_where_the_state_directory_never_was_and_cannot_be_made_needs_no_disk(
    site: Site, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.LAST_WORDS", 1.0)
    make = os.mkdir

    def mkdir(path: Any, *arguments: Any, **named: Any) -> None:
        if (site.path / "state") in (Path(path), *Path(path).parents):
            raise OSError(number, os.strerror(number), str(path))
        make(path, *arguments, **named)

    monkeypatch.setattr(os, "mkdir", mkdir)
    limit = '[[alarm]]\nname = "hot"\ndevices = ["oven"]\ntag = "temp"\nhigh = 50.0\n'
    site.write(sink(), device("oven"), limit)
    async with site.running():
        await site.heard("north/oven", lambda body: body.get("kept") is False)
        await site.heard(
            "north/oven/_state", lambda body: body["online"] and "nothing is kept" in body.get("reason", "")
        )
        status = await site.ask("status")
        assert os.strerror(number) in status["outbox"]["disk"]
        assert status["outbox"]["kept"] is False
        assert "audit trail" in status["audit"]["failing"]
        site.bench.value = 99.0
        raised = await site.heard("north/oven/_event", lambda body: body.get("state") == "raised")
        assert site.far.story[raised][1]["kept"] is False
    assert not (site.path / "state").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["abort", "ro"])
async def test_what_needs_no_disk_goes_on_when_the_file_system_gives_up_and_at_the_next_start(
    site: Site, ext4: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_LAST_RECORDS", "_PATIENCE"):
        monkeypatch.setattr(outbox, name, 1.0)
    monkeypatch.setattr("gateway.app.LAST_WORDS", 1.0)
    limit = '[[alarm]]\nname = "hot"\ndevices = ["oven"]\ntag = "temp"\nhigh = 50.0\n'
    site.write(sink(), device("oven"), limit)
    async with site.running():
        await site.heard("north/oven")
        mode = "remount,abort" if how == "abort" else "remount,ro"
        done = subprocess.run(["mount", "-o", mode, str(ext4)], capture_output=True, text=True, check=False)
        if how == "ro" and done.returncode:  # the kernel refuses while a file is open for writing
            subprocess.run(["mount", "-o", "remount,abort", str(ext4)], check=True)
        at = await site.heard("north/oven", lambda body: body.get("kept") is False)
        await site.heard("north/g1/_event", lambda body: body["event"].startswith("outbox-not-kept"))
        await site.heard(
            "north/oven/_state", lambda body: body["online"] and "nothing is kept" in body.get("reason", "")
        )
        status = await site.ask("status")
        assert "ead-only" in status["outbox"]["disk"] or "rror" in status["outbox"]["disk"]
        site.bench.value = 99.0
        raised = await site.heard("north/oven/_event", lambda body: body.get("state") == "raised", at)
        assert site.far.story[raised][1]["kept"] is False
    since = len(site.far.story)
    async with site.running():
        await site.heard("north/oven", lambda body: body.get("kept") is False, since)
        await asyncio.sleep(0)
        assert "ead-only" in (await site.ask("status"))["outbox"]["disk"]
