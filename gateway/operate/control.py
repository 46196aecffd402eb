"""The control socket: how commands reach the running gateway.

One request per connection, as a line of JSON: {"command": "status", "arguments": {…}}; one line comes back, {"result": …}
or {"error": "…"}. Whoever may open the socket may ask; who it was is read from the kernel, for the audit trail.
"""

import asyncio
import contextlib
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
CLIENTS = 32
TIMEOUT = 60.0

Command = Callable[..., Awaitable[Any]]
"""Called with `who` and the request's arguments; returns a JSON value, or raises GatewayError for the person."""


class ControlServer:
    """Answers on a Unix socket while it is entered."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._clients: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "ControlServer":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if _answers(self._path):
            raise GatewayError(f"another gateway answers on {self._path}; stop it first (systemctl stop edge-gateway)")
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o117)
        try:
            self._server = await asyncio.start_unix_server(self._client, self._path, limit=LINE_LIMIT)
        finally:
            os.umask(mask)
        return self

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
            if len(self._clients) > CLIENTS:
                answer: dict[str, Any] = {"error": "too many clients on the control socket"}
            else:
                async with asyncio.timeout(TIMEOUT):
                    answer = await self._answer(await reader.readline(), _peer(writer))
            writer.write(orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass
        except asyncio.CancelledError:
            # The server is closing; asyncio would report the cancelled task of a connection as an error.
            pass
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes, who: str) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            command, arguments = request["command"], request.get("arguments", {})
            known = self._commands[command]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return {"error": f"not understood; the gateway knows: {', '.join(self._commands)}"}
        try:
            return {"result": await known(who=who, **arguments)}
        except GatewayError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - a bug in one answer must not stop the gateway
            structlog.get_logger().error("a command failed", command=command, exc_info=error)
            return {"error": f"{type(error).__name__}: {error} (a bug; the traceback is in the gateway's log)"}


def _answers(path: Path) -> bool:
    """Whether somebody listens there; a socket left behind by a killed gateway does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
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
