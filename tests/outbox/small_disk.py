"""A disk of a few bytes, for tests: writes into the log's files fail beyond it, as on a full disk."""

import errno
import os
from pathlib import Path

import pytest


class SmallDisk:
    """Counts what the files of a directory take, and a hog beside them; refuses what does not fit."""

    def __init__(self, directory: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size = size
        self.hog = 0
        self.refused = 0
        self._directory = directory
        self._pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._write)
        monkeypatch.setattr(os, "posix_fallocate", self._allocate)

    @property
    def used(self) -> int:
        """Bytes of all files; one that is removed meanwhile takes none."""
        total = self.hog
        for path in self._directory.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
        return total

    def hogged(self, left: int) -> bool:
        """Have the hog take all but so many bytes of what is free; true."""
        self.hog += max(0, self.size - self.used - left)
        return True

    def _write(self, file: int, data: bytes, offset: int) -> int:
        growth = max(0, offset + len(data) - os.fstat(file).st_size)
        room = max(0, self.size - self.used)
        if growth <= room:
            return self._pwrite(file, data, offset)
        self.refused += 1
        if room:
            return self._pwrite(file, bytes(data)[: len(data) - growth + room], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    def _allocate(self, file: int, offset: int, size: int) -> None:
        if offset + size - os.fstat(file).st_size > self.size - self.used:
            raise OSError(errno.ENOSPC, "No space left on device")
