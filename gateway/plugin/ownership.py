"""Whose word is code: a plugin runs with all rights of the daemon, so only root and the daemon's user may bring one.

Everything is looked at from the root of the file system downwards. What nobody else can change is found unchanged by whoever
imports it after that, so there is no moment in between at which a stranger could swap something.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

from gateway.core.errors import PluginError

FILES_AT_MOST = 10_000
"""Files and folders of one plugin."""
_LINKS_AT_MOST = 40
_ACCESS_LIST = "system.posix_acl_access"


def refuse_untrusted(plugin: Path) -> None:
    """Check a plugin's file or folder, all in it and behind links in it, and the code Python has cached of it.

    Raises PluginError, with the command that mends it, for anything that others than root and this process' user own or
    may write to, or could swap. OSError when it cannot be looked at.
    """
    for path in all_of(plugin):
        _refuse(path)
        if path.suffix == ".py" and (path == plugin or sys.pycache_prefix):
            _refuse_cached(path)


def refuse_untrusted_directory(directory: Path) -> None:
    """Check a plugin directory itself, and that nobody can swap it for another: all directories above it, and above what
    links on the way point to, belong to root or this process' user, and nobody else may write to them, unless they are
    sticky as /tmp is. Raises as `refuse_untrusted` does."""
    _refuse_way(directory)
    _refuse(directory.resolve())


def all_of(plugin: Path) -> Iterator[Path]:
    """A plugin's file or folder, and all that is in it or behind links in it, each once, under the names that an import would
    find. Raises PluginError for what is neither, for a link that somebody could turn elsewhere, and for more than a plugin
    can have."""
    seen: set[tuple[int, int]] = set()
    waiting = [plugin]
    while waiting:
        path = waiting.pop()
        if path.is_symlink():
            _refuse_way(path)
        found = path.stat()
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        if len(seen) > FILES_AT_MOST:
            raise PluginError(
                f"{plugin} holds more than {FILES_AT_MOST} files: it is no plugin, or a link leads out of it"
            )
        yield path
        if stat.S_ISDIR(found.st_mode):
            waiting += sorted(path.iterdir(), reverse=True)
        elif not stat.S_ISREG(found.st_mode):
            raise PluginError(f"{path} is neither a file nor a folder: rm {path}")


def _refuse_cached(source: Path) -> None:
    cached = Path(cache_from_source(str(source)))
    for path in (cached.parent, cached):
        if path.exists():
            _refuse(path)


def _refuse_way(path: Path) -> None:
    """Check what lies on the way to this, link by link: whoever can rename one of these can put another in its place."""
    for each in _way(path):
        found = each.lstat()
        if stat.S_ISLNK(found.st_mode):
            _refuse_owner(each, found)
        elif each != path and stat.S_ISDIR(found.st_mode):
            _refuse_owner(each, found)
            if not found.st_mode & stat.S_ISVTX:
                _refuse_writers(each, found)


def _way(path: Path) -> Iterator[Path]:
    """Every directory and every link from the root to this, itself included, in the order in which the kernel meets them."""
    here, links = Path("/"), 0
    left = [*reversed(path.absolute().parts[1:])]
    yield here
    while left:
        part = left.pop()
        if part == "..":
            here = here.parent
            continue
        step = here / part
        yield step
        if not step.is_symlink():
            here = step
            continue
        links += 1
        if links > _LINKS_AT_MOST:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = step.readlink()
        if target.is_absolute():
            here = Path("/")
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def _refuse(path: Path) -> None:
    found = path.stat()
    _refuse_owner(path, found)
    _refuse_writers(path, found)


def _refuse_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise PluginError(
            f"{path} belongs to user {found.st_uid}, not to root or the daemon's user ({os.geteuid()}): chown -h root {path}"
        )


def _refuse_writers(path: Path, found: os.stat_result) -> None:
    if found.st_mode & stat.S_IWOTH:
        raise PluginError(f"{path} is writable for everybody: chmod o-w {path}")
    if not found.st_mode & stat.S_IWGRP:
        return
    if found.st_gid not in (0, os.getegid()):
        raise PluginError(f"{path} is writable for group {found.st_gid}: chmod g-w {path}")
    if _has_access_list(path):
        raise PluginError(f"{path} is writable for those that its access list names: setfacl -b {path}")


def _has_access_list(path: Path) -> bool:
    """Where there is one, the mode's bits of the group are those of all that it names."""
    try:
        return bool(os.getxattr(path, _ACCESS_LIST))
    except OSError:
        return False
