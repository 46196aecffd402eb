"""From the installed package to the first live value, as a technician gets there."""

import json
import time
from collections.abc import Iterator

import pytest

from .booted import Booted
from .service import CONFIG, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BROKER, COATER = 1884, 5021


@pytest.fixture
def plant(system: Booted) -> Iterator[Booted]:
    """No configuration yet; a broker and a Modbus device that answer."""
    if system.run("command -v mosquitto", check=False).returncode:
        pytest.skip("needs a broker: apt-get install mosquitto")
    python = "systemd-run --collect --quiet /usr/lib/edge-gateway/bin/python3 -m gateway.demo"
    system.run(
        f"{python}.serve_coater --port {COATER}; systemd-run --collect --quiet $(command -v mosquitto) -p {BROKER}"
    )
    listening = " && ".join(f"ss -Htln 'sport = {port}' | grep -q ." for port in (BROKER, COATER))
    system.until(lambda: not system.run(listening, check=False).returncode, "a broker and a device that listen")
    system.run("systemctl stop edge-gateway; systemctl reset-failed edge-gateway; rm /etc/edge-gateway/config.toml")
    yield system
    write(system, CONFIG)


def test_one_command_and_its_questions_lead_to_a_running_service_and_its_first_value(plant: Booted) -> None:
    broker = ("line3-gw1", "127.0.0.1", "n", str(BROKER), "-")
    device = ("modbus", "coater-1", "127.0.0.1", str(COATER), "1", "40001", "float32")
    began = time.monotonic()
    answers = "\n".join(broker + device)
    told = plant.run(f"edge-gateway setup <<'END'\n{answers}\nEND").stdout
    print(f"from setup to the first value: {time.monotonic() - began:.1f} s")
    assert "it runs:" in told
    assert "coater-1/first_value = " in told
    assert plant.property("ActiveState") == "active"
    assert json.loads(plant.run("edge-gateway status --json").stdout)["sinks"][0]["state"] == "up"
