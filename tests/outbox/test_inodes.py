"""A disk with bytes free and no inodes: it is said so, what is delivered goes, and readings go on into the present file."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.core.context import Context
from gateway.outbox.write import lane_file
from gateway.status import rendered
from tests.outbox.making import Log, fill, spec, take, until


class NoFiles:
    """Refuses every new file of the log while there are none left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.none_left = False
        self._open, self._statvfs = os.open, os.statvfs
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "statvfs", self.statvfs)

    def open(self, path, flags, *more, **named):
        if self.none_left and flags & os.O_CREAT and not Path(path).exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return self._open(path, flags, *more, **named)

    def statvfs(self, path):
        found = self._statvfs(path)
        values = list(found)
        values[5:8] = [1000, 0, 0] if self.none_left else [1000, 900, 900]
        return os.statvfs_result(values)


async def test_without_inodes_readings_go_on_into_the_present_file_and_the_words_are_right(
    log: Log, context, monkeypatch
):
    disk = NoFiles(monkeypatch)
    async with log.opened(segment_size=64 * 1024, min_free=0) as outbox:
        device = outbox.bind(spec(tags=400), context)
        outbox.reader("central")
        await fill(outbox, device, range(10))
        disk.none_left = True
        outbox._tick()
        await until(lambda: outbox.status().room.inodes == 0)
        files = log.files()
        await fill(outbox, device, range(10, 100))
        assert log.files() == files, "no other file could be made"
        assert files[-1].stat().st_size > 64 * 1024
        words = str(outbox._housekeeping.explained(OSError(errno.ENOSPC, "No space left on device")))
        assert "no inodes are left for new files, though" in words
        assert "df -i" in words
        disk.none_left = False
        await fill(outbox, device, range(100, 110))
        assert len(log.files()) == len(files) + 1
    async with log.opened() as outbox:
        assert outbox.status().lanes["data"].accepted == 110 * 400
        assert outbox.status().recovered.damaged == []


async def test_without_inodes_and_beyond_all_sizes_the_oldest_goes(log: Log, context, monkeypatch):
    monkeypatch.setattr(lane_file, "_OVERSIZE", 1)
    disk = NoFiles(monkeypatch)
    async with log.opened(segment_size=64 * 1024, min_free=0) as outbox:
        device, reader = outbox.bind(spec(tags=400), context), outbox.reader("central")
        await fill(outbox, device, range(120))
        reader.acknowledged(await take(reader, 120))
        outbox._tick()
        await outbox.written_out(5)
        disk.none_left = True
        outbox._tick()
        assert rendered(outbox.status())["readers"][0]["lanes"]["data"]["dropped"] == {}, "what is delivered goes first"


@pytest.mark.slow
async def test_on_a_real_file_system_without_inodes(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("inodes are not tested: needs root, to mount a small tmpfs (sudo make test-all)")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=40", "tmpfs", str(place)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("inodes are not tested: no tmpfs can be mounted here; run it where mounts are allowed")
    try:
        log = Log(place / "outbox")
        async with log.opened(segment_size=64 * 1024, max_size=32 * 1024 * 1024, min_free=0) as outbox:
            device, reader = outbox.bind(spec(tags=400), Context()), outbox.reader("central")
            await fill(outbox, device, range(10))
            hogs = 0
            try:
                while True:
                    (place / f"hog{hogs}").touch()
                    hogs += 1
            except OSError as error:
                assert error.errno == errno.ENOSPC
            for start in range(10, 410, 40):
                await fill(outbox, device, range(start, start + 40))
                reader.acknowledged(await take(reader, 20))
                outbox._tick()
            await until(lambda: outbox.status().room.inodes is not None)
            for hog in range(hogs):
                (place / f"hog{hog}").unlink()
            await fill(outbox, device, range(410, 420))
            outbox._tick()
            await until(lambda: outbox.status().disk == "ok")
        async with log.opened() as outbox:
            assert outbox.status().recovered.damaged == []
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
