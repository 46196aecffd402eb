"""The service in the booted system, and what tests do with it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from .booted import Booted

CONFIG = """\
[gateway]
name = "line3-gw1"

[[sink]]
name = "central"
plugin = "mqtt"
host = "127.0.0.1"
port = 9

[[device]]
name = "mixer-1"
driver = "simulated"
scan = "500ms"
[device.tags]
temperature = { wave = "sine", mean = 60, amplitude = 5, period = "2min" }
"""
PYTHON = "/usr/lib/edge-gateway/bin/python3"


def write(system: Booted, config: str) -> None:
    """Replace the configuration."""
    system.run(f"cat >/etc/edge-gateway/config.toml <<'END'\n{config}END")


def pid(system: Booted) -> str:
    """Of the gateway."""
    return system.property("MainPID")


def status(system: Booted) -> dict[str, Any]:
    """What the running gateway says of itself; without parts where it says nothing."""
    told = system.run("edge-gateway status --json", check=False).stdout
    return dict(json.loads(told)) if told else {"devices": [], "sinks": []}


def states(system: Booted) -> dict[str, str]:
    """Of all devices and sinks, by name."""
    now = status(system)
    return {part["name"]: part["state"] for part in [*now["devices"], *now["sinks"]]}


def serve(system: Booted, name: str, command: str, port: int) -> None:
    """Have a command run there as a unit of this name, anew if it does, and wait until it listens."""
    system.run(f"systemctl stop {name} 2>/dev/null || true; systemctl reset-failed {name} 2>/dev/null || true")
    system.run(f"systemd-run --collect --quiet --unit={name} {command}")
    system.until(lambda: _listens(system, port), f"{name} listens")


def _listens(system: Booted, port: int) -> bool:
    return system.run(f"ss -Htln 'sport = {port}' | grep -q .", check=False).returncode == 0


def broker(system: Booted, name: str, lines: Sequence[str], port: int, address: str = "127.0.0.1") -> None:
    """A mosquitto with this configuration. Skips where there is none."""
    if system.run("command -v mosquitto && command -v mosquitto_passwd", check=False).returncode:
        pytest.skip("needs a broker: apt-get install mosquitto")
    text = "\n".join(["user root", f"listener {port} {address}", *lines])
    system.run(f"cat >/srv/{name}.conf <<'END'\n{text}\nEND")
    serve(system, name, f"$(command -v mosquitto) -c /srv/{name}.conf", port)
