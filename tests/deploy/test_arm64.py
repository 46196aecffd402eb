"""The package for arm64, installed and run on an emulated processor; skipped where there is none (emulated.py says how)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.broker import Broker
from tests.peers.modbus_server import load_library

from . import emulated
from .conftest import CHECKOUT, build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIG = """
[gateway]
name = "arm"
state_dir = "/srv/state"

[[sink]]
name = "central"
plugin = "mqtt"
host = "127.0.0.1"
port = {broker}

[[device]]
name = "mixer"
driver = "simulated"
scan = "500ms"
[device.tags]
temperature = {{ wave = "sine", mean = 60, amplitude = 5, period = "2min" }}

[[device]]
name = "press"
driver = "modbus"
host = "127.0.0.1"
port = {modbus}
scan = "500ms"
[device.tags]
oil = {{ address = "40001", type = "uint16" }}
"""
TRY = r"""
set -eu
dpkg --install /srv/*.deb
edge-gateway --version
edge-gateway check --config /srv/config.toml
edge-gateway run --config /srv/config.toml --socket /srv/control.sock 2>/srv/log & gateway=$!
until edge-gateway read press/oil --socket /srv/control.sock 2>/dev/null; do kill -0 $gateway; sleep 1; done
until edge-gateway status --socket /srv/control.sock | tee /srv/status | grep -q 'nothing waiting'; do sleep 1; done
cat /srv/status
/usr/lib/edge-gateway/bin/python3 -c 'import onnxruntime, asyncua, platform; print("machine", platform.machine())'
kill $gateway
wait $gateway
"""


@pytest.fixture
def modbus() -> Iterator[int]:
    """The port of a libmodbus server."""
    try:
        load_library()
    except OSError as error:
        pytest.skip(str(error))
    server = [sys.executable, CHECKOUT / "tests/peers/modbus_server.py"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[1])
        process.terminate()


def test_it_is_installed_reads_and_sends(modbus: int, tmp_path: Path) -> None:
    if reason := emulated.missing():
        pytest.skip(reason)
    deb = build("debian-12", "arm64", tmp_path)
    with Broker(tmp_path) as broker:
        config, script = tmp_path / "config.toml", tmp_path / "try.sh"
        config.write_text(CONFIG.format(broker=broker.port, modbus=modbus))
        script.write_text(TRY)
        stage = tmp_path / "stage"
        stage.mkdir()
        told = emulated.enter(emulated.ROOT, stage, [deb, config, script], ["sh", "/srv/try.sh"])
    assert told.returncode == 0, told.stdout
    for said in ("edge-gateway 0.", "2 devices, 2 tags", "press/oil", "2 of 2 up", "machine aarch64"):
        assert said in told.stdout
