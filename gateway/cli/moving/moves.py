"""The moves of a restore: files are laid beside their places, and then take them, all or none, wherever it is broken off.

Before the first file is laid, a journal beside the configuration says which goes where, and what stands there now goes to.
Its first line says in which direction somebody who finds it goes on: back until all files are laid and durable, from then on
forward. Every step may be done twice.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting, parse_json
from gateway.places.durable import sync_path, write_whole
from gateway.places.owner import as_owner
from gateway.places.regular import open_regular, read_regular

JOURNAL = ".restore.journal"
_BACK, _FORWARD = b"back   \n", b"forward\n"
"""Of one length: the one is written over the other, which needs no room on a disk that is full."""
_LONGEST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Move:
    """One file that takes its place."""

    target: Path
    put: Path | None
    """Where what stands there goes; None where nothing does."""

    @property
    def part(self) -> Path:
        """Where it waits."""
        return self.target.with_name(f".{self.target.name}.restored")


class Moves:
    """Those of one restore. `about` is kept for whoever goes on with it."""

    def __init__(self, journal: Path, state: Path, about: dict[str, Any], moves: Sequence[Move] = ()) -> None:
        self._journal = journal
        self.state = state
        self.about = about
        self.planned = list(moves)

    @classmethod
    def found(cls, journal: Path) -> Self:
        """Those that were broken off. Raises GatewayError for a journal that is none of ours, and OSError."""
        with doubting(lambda reason: GatewayError(f"{journal} is damaged ({reason}): {_BY_HAND}")):
            owner = journal.lstat().st_uid
            told = parse_json(read_regular(journal, _LONGEST).partition(b"\n")[2])
            moves = [Move(Path(target), Path(put) if put else None) for target, put in told["moves"]]
            state, about = Path(told["state"]), dict(told["about"])
        if owner not in (0, os.geteuid()):
            raise GatewayError(f"{journal} belongs to somebody else, who could move any file by it: {_BY_HAND}")
        return cls(journal, state, about, moves)

    def carry_out(self, sources: Sequence[tuple[Path, int]]) -> None:
        """Lay these files, with their modes, for what is planned, and let them take their places; else all is as it was.
        Raises OSError. The journal stays until `done`."""
        moves = [[str(move.target), str(move.put or "")] for move in self.planned]
        told = {"state": str(self.state), "about": self.about, "moves": moves}
        write_whole(self._journal, _BACK + json.dumps(told).encode())
        try:
            for move, (source, mode) in zip(self.planned, sources, strict=True):
                with source.open("rb") as file, self._as(move.target):
                    _lay(file, move, mode)
            self._sync()
            self._direct(_FORWARD)
            self._forward()
        except BaseException as error:
            try:
                self._direct(_BACK)
                self._back()
                self.done()
            except OSError as second:
                raise GatewayError(
                    f"{_said(error)}; and what was moved could not be put back ({_said(second)}). When that is mended:  "
                    "sudo edge-gateway restore --resume"
                ) from error
            raise

    def go_on(self) -> bool:
        """End what was broken off: True where the restored files stand in their places, False where all is as it was."""
        forward = read_regular(self._journal, _LONGEST).startswith(_FORWARD)
        if forward:
            self._forward()
        else:
            self._back()
        return forward

    def done(self) -> None:
        """Nobody needs to go on any more."""
        self._sync()
        self._journal.unlink()
        sync_path(self._journal.parent)

    def _direct(self, direction: bytes) -> None:
        with os.fdopen(open_regular(self._journal, os.O_RDWR), "r+b", buffering=0) as file:
            file.write(direction)
            os.fsync(file.fileno())

    def _as(self, target: Path) -> AbstractContextManager[object]:
        return as_owner(self.state) if target.is_relative_to(self.state) else nullcontext()

    def _forward(self) -> None:
        for move in self.planned:
            with self._as(move.target):
                if os.path.lexists(move.part):
                    _take_place(move)

    def _back(self) -> None:
        for move in reversed(self.planned):
            with self._as(move.target):
                _give_back(move)

    def _sync(self) -> None:
        folders = {folder.parent for move in self.planned for folder in (move.target, move.put) if folder}
        for folder in sorted(folders):
            with self._as(folder), suppress(FileNotFoundError):
                sync_path(folder)


def _said(error: BaseException) -> str:
    return f"{error.filename or 'restore'}: {error.strerror}" if isinstance(error, OSError) else type(error).__name__


_BY_HAND = "see that the configuration and the state directory are as they should be, then delete it"


def _make(folder: Path) -> None:
    """With those above it; each belongs to whom the one above it belongs, and the service's group can go into it."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o750)
    if os.geteuid() == 0:
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)


def _lay(source: BinaryIO, move: Move, mode: int) -> None:
    _make(move.target.parent)
    move.part.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(move.part, flags, 0o600), "wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        if os.geteuid() == 0:
            folder = move.target.parent.stat()
            os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
        os.fchmod(file.fileno(), mode & 0o777 or 0o600)
        file.flush()
        os.fsync(file.fileno())


def _take_place(move: Move) -> None:
    if move.put is not None and os.path.lexists(move.target):
        move.put.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        move.target.rename(move.put)
    move.part.rename(move.target)


def _give_back(move: Move) -> None:
    if move.put is None:
        if not os.path.lexists(move.part):  # it has taken its place, or was never laid
            move.target.unlink(missing_ok=True)
    elif os.path.lexists(move.put):
        if not move.put.is_file():  # a file is replaced in one step; a folder cannot be laid over a file
            move.target.unlink(missing_ok=True)
        move.put.rename(move.target)
        with suppress(OSError):  # the folders made for it, as far as they are empty again
            os.removedirs(move.put.parent)
    move.part.unlink(missing_ok=True)
