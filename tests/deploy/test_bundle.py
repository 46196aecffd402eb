"""The bundle: installed without a net by its script, run, and taken away again; what is wrong with one changes nothing."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import built, packages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIG = """
[gateway]
name = "b1"
state_dir = "/var/lib/edge-gateway"

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
TOUCHED = "find /opt /usr/bin /etc /usr/share /usr/local /var/lib -xdev -name '*edge-gateway*' | sort"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For this machine and its Python, unpacked."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python not in ("3.11", "3.12", "3.13"):
        pytest.skip(f"no bundle is made for Python {python}")

    def make(base: Path) -> Path:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        return built(base, "--bundle", "--arch", machine, "--python", python)

    packed = packages("bundle", make, tmp_path_factory)
    folder = tmp_path_factory.mktemp("bundle")
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
    with tarfile.open(packed) as archive:
        archive.extractall(folder, **safely)
    (unpacked,) = folder.iterdir()
    return unpacked


class Machine:
    """One without a net, where all is gone after each command."""

    def __init__(self, base: Path, bundle: Path) -> None:
        if sys.platform != "linux" or os.getuid() or shutil.which("unshare") is None:
            pytest.skip("installing a bundle needs root and unshare: sudo make test-all")
        self._base = base / "base"
        self._base.mkdir()
        self.stage = base / "stage"
        (self.stage / "srv").mkdir(parents=True)
        (self.stage / ".edge-gateway-test").touch()
        self.bundle = self.stage / "srv/bundle"
        shutil.copytree(bundle, self.bundle)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]
        script = Path(__file__).with_name("bare.sh")
        return subprocess.run(
            [*unshare, "sh", str(script), str(self._base), str(self.stage), command],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def refuses(self, prepared: str = "true", with_: str = "") -> str:
        """What the script says when it refuses; it has changed nothing."""
        told = self.run(
            f"{prepared}; {TOUCHED} >/run/before; ! {with_} /srv/bundle/install.sh || exit 9; {TOUCHED} | diff /run/before -"
        )
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stderr


@pytest.fixture
def machine(bundle: Path, tmp_path: Path) -> Machine:
    return Machine(tmp_path, bundle)


RUN = """
/srv/bundle/install.sh
cat >/etc/edge-gateway/config.toml </srv/config.toml
config=/etc/edge-gateway/config.toml
install -d -m 750 -o gateway -g gateway /srv/run /var/lib/edge-gateway  # as systemd does at the start of the unit
runuser -u gateway -- edge-gateway run --config $config --socket /srv/run/control.sock 2>/run/log & gateway=$!
until edge-gateway read mixer-1/temperature --socket /srv/run/control.sock 2>/dev/null; do
    kill -0 $gateway || { cat /run/log >&2; exit 1; }
    sleep 0.2
done
kill $gateway; wait $gateway || true
edge-gateway help install | head -1
/srv/bundle/install.sh
"""


def test_without_a_net_it_is_installed_runs_and_goes_again(machine: Machine) -> None:
    (machine.stage / "srv/config.toml").write_text(CONFIG)
    told = machine.run(f"{RUN}/srv/bundle/install.sh --remove\n{TOUCHED}")
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("Installed: edge-gateway ") and lines[0].endswith("sudo edge-gateway setup")
    assert lines[1].startswith("mixer-1/temperature")
    assert lines[2] == "# Installing the service"
    assert lines[3].startswith("Installed: edge-gateway "), "once more, over itself"
    assert lines[4].startswith("Removed. Kept: /etc/edge-gateway")
    assert lines[6:] == ["/etc/edge-gateway", "/var/lib/edge-gateway"], "nothing but what it names"


def test_one_that_is_not_whole_is_refused(machine: Machine) -> None:
    assert "not whole" in machine.refuses("rm /srv/bundle/wheels/edge_gateway-*.whl")
    assert "not whole" in machine.refuses("rm /srv/bundle/SHA256SUMS")
    assert "not whole" in machine.refuses("truncate -s -1 /srv/bundle/wheels/numpy-*.whl")
    assert "not whole" in machine.refuses("echo >>/srv/bundle/systemd/edge-gateway.service")
    changed = "printf x | dd of=$(echo /srv/bundle/wheels/edge_gateway-*.whl) bs=1 seek=5000 conv=notrunc status=none"
    assert "not whole" in machine.refuses(changed)


SUMS = "(cd /srv/bundle && find . -type f ! -name SHA256SUMS -exec sha256sum {} + >/run/sums; mv /run/sums SHA256SUMS)"
"""As they are of a bundle that was made so."""


def instead(command: str, script: str) -> str:
    """Shell that has a script called in place of a command."""
    return f"printf '#!/bin/sh\\n{script}\\n' >/run/it; chmod 755 /run/it; mount --bind /run/it $(command -v {command})"


def test_one_for_another_machine_python_or_system_is_refused_in_words(machine: Machine) -> None:
    assert "This bundle is for riscv64" in machine.refuses(f"echo riscv64 >/srv/bundle/machine; {SUMS}")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"It needs Python {python}" in machine.refuses(with_="PYTHON=/bin/false")
    other = "printf '#!/bin/sh\\necho 39\\n' >/usr/bin/python3.9; chmod 755 /usr/bin/python3.9"
    assert f"It needs Python {python}" in machine.refuses(other, with_="PYTHON=python3.9")
    assert "systemd 252 or newer, and here is 239" in machine.refuses(instead("systemctl", "echo systemd 239"))
    assert "glibc 2.28 or newer, and here is 2.17" in machine.refuses(instead("getconf", "echo glibc 2.17"))
    assert "another C library" in machine.refuses(instead("getconf", "exit 1"))
    assert "install.sh takes no --prefix" in machine.run("/srv/bundle/install.sh --prefix").stderr


def test_where_there_is_no_room_nothing_is_begun(machine: Machine) -> None:
    said = machine.refuses("mkdir -p /opt; mount -t tmpfs -o size=50m tmpfs /opt")
    assert "No room: /opt has" in said


def test_where_the_room_ends_on_the_way_what_was_there_stays(machine: Machine) -> None:
    """Somebody else took it."""
    small = f"mkdir -p /opt; mount -t tmpfs -o size=50m tmpfs /opt; echo 1 >/srv/bundle/room; {SUMS}; mkdir /opt/edge-gateway"
    assert "No space left" in machine.refuses(f"{small}; touch /opt/edge-gateway/old")
