"""The wheel and the package, built from this checkout."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def build(distribution: str, architecture: str, base: Path) -> Path:
    """A package, built below `base`. Skips where what it is built with cannot be had."""
    command = [sys.executable, CHECKOUT / "deploy/package/build.py", "--for", distribution, "--arch", architecture]
    made = subprocess.run(
        [*command, "--out", base / "out", "--work", base / "work"],
        capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "SOURCE_DATE_EPOCH": DATED},
    )  # fmt: skip
    if made.returncode == os.EX_TEMPFAIL:
        pytest.skip(f"needs a package: {made.stderr.strip().splitlines()[-1]}")
    assert made.returncode == 0, made.stderr
    (deb,) = (base / "out").glob("*.deb")
    return deb


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
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-gateway-build/packages"
    folder = cache / f"{_digest()}-{name}"
    if not (found := list(folder.glob("*.deb"))):
        made = build(name, architecture(), tmp_path_factory.mktemp("package"))
        shutil.rmtree(cache, ignore_errors=True)  # only the last one is of use
        part = cache / f"{os.getpid()}.part"
        part.mkdir(parents=True)
        shutil.copy(made, part)
        part.rename(folder)
        found = [folder / made.name]
    return found[0]


def _digest() -> str:
    digest = hashlib.sha256()
    paths = [path for name in INPUTS for path in [CHECKOUT / name, *(CHECKOUT / name).rglob("*")]]
    for path in sorted([*paths, *CHECKOUT.glob("*.md")]):
        if path.is_file() and not {"__pycache__", "node_modules", "tests"} & set(path.parts[len(CHECKOUT.parts) :]):
            digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:32]
