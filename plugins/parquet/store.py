"""Where files of a lake lie. Names are relative, with "/" between their parts; all calls block."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.kit.lake_place import look_at
from gateway.plugin import LinkError, read_regular, write_whole

AT_MOST = 64 * 1024 * 1024
"""Bytes of a file that is read back: a manifest, or what the lake says of itself."""


class Store(Protocol):
    """What a lake needs of its place. Raises LinkError and OSError."""

    staging: Path
    """Where files are sealed before they are put."""

    def look(self) -> None:
        """Whether it is there; changes nothing."""
        ...

    def open(self) -> None:
        """The same, and make what is missing."""
        ...

    def put(self, staged: Path, name: str) -> None:
        """Move a staged file there, whole or not at all; nothing if that was done before."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """The same with bytes."""
        ...

    def read(self, name: str) -> bytes | None:
        """What stands there; None: nothing."""
        ...

    def last(self, folder: str) -> str | None:
        """The greatest name in a folder, without the folder; None: it is empty, or not there."""
        ...


class Folder:
    """On a disk, or a share that is mounted. Renaming is what makes a file appear whole, so staging is within it."""

    def __init__(self, path: Path, writer: str) -> None:
        """`writer`: a name that no other gateway has."""
        self.path = path
        self.staging = path / "_staging" / writer

    def look(self) -> None:
        look_at(self.path)

    def open(self) -> None:
        self.look()
        if not self.path.exists():
            self.path.mkdir()
            _sync(self.path.parent)
        self.staging.mkdir(parents=True, exist_ok=True)

    def put(self, staged: Path, name: str) -> None:
        target = self.path / name
        self._make(target.parent)
        try:
            staged.replace(target)
        except FileNotFoundError:
            if not target.is_file():
                raise
        _sync(target.parent)

    def write(self, name: str, data: bytes) -> None:
        target = self.path / name
        self._make(target.parent)
        write_whole(target, data)

    def read(self, name: str) -> bytes | None:
        try:
            return read_regular(self.path / name, AT_MOST)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def last(self, folder: str) -> str | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return max((path.name for path in (self.path / folder).iterdir() if path.suffix != ".part"), default=None)
        return None

    def _make(self, folder: Path) -> None:
        """With its parents, durable."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        if not folder.is_dir():
            raise LinkError(f"{folder} is in the way: it is no folder, and not ours; move it away")
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
