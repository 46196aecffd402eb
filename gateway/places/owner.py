"""Root works in a folder as its owner.

Whoever may write into a folder may lay a link there. So root, whose writing nothing stops, takes on the owner's user and
groups for as long as it works in a folder of somebody else; what it makes there then belongs to the owner too, who can read
it. The service's folder belongs to the service's user, also before it is there.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.places.state_dir import SERVICE, USER

_LINKS = 40
"""Links that are followed on one path, as the kernel does."""


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """As the owner of this folder, where root asks; as before for anybody else. Blocks may stand in each other: the inner
    one counts. For the whole process."""
    if os.getuid() != 0:
        yield
        return
    before = os.geteuid(), os.getegid(), os.getgroups()
    if before[0]:
        _become(0, 0, [0])
    try:
        _prepare(folder)
        uid, gid = owner(folder)
        if uid:
            _become(uid, gid, _groups(uid, gid))
        yield
    finally:
        if os.geteuid() != before[0]:
            _become(*before)


def owner(path: Path) -> tuple[int, int]:
    """User and group of the first step of a path that is not root's: who has that one has all behind it. Root's, where every
    step that is there is his."""
    return _owner(path.absolute(), _LINKS)


def _owner(path: Path, links: int) -> tuple[int, int]:
    for step in (*reversed(path.parents), path):
        try:
            found = os.lstat(step)
        except OSError:
            break
        if found.st_uid:
            return found.st_uid, found.st_gid
        if stat.S_ISLNK(found.st_mode) and links:
            return _owner(step.parent / step.readlink() / path.relative_to(step), links - 1)
    return 0, 0


def _prepare(folder: Path) -> None:
    """Make the service's folder as systemd will (StateDirectory=), so that root and the service work in the same one."""
    if SERVICE not in (folder, *folder.parents) or SERVICE.exists():
        return
    with suppress(KeyError, OSError):
        user = pwd.getpwnam(USER)
        SERVICE.mkdir(mode=0o750)
        os.chown(SERVICE, user.pw_uid, user.pw_gid)


def _groups(uid: int, gid: int) -> list[int]:
    with suppress(KeyError):
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    return [gid]


def _become(uid: int, gid: int, groups: list[int]) -> None:
    os.seteuid(0)
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
