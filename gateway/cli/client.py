"""Asks the running gateway, by its control socket. Standard library only: commands start fast."""

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

TIMEOUT = 70.0


class UnreachableError(Exception):
    """No gateway answers; the text says what to do."""


class AnswerError(Exception):
    """The gateway answered with an error."""


def socket_path(given: str | None = None) -> Path:
    """Where the control socket is: as given, by $EDGE_GATEWAY_SOCKET, of the service, or of the user's own gateway."""
    if given or (given := os.environ.get("EDGE_GATEWAY_SOCKET")):
        return Path(given)
    service = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/edge-gateway").split(":")[0]) / "control.sock"
    if service.parent.is_dir():
        return service
    own = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(own) / "edge-gateway" if own else Path(tempfile.gettempdir()) / f"edge-gateway-{os.getuid()}"
    return base / "control.sock"


def call(path: Path, command: str, **arguments: Any) -> Any:
    """The gateway's answer. Raises UnreachableError or AnswerError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(TIMEOUT)
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            with line.makefile("rb") as answer:
                text = answer.readline()
        except PermissionError:
            raise UnreachableError(
                f"you may not ask the gateway ({path}).\n"
                "Join its group and log in again:  sudo usermod -aG gateway $USER"
            ) from None
        except OSError as error:
            raise UnreachableError(
                f"no gateway answers on {path} ({error.strerror or error}).\n"
                "Is it running?  systemctl status edge-gateway   or   edge-gateway run --config FILE"
            ) from None
    if not text:
        raise UnreachableError("the gateway closed the connection without an answer; see its log")
    reply = json.loads(text)
    if "error" in reply:
        raise AnswerError(reply["error"])
    return reply["result"]
