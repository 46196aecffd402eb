"""Ports for servers in other processes."""

import atexit
import socket
from collections import deque

_held: deque[socket.socket] = deque()
_AT_ONCE = 100
"""More than any one test needs; older ones are given back."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 for a server that sets SO_REUSEADDR, as nearly all do. It stays bound here without listening,
    so that nobody else is given it before the server starts, or while it is away; to dial it then is refused."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    if len(_held) > _AT_ONCE:
        _held.popleft().close()
    return int(holder.getsockname()[1])


@atexit.register
def _give_back() -> None:
    while _held:
        _held.pop().close()


def listens(port: int) -> bool:
    """Whether somebody takes connections there, on this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
