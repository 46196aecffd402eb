"""Starts the service where systemd runs, and waits until a value is there."""

import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.terminal import number
from gateway.places.state_dir import CONFIG

UNIT = "edge-gateway.service"
SYSTEMD = Path("/run/systemd/system")
READY = 90.0
"""Seconds for systemd to say that the service runs."""
VALUE = 20.0
"""Seconds until the first value is there."""


@dataclass(slots=True)
class Started:
    """What came of it."""

    ok: bool = True
    started: bool = False
    value: dict[str, Any] | None = None
    next: str = ""
    lines: list[str] = field(default_factory=list)


def start(config: Path, socket: str | None, *, wanted: bool) -> Started:
    """Start it, where this is the service's configuration and systemd runs; else say how to."""
    if not wanted or config != CONFIG or not SYSTEMD.is_dir() or os.geteuid() != 0 or not _is_known():
        how = "sudo systemctl enable --now edge-gateway" if config == CONFIG else f"edge-gateway run --config {config}"
        return Started(next=how, lines=[f"start it:  {how}"])
    for command in (["daemon-reload"], ["enable", UNIT], ["restart", UNIT]):
        said = _systemctl(*command)
        if said:
            why = f"the service does not start: {said}; see  journalctl -u edge-gateway -n 50"
            return Started(False, next="journalctl -u edge-gateway -n 50", lines=[why])
    value = _first_value(socket)
    if value is None:
        return Started(
            False, True, next="edge-gateway status", lines=["it runs, and no value has come yet: edge-gateway status"]
        )
    shown = f"{value['device']}/{value['tag']} = {number(value['value'])} {value.get('unit', '')}".rstrip()
    return Started(
        True, True, value, "edge-gateway status", ["it runs:", f"  {shown}", "  edge-gateway status shows more"]
    )


def _is_known() -> bool:
    return not _systemctl("cat", UNIT)


def _systemctl(*command: str) -> str:
    """What is wrong; empty when nothing is."""
    try:
        done = subprocess.run(["systemctl", *command], capture_output=True, text=True, timeout=READY, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"systemctl: {error}"
    return (done.stderr.strip() or f"systemctl {command[0]} failed") if done.returncode else ""


def _first_value(socket: str | None) -> dict[str, Any] | None:
    """The first tag that has a value; None where none comes in time."""
    end = time.monotonic() + VALUE
    while time.monotonic() < end:
        try:
            for tag in call(socket_path(socket), "tags"):
                if tag.get("value") is not None:
                    return dict(tag)
        except (NoGatewayError, AnswerError):
            pass
        time.sleep(0.3)
    return None
