"""The control socket: how commands reach the running gateway.

One request per connection, as a line of JSON: {"command": "status", "arguments": {…}}; one line comes back, {"result": …}
or {"error": "…"}. Whoever may open the socket may ask; who it is and in which groups, the kernel says: that gives the roles
by which commands are allowed, and the name in the audit trail.

Clients are not trusted to be quick, few or honest: what one sends is bounded, what it does not read is counted, and who
makes no progress loses his place (`gateway.operate.socket.clients`).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gateway.config.model import AccessSection
from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.core.parsing import parse_json
from gateway.core.text import cleaned
from gateway.operate.commands import Commands
from gateway.operate.socket.answer import portions, refusal
from gateway.operate.socket.clients import PLACES, Client, Clients
from gateway.operate.socket.peer import Peer, peer, who
from gateway.supervise import contained
from gateway.trust.access import roles

REQUEST = 256 * 1024
"""Bytes of a request."""
DEPTH = 16
"""Levels that it may be nested."""
PATIENCE = 5.0
"""Seconds that a client may take to send its request, and to take each portion of the answer."""
PORTION = 64 * 1024
"""Bytes of an answer that are handed to the kernel at once."""
ENDING = 1.0
"""Seconds that commands which run may take to end when the gateway does."""
BACKLOG = 128
"""Connections that wait to be accepted, and that are accepted in one turn of the loop, at most."""

log = structlog.get_logger()


class ControlServer:
    """Answers on a Unix socket, readable and writable by owner and group, while it is entered.

    Entering raises GatewayError when another gateway answers there, or the socket cannot be made.
    """

    def __init__(
        self,
        path: Path,
        commands: Commands,
        access: Callable[[], AccessSection] = AccessSection,
        patience: float = PATIENCE,
    ) -> None:
        """`access` says who has which role, asked anew for each request."""
        self._path = path
        self._access = access
        self._commands = commands
        self._patience = patience
        self.clients = Clients()

    async def __aenter__(self) -> "ControlServer":
        try:
            self._make_room()
            self._server = await self._listen()
        except OSError as error:
            reason = error.strerror or error
            raise GatewayError(f"control socket {self._path}: {reason}; --socket names another place") from error
        return self

    def _make_room(self) -> None:
        """Remove the socket that a killed gateway has left; nothing else."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        if _answers(self._path):
            raise GatewayError(f"another gateway answers on {self._path}; stop it first (systemctl stop edge-gateway)")
        if self._path.is_socket():
            self._path.unlink()

    async def _listen(self) -> asyncio.Server:
        mask = os.umask(0o117)
        try:
            return await asyncio.start_unix_server(self._client, self._path, limit=REQUEST, backlog=BACKLOG)
        finally:
            os.umask(mask)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = self.clients.tasks()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING)
        self._path.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        client = None
        try:
            found = peer(writer.get_extra_info("socket"))
            client = self.clients.admit(found.uid, task)
            if client is None:
                writer.write(refusal(f"too many clients on the control socket: {PLACES} at a time"))
            else:
                await contained(self._serve(client, found, reader, writer))
        except (OSError, TimeoutError):
            pass  # the client went away, or does not read
        except asyncio.CancelledError:
            # Put out, or the server is closing; asyncio would report the cancelled task of a connection as an error.
            if client is not None and client.put_out:
                writer.write(refusal("too many clients on the control socket: you were the slowest; ask again"))
        except Exception as error:
            log.error("an answer broke off", exc_info=error)
        finally:
            if client is not None:
                self.clients.leave(client)
            # Not close(): that would keep what the client does not read for as long as it likes.
            _end(writer)

    async def _serve(
        self, client: Client, found: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        try:
            line = await self._request(reader)
        except GatewayError as error:
            return await self._send(client, writer, refusal(str(error)))
        client.moved = asyncio.get_running_loop().time()
        held = await asyncio.to_thread(roles, self._access(), found.uid, found.groups)
        actor = Actor(await who(found), client.uid, held)
        async with contextlib.nullcontext() if self._is_at_once(line) else self.clients.turn(client):
            answer, stream = await self._answer(client, actor, line)
        await self._send(client, writer, answer)
        if stream is not None:
            async for portion in portions(stream, actor.remarks):
                await self._send(client, writer, portion)
        return None

    def _is_at_once(self, line: bytes) -> bool:
        with contextlib.suppress(GatewayError):
            return self._commands.is_at_once(_parsed(line))
        return True

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                return await reader.readline()
        except ValueError:
            raise GatewayError(f"the request is too long: {REQUEST} bytes at most") from None
        except TimeoutError:
            raise GatewayError(f"no request came within {self._patience:g} s") from None

    async def _answer(self, client: Client, actor: Actor, line: bytes) -> tuple[bytes, Any]:
        """What to send, and, of a long list, what is made only as the client takes it."""
        try:
            answer, stream = await contained(self._made(actor, line))
        except GatewayError as error:
            return refusal(str(error)), None
        except Exception as error:
            log.error("a command failed", request=cleaned(line.decode(errors="replace"), 200), exc_info=error)
            reason = cleaned(f"{type(error).__name__}: {error}")
            return refusal(f"{reason} (a bug; the traceback is in the gateway's log)"), None
        if not self.clients.hold(client, len(answer)):
            return refusal(f"the answer is too long ({len(answer)} bytes): ask for less of it"), None
        return answer, stream

    async def _made(self, actor: Actor, line: bytes) -> tuple[bytes, Any]:
        result = await self._commands.call(actor, _parsed(line))
        if hasattr(result, "__next__"):
            return b"", result
        return b"".join([portion async for portion in portions(result, actor.remarks)]), None

    async def _send(self, client: Client, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Returns when the kernel has all of it. Raises TimeoutError when the client takes too long over a portion."""
        rest = memoryview(data)
        while rest:
            writer.write(bytes(rest[:PORTION]))
            rest = rest[PORTION:]
            async with asyncio.timeout(self._patience):
                await writer.drain()
            client.held = len(rest)
            client.moved = asyncio.get_running_loop().time()


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line, size=REQUEST + 1, depth=DEPTH)
    except ValueError as error:
        raise GatewayError(f'not understood: a request is {{"command": NAME, "arguments": {{…}}}}: {error}') from None


def _end(writer: asyncio.StreamWriter) -> None:
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    else:
        writer.close()


def _answers(path: Path) -> bool:
    """Whether somebody listens there; a socket left behind by a killed gateway does not answer."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
