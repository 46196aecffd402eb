"""The wheel is all that a gateway needs, far from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from gateway.demo.scenario import Ports, write

from .conftest import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel into an environment of its own; dependencies are taken from this one."""
    base = tmp_path_factory.mktemp("installed")
    python = base / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", base / "venv"], check=True, timeout=250)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=250)
    (own,) = (base / "venv" / "lib").glob("python3*/site-packages")
    shared = sysconfig.get_path("purelib")
    # addsitedir would follow the .pth file of this checkout's editable install too; a plain path does not.
    (own / "dependencies.pth").write_text(f"{shared}\n")
    return base / "venv" / "bin" / "edge-gateway"


def run(command: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [command, *words], capture_output=True, text=True, timeout=250, check=False, cwd=command.parent, env=environment
    )


def test_it_holds_what_is_needed_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "gateway/py.typed", "gateway/demo/models/coater.onnx", "gateway/_deploy/systemd/edge-gateway.service",
        "gateway/_deploy/systemd/dropins/serial.conf", "gateway/plugin/templates/driver/__init__.py.txt",
    ):  # fmt: skip
        assert needed in names
    for plugin in (path for path in (CHECKOUT / "plugins").iterdir() if (path / "__init__.py").exists()):
        for part in ("__init__.py", "README.md", "sample.toml"):
            assert f"gateway/_plugins/{plugin.name}/{part}" in names
        rooms = (path.relative_to(plugin) for path in plugin.rglob("*.py"))
        code = {path for path in rooms if not {"tests", "cases"} & set(path.parts)}
        assert {f"gateway/_plugins/{plugin.name}/{path}" for path in code} <= names
    assert not [name for name in names if "/tests/" in name and "templates" not in name]
    assert not [name for name in names if "/cases/" in name or "__pycache__" in name]
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"gateway"}


def test_it_finds_the_shipped_plugins_within_itself(installed: Path) -> None:
    told = run(installed, "plugin", "list", "--json")
    assert told.returncode == 0, told.stderr
    plugins = {info["name"]: info for info in json.loads(told.stdout)}
    assert {"modbus", "opcua", "simulated", "mqtt"} <= set(plugins)
    for info in plugins.values():
        assert Path(info["origin"]).is_relative_to(installed.parents[1]), "found in the checkout"


def test_the_rooms_of_the_shipped_plugins_are_found_there_when_they_are_needed(installed: Path) -> None:
    told = run(installed, "browse", "opc.tcp://127.0.0.1:1", "--driver", "opcua")
    assert "127.0.0.1:1" in told.stderr
    assert "import" not in told.stderr.lower(), "the rest of the driver is imported at the first connect"


def test_it_checks_the_demos_configuration(installed: Path, tmp_path: Path) -> None:
    config = write(tmp_path, Ports(1883, 5020, 4840), sys.executable, "mosquitto")
    told = run(installed, "check", "--config", str(config))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "3 devices, 25 tags, 1 sink, 1 model" in told.stdout
