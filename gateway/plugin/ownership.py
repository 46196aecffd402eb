"""Whose word is code: a plugin runs with all rights of the daemon, so only root and the daemon's user may bring one."""

import os
import stat
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

from gateway.core.errors import PluginError


def refuse_untrusted(plugin: Path) -> None:
    """Check a plugin's file or folder, all in it, and the code Python has cached of it.

    Raises PluginError, with the command that mends it, for anything that others than root and this process' user own or
    may write to. OSError when it cannot be looked at.
    """
    for path in _parts(plugin):
        _refuse(path)


def refuse_untrusted_directory(directory: Path) -> None:
    """Check a plugin directory itself, and that nobody can swap it for another: no directory above it may be writable for
    everybody, unless it is sticky as /tmp is. Raises as `refuse_untrusted` does."""
    directory = directory.resolve()
    _refuse(directory)
    for parent in directory.parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PluginError(f"{parent}, above a plugin directory, is writable for everybody: chmod o-w {parent}")


def _parts(plugin: Path) -> Iterator[Path]:
    if plugin.is_symlink():
        yield plugin.resolve().parent
    yield plugin
    if plugin.is_dir():
        yield from plugin.rglob("*")
        return
    cached = Path(cache_from_source(str(plugin)))
    yield from (path for path in (cached.parent, cached) if path.exists())


def _refuse(path: Path) -> None:
    found = path.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise PluginError(
            f"{path} belongs to user {found.st_uid}, not to root or the daemon's user ({os.geteuid()}): chown root {path}"
        )
    if found.st_mode & stat.S_IWOTH:
        raise PluginError(f"{path} is writable for everybody: chmod o-w {path}")
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()):
        raise PluginError(f"{path} is writable for group {found.st_gid}: chmod g-w {path}")
