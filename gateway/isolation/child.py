"""The process of a driver: `python -m gateway.isolation.child SOCKET PARENT`. The gateway starts it, and it ends with it."""

import asyncio
import ctypes
import faulthandler
import os
import pickle
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import gateway
from gateway.core.errors import PluginError
from gateway.isolation import wire
from gateway.isolation.failures import failure
from gateway.isolation.origin import Setup
from gateway.isolation.records import ship_logs
from gateway.isolation.served import Served
from gateway.isolation.wire import FrameKind
from gateway.kit import Receiver
from gateway.plugin.driver import Driver
from gateway.supervise.event_loop import EventLoop

_PR_SET_PDEATHSIG = 1
_SACRIFICE = 500
"""Of oom_score_adj (proc(5)): when memory runs out, this process goes before the gateway."""


def main() -> None:
    """Serve until the socket is closed. Arguments: the socket's number, and the process that started this one."""
    number, parent = map(int, sys.argv[1:])
    _bind_to(parent)
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    EventLoop().run(_serve(sock))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that hangs must not hold it up; what has to be done at an end is done in close


def _bind_to(parent: int) -> None:
    """End with the gateway, whatever the plugin does meanwhile, and not at the signals that end it in good order."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)  # not SIG_IGN, which programs that the plugin starts would inherit
    faulthandler.enable()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_SACRIFICE))


async def _serve(sock: socket.socket) -> None:
    sock.setblocking(False)
    _, child = await asyncio.get_running_loop().create_connection(DriverChild, sock=sock)
    await child.ended


class DriverChild(Receiver):
    """Takes the gateway's requests from the socket, and sends the answers."""

    def __init__(self) -> None:
        super().__init__(wire.TO_PROCESS)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._served: Served | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self.flow = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)

    def nonsense_received(self, reason: str) -> None:
        self.stop()
        if self._transport is not None:
            self._transport.abort()

    def frame_received(self, frame: bytes) -> None:
        kind, number = wire.opened(frame)
        if self._served is not None:
            self._served.take(FrameKind(kind), number, frame)
            return
        _, (setup,) = pickle.loads(frame[wire.BODY :])
        try:
            self._served = Served(self._set_up(setup), self)
        except Exception as error:  # noqa: BLE001 - of the plugin's own loading, too
            self.send(FrameKind.FAILED, number, wire.as_json(failure(error)))
        else:
            self.send(FrameKind.DONE, number, wire.as_json(gateway.__version__))

    def _set_up(self, setup: Setup) -> type[Driver[Any, Any]]:
        sys.path[:] = setup.path
        ship_logs(setup.log_level, self.send, self._loop)
        _limit_memory(setup.memory)
        return setup.origin.load()

    def send(self, kind: FrameKind, number: int, *body: bytes) -> None:
        """Send a frame; from the loop's thread."""
        if self._transport is None:
            return
        if (size := sum(map(len, body))) > wire.LONGEST - wire.BODY:
            why = PluginError(f"an answer of {size >> 20} MiB; {wire.LONGEST >> 20} MiB at most come out of a process")
            kind, body = FrameKind.FAILED, (wire.as_json(failure(why)),)
        self._transport.write(wire.frame(kind, number, *body))


def _limit_memory(limit: int) -> None:
    """Beyond, a call that wants memory raises MemoryError. RLIMIT_DATA and not RLIMIT_AS: what libraries only map or reserve
    is no memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
