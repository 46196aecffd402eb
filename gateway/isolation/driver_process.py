"""The gateway's side of a driver's process: starts it, asks it, and ends it when it does not answer."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

import structlog

import gateway
from gateway.core.errors import LinkError, RefusedError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.isolation import wire
from gateway.isolation.calls import OpenCalls
from gateway.isolation.origin import DriverOrigin, Setup
from gateway.isolation.output import Output, Records
from gateway.isolation.wire import FrameKind
from gateway.kit import Receiver

START = 60.0
"""Seconds that a process may take until it has loaded the plugin; many may start at once on a small machine."""
_STACK = 0.4
"""Seconds for the process to leave its stack, before it is killed."""
POLITE = 2.0
"""Seconds for the process to end when nobody wants it any more."""
_NOT_PASSED_ON = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "INVOCATION_ID")
_QUIET = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class Starts(asyncio.Semaphore):
    """Places for processes that start: each takes a core for half a second."""

    def __init__(self) -> None:
        super().__init__(max(1, (os.cpu_count() or 1) - 1))


class _Link(Receiver):
    """The socket of one process."""

    def __init__(self, process: "Process") -> None:
        super().__init__(wire.FROM_PROCESS)
        self._process = process
        self.transport: asyncio.Transport | None = None
        """None when it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self.flow = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._process.lost(self)

    def frame_received(self, frame: bytes) -> None:
        self._process.frame_received(frame)

    def nonsense_received(self, reason: str) -> None:
        self._process.refuse(reason)

    def end(self) -> None:
        """Take nothing more, and close."""
        self.stop()
        if self.transport is not None:
            self.transport.abort()


