"""The gateway's side of a driver's process: starts it, asks it, and ends it when it does not answer."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import structlog

import gateway
from gateway.core.amounts import format_duration
from gateway.core.errors import LinkError, RefusedError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.isolation import wire
from gateway.isolation.failures import raised
from gateway.isolation.origin import DriverOrigin, Setup
from gateway.isolation.output import Output, Records
from gateway.isolation.wire import FrameKind
from gateway.kit import Receiver

START = 60.0
"""Seconds that a process may take until it has loaded the plugin; many may start at once on a small machine."""
ACKNOWLEDGE = 1.0
"""Seconds within which a call must end when it is cancelled."""
_STACK = 0.4
"""Seconds for the process to leave its stack, before it is killed."""
POLITE = 2.0
"""Seconds for the process to end when nobody wants it any more."""
AHEAD = 16
"""Parts of a stream that may be under way."""
_NOT_PASSED_ON = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "INVOCATION_ID")
_QUIET = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class Starts(asyncio.Semaphore):
    """Places for processes that start: each takes a core for half a second."""

    def __init__(self) -> None:
        super().__init__(max(1, (os.cpu_count() or 1) - 1))


class Inflow:
    """Parts of a stream that have come and were not taken yet."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def came(self, part: bytes) -> bool:
        """One more; false when more have come than were asked for."""
        self._parts.append(part)
        self._wake()
        return len(self._parts) <= 2 * AHEAD

    def fail(self, error: Exception) -> None:
        """No more will come."""
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes:
        """The next part. Raises what ended the stream."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._parts.popleft()


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
        self._number = 0
        self._open: dict[int, asyncio.Future[bytes] | Inflow] = {}
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
                version = await self.call("setup", setup)
                self._loaded = True
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
        self._loaded = False
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
        for waiting in [*self._open.values()]:
            _fail(waiting, LinkError(self._epitaph))
        self._open.clear()
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
        if (transport := self._transport) is not None:
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

    # Asking it.

    @property
    def _transport(self) -> asyncio.Transport | None:
        return self._link.transport if self._link is not None else None

    async def call(self, method: str, *args: Any) -> Any:
        """What a method of the child answers, as JSON. Raises what it raises, and LinkError when the process ends."""
        return wire.said(await self.ask(FrameKind.CALL, _pickled(method, args)))

    def notify(self, method: str, *args: Any) -> None:
        """Call a method whose answer nobody waits for."""
        self._send(wire.frame(FrameKind.CALL, 0, _pickled(method, args)))

    async def ask(self, kind: FrameKind, body: bytes) -> bytes:
        """The frame that answers a request. Raises as `call`."""
        loop = asyncio.get_running_loop()
        number = self._begin()
        answer = self._open[number] = loop.create_future()
        begun = loop.time()
        try:
            self._send(wire.frame(kind, number, body))
            data: bytes = await answer
        except asyncio.CancelledError:
            await self._take_back(number, begun)
            raise
        finally:
            self._open.pop(number, None)
        if data[8] == FrameKind.FAILED:
            raise self._raised(data)
        return data

    def inflow(self, method: str, *args: Any) -> tuple[int, Inflow]:
        """Begin a stream; `more` asks for parts beyond the first AHEAD, `end_inflow` ends it."""
        number = self._begin()
        inflow = self._open[number] = Inflow()
        self._send(wire.frame(FrameKind.CALL, number, _pickled(method, args)))
        return number, inflow

    def more(self, number: int, count: int) -> None:
        """So many parts were taken."""
        self._send(wire.frame(FrameKind.MORE, number, wire.NUMBER.pack(count)))

    async def end_inflow(self, number: int) -> None:
        """Nobody takes the parts of this stream any more."""
        if self._open.pop(number, None) is not None:
            await self._take_back(number, asyncio.get_running_loop().time())

    async def _take_back(self, number: int, begun: float) -> None:
        """Cancel a call, and end the process if the call does not end."""
        loop = asyncio.get_running_loop()
        if self._transport is None or not self._loaded:
            return
        ended = self._open[number] = loop.create_future()
        try:
            self._send(wire.frame(FrameKind.CANCEL, number))
            await asyncio.wait([ended], timeout=ACKNOWLEDGE)
            if not ended.done():
                await self.put_down(f"did not answer for {format_duration(round(loop.time() - begun, 1))}")
        finally:
            self._open.pop(number, None)
            if ended.done() and not ended.cancelled():
                ended.exception()

    def _begin(self) -> int:
        if self._transport is None:
            raise LinkError(self._epitaph or "its process does not run")
        self._number = self._number % 0xFFFF_FFFF + 1
        return self._number

    def _send(self, data: bytes) -> None:
        if (transport := self._transport) is not None:
            transport.write(data)

    def _raised(self, data: bytes) -> Exception:
        try:
            return raised(wire.said(data))
        except ValueError as error:
            self.refuse(str(error))
            return LinkError("its process says what cannot be understood")

    # What it sends.

    def frame_received(self, frame: bytes) -> None:
        """A frame of the process: what it says unasked, or an answer."""
        kind, number = wire.opened(frame)
        if kind == FrameKind.SAID:
            if number == 0:
                self._record(frame)
            elif hear := self.hear.get(number):
                hear(frame)
            return
        waiting = self._open.get(number)
        if isinstance(waiting, Inflow):
            self._flowed(waiting, kind, number, frame)
        elif waiting is not None and not waiting.done():
            waiting.set_result(frame)

    def _record(self, frame: bytes) -> None:
        try:
            with doubting(ValueError):
                self._records.take(wire.said(frame))
        except ValueError as error:
            self.refuse(str(error))

    def _flowed(self, inflow: Inflow, kind: int, number: int, frame: bytes) -> None:
        if kind in (FrameKind.BLOCK, FrameKind.PART):
            if not inflow.came(frame):
                self.refuse("more than it was asked for")
            return
        del self._open[number]
        inflow.fail(self._raised(frame) if kind == FrameKind.FAILED else StopAsyncIteration())

    def refuse(self, reason: str) -> None:
        """What it sends cannot be understood: nothing of it is believed any more."""
        self._why = self._why or f"says what cannot be understood ({cleaned(reason)}), and was ended"
        if self._link is not None:
            self._link.stop()
        if self._popen is not None:
            self._kill(self._popen)


_UNWANTED = "was ended, since nobody wants it"


def _pickled(method: str, args: tuple[Any, ...]) -> bytes:
    import pickle

    return pickle.dumps((method, args), 5)


def _fail(waiting: asyncio.Future[bytes] | Inflow, error: Exception) -> None:
    if isinstance(waiting, Inflow):
        waiting.fail(error)
    elif not waiting.done():
        waiting.set_exception(error)


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
