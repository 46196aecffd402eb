"""The wheel and the package, built from this checkout."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.demo import scenario
from gateway.demo.scenario import Ports

from .booted import Booted, booted
from .service import CONFIG, PYTHON, write

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "deploy" / "systemd"
INPUTS = ("gateway", "plugins", "deploy", "docs", "pyproject.toml", "config.example.toml", "LICENSE")
"""What a package is made of, beside the pages on top."""
DATED = "1700000000"
"""So that a package of the same files has the same bytes, whatever was committed between."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target)]
    subprocess.run([*build, str(CHECKOUT)], check=True, timeout=500)
    (built,) = target.glob("*.whl")
    return built


def built(base: Path, *options: str) -> Path:
    """A package or bundle, built below `base`. Skips where what it is built with cannot be had."""
    made = subprocess.run(
        [sys.executable, CHECKOUT / "deploy/package/build.py", *options, "--out", base / "out", "--work", base / "work"],
        capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "SOURCE_DATE_EPOCH": DATED},
    )  # fmt: skip
    if made.returncode == os.EX_TEMPFAIL:
        pytest.skip(f"needs a package: {made.stderr.strip().splitlines()[-1]}")
    assert made.returncode == 0, made.stderr
    (package,) = (base / "out").iterdir()
    return package


def build(distribution: str, architecture: str, base: Path) -> Path:
    """The package for these."""
    return built(base, "--for", distribution, "--arch", architecture)


def distribution() -> str:
    """This machine's, as packages name it. Skips where none is made for it."""
    path = Path("/etc/os-release")
    told = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line) if path.exists() else {}
    name = f"{told.get('ID', '?')}-{told.get('VERSION_ID', '?')}".replace('"', "")
    if name not in ("debian-12", "debian-13", "ubuntu-24.04") or shutil.which("dpkg") is None:
        pytest.skip(f"no package is made for {name}: run the tests on Debian 12")
    return name


def architecture() -> str:
    """This machine's, as dpkg names it."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for this machine, built anew only when something that it is made of has changed."""
    name = distribution()
    return packages(name, lambda base: build(name, architecture(), base), tmp_path_factory)


def packages(name: str, make: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was made of this checkout under this name, made anew only when something that it is made of has changed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-gateway-build/packages"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{_digest()}-{name}"
    with (cache / f"{name}.lock").open("w") as lock:  # tests run at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            made = make(tmp_path_factory.mktemp("package"))
            for old in cache.glob(f"*-{name}"):  # only the last one is of use
                shutil.rmtree(old, ignore_errors=True)
            part = cache / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            shutil.copy(made, part)
            part.rename(folder)
        (found,) = folder.iterdir()
    return found


def _digest() -> str:
    digest = hashlib.sha256()
    paths = [path for name in INPUTS for path in [CHECKOUT / name, *(CHECKOUT / name).rglob("*")]]
    for path in sorted([*paths, *CHECKOUT.glob("*.md")]):
        if path.is_file() and not {"__pycache__", "node_modules", "tests"} & set(path.parts[len(CHECKOUT.parts) :]):
            digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:32]


@pytest.fixture(scope="package")
def system(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Booted, with the package installed, set up and started."""
    base = tmp_path_factory.mktemp("booted")
    config = base / "stage/srv/demo"
    config.mkdir(parents=True)
    shutil.copy(deb, base / "stage/srv")
    scenario.write(config, Ports(1883, 5020, 4840, 8080), PYTHON, "mosquitto")
    with booted(base / "run", base / "stage") as system:
        system.run(
            "dpkg --configure -a", check=False
        )  # this machine may be in the middle of an installation of its own
        began = time.monotonic()
        told = system.run(f"apt-get install --yes /srv/{deb.name} 2>&1").stdout
        assert "sudo edge-gateway setup" in told, "what a technician does next"
        assert system.property("ActiveState") == "inactive"
        system.run("cp /srv/demo/config.toml /etc/edge-gateway/demo.toml; cp -r /srv/demo/models /etc/edge-gateway")
        write(system, CONFIG)
        system.run("systemctl start edge-gateway")
        print(f"from apt-get install to active: {time.monotonic() - began:.1f} s")
        yield system


@pytest.fixture
def running(system: Booted) -> Iterator[Booted]:
    """The service, started and with its first configuration, whatever a test before has done."""
    write(system, CONFIG)
    system.run("systemctl reset-failed edge-gateway; systemctl restart edge-gateway")
    yield system
    write(system, CONFIG)
