"""Out of the way goes what stands where the log works and cannot be used: kept, in `quarantine`, for a person to look at."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.places.regular import read_regular

log = structlog.get_logger()

FOLDERS = ("alarm", "data", "cursors", "receipts", "dead", "summaries", "quarantine", "set-aside")
FILES = ("log.json", "numbers", "tags", "synced.json", "ballast")

_KEPT_AT_MOST = 8
_COPIED_AT_MOST = 256 * 1024 * 1024


def make_folder(directory: Path) -> list[str]:
    """The log's own folder; what stands there and is none is renamed, and told. Raises OSError."""
    odd = []
    if os.path.lexists(directory) and not directory.is_dir():
        odd.append(str(directory))
        _rename(directory, directory.with_name(f"{directory.name}.odd"))
    directory.mkdir(parents=True, exist_ok=True)
    return odd


def clear_the_way(directory: Path) -> list[str]:
    """Set aside what is no folder, or no regular file, where the log needs one: a FIFO would hold up whoever opens it, and
    a folder cannot be replaced by a file. Links to the right thing stay. Says what it was. Blocking."""
    odd = []
    for name in FOLDERS:
        folder = directory / name
        if os.path.lexists(folder) and not folder.is_dir():
            odd.append(str(folder))
            _rename(folder, folder.with_name(f"{name}.odd"))
    files = [directory / name for name in FILES]
    for name in ("alarm", "data", "cursors", "receipts", "dead", "summaries"):
        with suppress(OSError):
            files += sorted((directory / name).iterdir())
    for path in files:
        if os.path.lexists(path) and not path.is_file():
            odd.append(str(path))
            log.error("what stands here is no file of the outbox and is set aside", file=str(path))
            set_aside(directory, path, move=True)
    return odd


def set_aside(directory: Path, path: Path, *, move: bool) -> None:
    """Keep this, which belongs to the log of `directory`, in its quarantine; of what is kept there the oldest go."""
    quarantine = directory / "quarantine"
    try:
        quarantine.mkdir(exist_ok=True)
        target = quarantine / (path.name if path.parent == directory else f"{path.parent.name}-{path.name}")
        _make_room(target)
        if move:
            path.rename(target)
        else:
            target.write_bytes(read_regular(path, _COPIED_AT_MOST))
        kept = sorted(quarantine.iterdir(), key=lambda entry: entry.lstat().st_mtime)
        for entry in kept[:-_KEPT_AT_MOST]:
            if not stat.S_ISDIR(entry.lstat().st_mode):
                entry.unlink()
    except OSError as error:
        log.warning("what is damaged could not be set aside", file=str(path), error=str(error))


def _make_room(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        _rename(target, target.with_name(f"{target.name}.{os.urandom(4).hex()}"))
    else:
        target.unlink(missing_ok=True)


def _rename(path: Path, target: Path) -> None:
    try:
        if os.path.lexists(target):
            target = target.with_name(f"{target.name}-{os.urandom(4).hex()}")
        path.rename(target)
        log.error("what stands where the outbox needs a folder was renamed", file=str(path), now=str(target))
    except OSError as error:
        log.warning("what is in the outbox's way could not be renamed", file=str(path), error=str(error))