class Process:
    """One process for one line. It is started by `ready`, lives over many connections, and is started anew when it has ended.

    Whatever it sends is foreign: a frame that cannot be understood ends it.
    """

    def __init__(self, origin: DriverOrigin, name: str, memory: int, starts: asyncio.Semaphore | None = None) -> None:
        self._origin = origin
        self._memory = memory
        self._starts = starts or asyncio.Semaphore()
        self._log = structlog.get_logger().bind(line=name)
        self._records = Records(self._log)
        self._popen: subprocess.Popen[bytes] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._link: _Link | None = None
        self.calls = OpenCalls(self)
        """What is asked of it."""
        self.is_loaded = False
        """Whether it has loaded the plugin."""
        self._why = ""
        self._epitaph = ""
        self.hear: dict[int, Callable[[bytes], None]] = {}
        """Session → who hears what is said in it unasked."""
        self.born = 0
        """How many times it was started; what was introduced to one is not known to the next."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs."""
        return self._popen.pid if self._popen is not None else None

    def status(self) -> Mapping[str, int] | None:
        """Number and resident bytes (proc(5), statm) of the process, and how many times it was started; None while it does
        not run."""
        if self._popen is None:
            return None
        try:
            pages = int(Path(f"/proc/{self._popen.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            pages = 0
        return {"pid": self._popen.pid, "memory": pages * os.sysconf("SC_PAGE_SIZE"), "starts": self.born}

    def epitaph(self) -> str:
        """How it ended, in words, if it has by itself since this was asked last; else empty."""
        said, self._epitaph = self._epitaph, ""
        return said if self._why != _UNWANTED else ""

    # Its life.

    async def ready(self, secrets: frozenset[str] = frozenset()) -> None:
        """Start it unless it runs. `secrets`: variables of the environment that are not for it. Raises LinkError when it
        cannot be started, PluginError when it cannot load the plugin."""
        if self._popen is not None:
            return
        async with self._starts:
            try:
                await self._start(secrets)
            except OSError as error:
                raise LinkError(f"no process can be started for its driver: {error.strerror or error}") from error
        setup = Setup(sys.path, self._origin, self._memory, structlog.get_logger().get_effective_level())
        try:
            async with asyncio.timeout(START):
                version = await self.calls.call("setup", setup)
                self.is_loaded = True
        except TimeoutError:
            await self.put_down(f"was not ready within {START:g} s")
            raise LinkError(self.epitaph()) from None
        except BaseException:
            self.abandon()  # it has nothing open yet
            raise
        if version != gateway.__version__:
            self.abandon()
            raise RefusedError(
                f"its process is of version {cleaned(version)}, the gateway of {gateway.__version__}: restart the gateway"
            )

    async def _start(self, secrets: frozenset[str]) -> None:
        loop = asyncio.get_running_loop()
        kept = {name: value for name, value in os.environ.items() if name not in secrets | {*_NOT_PASSED_ON}}
        kept |= _QUIET | {"PYTHONPATH": str(Path(gateway.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
        ours, its = socket.socketpair()
        ours.setblocking(False)
        out, its_out = os.pipe()
        try:
            # From this thread, for with the one that started it the process ends (PR_SET_PDEATHSIG).
            popen = subprocess.Popen(  # noqa: ASYNC220 - a fork without memory to copy: it takes a millisecond
                [sys.executable, "-P", "-m", "gateway.isolation.child", str(its.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=its_out, stderr=its_out, pass_fds=[its.fileno()], env=kept, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            os.close(out)
            raise
        finally:
            its.close()
            os.close(its_out)
        self._popen, self._gone = popen, loop.create_future()
        self._why = self._epitaph = ""
        self.is_loaded = False
        self.born += 1
        self._output = Output(out, self._origin.places, self._log)
        self._pidfd = os.pidfd_open(popen.pid)
        loop.add_reader(self._pidfd, self._reap)
        _, self._link = await loop.create_connection(lambda: _Link(self), sock=ours)

    def lost(self, link: _Link) -> None:
        """A socket is closed: the process ends, or is of no more use."""
        if link is self._link and self._popen is not None:
            asyncio.get_running_loop().call_later(_STACK, self._kill, self._popen)

    def _reap(self) -> None:
        """It has ended."""
        popen = self._popen
        assert popen is not None and self._gone is not None
        if popen.poll() is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        with suppress(OSError):  # what it has started
            os.killpg(popen.pid, signal.SIGKILL)
        self._output.end()
        self._popen = None
        self._epitaph = f"its process {self._why or _ended(popen.returncode)}"
        if place := self._output.place:
            self._epitaph += f": it stood at {place}"
        if self._why != _UNWANTED:
            self._log.error("the process of a driver has ended", reason=self._epitaph, pid=popen.pid)
        if self._link is not None:
            self._link.end()
            self._link = None
        self.calls.fail(LinkError(self._epitaph))
        self._gone.set_result(None)

    def _kill(self, popen: "subprocess.Popen[bytes]") -> None:
        if popen is self._popen:
            with suppress(OSError):
                os.killpg(popen.pid, signal.SIGKILL)

    async def put_down(self, why: str) -> None:
        """End it for a reason, as in "did not answer for 3 s"; its stack comes into the log."""
        popen, gone = self._popen, self._gone
        if popen is None or gone is None:
            return
        if not self._why:
            self._why = f"{why}, and was ended"
            with suppress(OSError):
                os.kill(popen.pid, signal.SIGABRT)
        await asyncio.wait([gone], timeout=_STACK)
        self._kill(popen)
        await asyncio.wait([gone], timeout=_STACK)

    async def end(self) -> None:
        """Nobody wants it any more."""
        popen, gone = self._popen, self._gone
        if popen is None or gone is None:
            return
        self._why = self._why or _UNWANTED
        if (transport := self.transport) is not None:
            transport.close()
        try:
            await asyncio.wait([gone], timeout=POLITE)
            self._kill(popen)
            await asyncio.wait([gone], timeout=_STACK)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Kill it at once, unless it has ended."""
        if (popen := self._popen) is not None:
            self._why = self._why or _UNWANTED
            self._kill(popen)
            popen.wait()
            self._reap()

    @property
    def transport(self) -> asyncio.Transport | None:
        """To it; None while it does not run."""
        return self._link.transport if self._link is not None else None

    @property
    def why_gone(self) -> str:
        """Why it does not run, in words."""
        return self._epitaph or "its process does not run"

    # What it sends.

    def frame_received(self, frame: bytes) -> None:
        """A frame of the process: what it says unasked, or an answer."""
        kind, number = wire.opened(frame)
        if kind in (FrameKind.SAID, FrameKind.BROUGHT):
            if number == 0:
                self._record(frame)
            elif hear := self.hear.get(number):
                hear(frame)
            return
        self.calls.answered(kind, number, frame)

    def _record(self, frame: bytes) -> None:
        try:
            with doubting(ValueError):
                self._records.take(wire.said(frame))
        except ValueError as error:
            self.refuse(str(error))

    def refuse(self, reason: str) -> None:
        """What it sends cannot be understood: nothing of it is believed any more."""
        self._why = self._why or f"says what cannot be understood ({cleaned(reason)}), and was ended"
        if self._link is not None:
            self._link.stop()
        if self._popen is not None:
            self._kill(self._popen)


_UNWANTED = "was ended, since nobody wants it"


def _ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended by itself, with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "?"
    memory = ", as when the machine has no memory left" if -code == signal.SIGKILL else ""
    return f"ended by signal {-code} ({name}){memory}"
