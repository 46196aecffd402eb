"""Asks the running gateway, by its control socket. Standard library only: commands start fast."""

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from gateway.cli.frame.screen import for_people
from gateway.cli.frame.terminal import fail

TIMEOUT = 70.0
"""Seconds without an answer after which a command gives up."""


class NoGatewayError(Exception):
    """No gateway answers; the text says what to do."""


class AnswerError(Exception):
    """The gateway answered with an error."""


def socket_path(given: str | None = None) -> Path:
    """Where the control socket is: as given, by $EDGE_GATEWAY_SOCKET, of the service, or of the user's own gateway."""
    if given or (given := os.environ.get("EDGE_GATEWAY_SOCKET")):
        return Path(given)
    service = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/edge-gateway").split(":")[0])
    if service.is_dir():
        return service / "control.sock"
    own = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(own) if own else Path.home() / ".local" / "state"
    return base / "edge-gateway" / "control.sock"


def call(path: Path, command: str, **arguments: Any) -> Any:
    """The gateway's answer. Raises NoGatewayError or AnswerError."""
    request = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
    reply = _reply(path, request)
    if "error" in reply:
        raise AnswerError(for_people(str(reply["error"])))
    for remark in reply.get("remarks", ()):
        fail(for_people(str(remark)))
    return for_people(reply["result"])


def _reply(path: Path, request: bytes) -> dict[str, Any]:
    try:
        line = _exchange(path, request)
    except TimeoutError:
        raise NoGatewayError(f"the gateway on {path} gave no answer within {TIMEOUT:g} s; see its log") from None
    except PermissionError:
        raise NoGatewayError(
            f"you may not ask the gateway ({path}).\nJoin its group and log in again:  sudo usermod -aG gateway $USER"
        ) from None
    except OSError as error:
        raise NoGatewayError(
            f"no gateway answers on {path} ({error.strerror or error}).\n"
            "Is it running?  systemctl status edge-gateway   or   edge-gateway run --config FILE"
        ) from None
    try:
        reply = json.loads(line)
    except ValueError:
        raise NoGatewayError("the gateway closed the connection without an answer; see its log") from None
    if not isinstance(reply, dict) or not reply.keys() & {"result", "error"}:
        raise NoGatewayError(f"what answers on {path} is not this gateway")
    return reply


def _exchange(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(TIMEOUT)
        _connect(line, path)
        with contextlib.suppress(BrokenPipeError):  # turned away already: why, is there to be read
            line.sendall(request)
        with line.makefile("rb") as answer:
            return answer.readline()


def _connect(line: socket.socket, path: Path) -> None:
    """Wait in the queue of those who connect: where it is full, a Unix socket with a time limit says so at once."""
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            return line.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.01)
