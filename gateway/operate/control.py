"""The control socket: how commands reach the running gateway.

One request per connection, as a line of JSON: {"command": "status", "arguments": {…}}; one line comes back, {"result": …}
or {"error": "…"}. Whoever may open the socket may ask; who it was is read from the kernel, for the audit trail.
"""

import asyncio
import contextlib
import inspect
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.core.errors import GatewayError

LINE_LIMIT = 1 << 20
"""Bytes of a request."""
CLIENTS = 32
"""Connections at a time."""
PATIENCE = 5.0
"""Seconds that a client may take to send its request, and to take the answer."""

_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY

Command = Callable[..., Awaitable[Any]]
"""Called with `who` and the request's arguments; returns a JSON value, or raises GatewayError for the person."""


class ControlServer:
    """Answers on a Unix socket, readable and writable by owner and group, while it is entered.

    Entering raises GatewayError when another gateway answers there, or the socket cannot be made.
    """

    def __init__(self, path: Path, commands: Mapping[str, Command], patience: float = PATIENCE) -> None:
        self._path = path
        self._commands = commands
        self._patience = patience
        self._clients: set[asyncio.Task[Any]] = set()

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
            return await asyncio.start_unix_server(self._client, self._path, limit=LINE_LIMIT)
        finally:
            os.umask(mask)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError):
            pass  # the client went away, or does not read
        except asyncio.CancelledError:
            # The server is closing; asyncio would report the cancelled task of a connection as an error.
            pass
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await self._answer(reader, _peer(writer)) + b"\n")
        async with asyncio.timeout(self._patience):
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, who: str) -> bytes:
        if len(self._clients) > CLIENTS:
            return _refusal(f"too many clients on the control socket: {CLIENTS} at a time")
        try:
            async with asyncio.timeout(self._patience):
                line = await reader.readline()
        except ValueError:
            return _refusal(f"the request is too long: {LINE_LIMIT} bytes at most")
        except TimeoutError:
            return _refusal(f"no request came within {self._patience:g} s")
        return await self._call(line, who)

    async def _call(self, line: bytes, who: str) -> bytes:
        try:
            request = orjson.loads(line)
            name = request["command"]
            command, arguments = self._commands[name], {**request.get("arguments", {}), "who": who}
            inspect.signature(command).bind(**arguments)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _refusal(f"not understood; the gateway knows: {', '.join(self._commands)}")
        try:
            return orjson.dumps({"result": await command(**arguments)}, option=_JSON)
        except GatewayError as error:
            return _refusal(str(error))
        except Exception as error:  # noqa: BLE001 - a bug in one answer must not stop the gateway
            structlog.get_logger().error("a command failed", command=name, exc_info=error)
            return _refusal(f"{type(error).__name__}: {error} (a bug; the traceback is in the gateway's log)")


def _refusal(reason: str) -> bytes:
    return orjson.dumps({"error": reason})


def _answers(path: Path) -> bool:
    """Whether somebody listens there; a socket left behind by a killed gateway does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _peer(writer: asyncio.StreamWriter) -> str:
    """Name of the user at the other end."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
