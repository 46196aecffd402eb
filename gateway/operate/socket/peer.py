"""Who is at the other end of the control socket, as the kernel says."""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.places.person import control_group, user_name

SYSTEMD = "systemd"
"""Who asks when the unit's own ExecReload does: systemd does not say for whom; its log, or that of sudo, may."""
_CREDENTIALS = struct.Struct("3I")
_PEER_GROUPS = 59
"""SO_PEERGROUPS of socket(7), for which Python has no name."""
_MANY = 1024
"""Bytes of an option that Python asks for at most: 256 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, and its user when it did."""

    pid: int
    uid: int
    groups: frozenset[int] = frozenset()


def peer(connection: socket.socket) -> Peer:
    """Raises OSError when the connection is gone."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, group = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, frozenset((group, *_groups(connection, uid, group))))


def _groups(connection: socket.socket, uid: int, group: int) -> Sequence[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _MANY)
        return memoryview(raw).cast("I").tolist()
    except OSError:  # more groups than that, or an older kernel
        return os.getgrouplist(user_name(uid), group)


async def who(found: Peer) -> str:
    """Its name in the audit trail."""
    if found.uid == os.geteuid() and found.pid != os.getpid() and is_own_unit(control_group(found.pid)):
        return SYSTEMD
    return await asyncio.to_thread(user_name, found.uid)


def is_own_unit(group: str) -> bool:
    """Whether a control group is that of the service that this process is, or below it."""
    own = control_group(os.getpid())
    return own.endswith(".service") and (group == own or group.startswith(f"{own}/"))
