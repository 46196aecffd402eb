"""What a power cut leaves of a directory: only what was synced is sure; of the rest any part may have reached the disk.

The model is a journaling file system with an honest disk. Names (create, rename, unlink) come in order, and a cut may take
any number of the last ones that no sync has made durable. Data that was not synced is there up to any byte, its pages
each on its own or as zeros. A renamed file whose data was not synced may be empty.
"""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.outbox.format import identity
from gateway.outbox.start import recovery
from gateway.outbox.write import ballast, lane_file, small_files, writer
from gateway.places import durable, regular

PAGE = 4096


class Photo:
    """The directory at one moment, and what is known to be durable of it."""

    def __init__(
        self, live: dict[Path, bytes], synced: dict[Path, bytes], undo: list[tuple[Path, bytes | None]]
    ) -> None:
        self.live = live
        self.synced = synced
        self.undo = undo
        """Path and content before each change of names that no sync has made durable; None where there was no file."""

    def after_the_cut(self, chance: random.Random) -> dict[Path, bytes]:
        """One of the states that the disk may be in."""
        files = {path: self._data(path, content, chance) for path, content in self.live.items()}
        undone = chance.randrange(len(self.undo) + 1)
        for path, before in reversed(self.undo[len(self.undo) - undone :]):
            if before is None:
                files.pop(path, None)
            else:
                files[path] = before
        return files

    def _data(self, path: Path, live: bytes, chance: random.Random) -> bytes:
        sure = self.synced.get(path, b"")
        if sure == live:
            return live
        end = chance.randrange(min(len(sure), len(live)), len(live) + 1)
        data = bytearray(live[:end])
        for page in range(0, end, PAGE):
            if chance.random() < 0.3:
                old = sure[page : page + PAGE]
                data[page : page + PAGE] = old.ljust(len(data[page : page + PAGE]), b"\0")[
                    : len(data[page : page + PAGE])
                ]
        return bytes(data)


class Disk:
    """Listens to what a log does with its files. To be put in place of `os` in the modules that write."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.RLock()
        self._synced: dict[Path, bytes] = {}
        self._undo: list[tuple[Path, bytes | None]] = []
        self.syncs = 0

    def install(self, monkeypatch: Any) -> None:
        """From now on, until the test ends."""
        for module in (ballast, durable, identity, lane_file, recovery, regular, small_files, writer):
            monkeypatch.setattr(module, "os", self)
        for name in ("unlink", "replace", "open"):
            monkeypatch.setattr(Path, name, self._watched(name, getattr(Path, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def begin(self) -> None:
        """All that stands there now is durable."""
        with self._lock:
            self._synced, self._undo = self._content(), []

    def photo(self) -> Photo:
        """Everything as it is at this moment."""
        with self._lock:
            return Photo(self._content(), dict(self._synced), list(self._undo))

    def _content(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        with self._lock:
            if flags & os.O_CREAT and not Path(path).exists():
                self._undo.append((Path(path), None))
            return os.open(path, flags, mode, dir_fd=dir_fd)

    def pwrite(self, file: int, data: Any, offset: int) -> int:
        with self._lock:
            return os.pwrite(file, data, offset)

    def ftruncate(self, file: int, size: int) -> None:
        with self._lock:
            os.ftruncate(file, size)

    def fsync(self, file: int) -> None:
        """Of a directory it makes all names durable, of a file its data and its own name, and all names before that."""
        with self._lock:
            self.syncs += 1
            path = Path(f"/proc/self/fd/{file}").readlink()
            if path.is_dir():
                self._undo.clear()
                return
            self._synced[path] = path.read_bytes()
            made = [place for place, (name, _) in enumerate(self._undo) if name == path]
            del self._undo[: made[-1] + 1 if made else 0]

    fdatasync = fsync

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, *arguments: Any, **named: Any) -> Any:
            if self.directory not in path.parents:
                return real(path, *arguments, **named)
            with self._lock:
                self._note(name, path, arguments)
                return real(path, *arguments, **named)

        return call

    def _note(self, name: str, path: Path, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            if arguments and arguments[0] != "rb" and not path.exists():
                self._undo.append((path, None))
            return
        if path.exists():
            self._undo.append((path, path.read_bytes()))
        if name == "replace":
            target = arguments[0]
            self._undo.append((target, target.read_bytes() if target.exists() else None))
            self._synced[target] = self._synced.pop(path, b"")
        else:
            self._synced.pop(path, None)
