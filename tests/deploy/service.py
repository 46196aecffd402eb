"""The service in the booted system, and what tests do with it."""

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
