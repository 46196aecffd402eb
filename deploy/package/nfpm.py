"""Makes a .deb or an .rpm of what was laid out, by nfpm, from one description."""

import datetime
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DEBIAN_REVISION = {"debian-12": "deb12", "debian-13": "deb13", "ubuntu-24.04": "ubuntu24.04"}
SCRIPTS = ("preinstall", "postinstall", "preremove", "postremove")
DESCRIPTION = """edge gateway for plant-floor devices
It reads PLCs and sensors, keeps their values on disk while the broker is
away, brings them to your MQTT broker, and scores them with ONNX models where
they arise."""

AS_DPKG_CALLS = {
    "preinstall": 'if [ "$1" -gt 1 ]; then set -- upgrade before; else set -- install; fi',
    "postinstall": 'if [ "$1" -gt 1 ]; then set -- configure before; else set -- configure; fi',
    "preremove": 'if [ "$1" -gt 0 ]; then set -- upgrade; else set -- remove; fi',
    "postremove": 'if [ "$1" -gt 0 ]; then set -- upgrade; else set -- remove; fi',
}
"""rpm tells its scripts how many of the package are there behind them; ours know dpkg's words. It has no purge."""


@dataclass(frozen=True, slots=True)
class About:
    """What a package is, and needs. `glibc` is its oldest."""

    version: str
    distribution: str
    architecture: str
    python: str
    glibc: str

    @property
    def kind(self) -> str:
        return "deb" if self.distribution in DEBIAN_REVISION else "rpm"


def package(nfpm: Path, about: About, root: Path, out: Path, dated: int) -> Path:
    """The package of all below `root`."""
    told = {
        "name": "edge-gateway",
        "arch": about.architecture,
        "version_schema": "none",
        "section": "net",
        "priority": "optional",
        "maintainer": "The edge gateway's authors <edge-gateway@localhost>",
        "description": DESCRIPTION,
        "license": "Apache-2.0",
        "mtime": datetime.datetime.fromtimestamp(dated, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "contents": [
            {"src": f"{root}/", "dst": "/", "type": "tree", "file_info": {"owner": "root", "group": "root"}},
        ],
        **(_deb(about) if about.kind == "deb" else _rpm(about, root)),
    }
    written = root.with_suffix(".json")
    written.write_text(json.dumps(told, indent=1))
    out.mkdir(parents=True, exist_ok=True)
    made = out / _name(about)
    subprocess.run(
        [nfpm, "package", "--config", written, "--packager", about.kind, "--target", made],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(dated)},
    )  # fmt: skip
    return made


def _name(about: About) -> str:
    if about.kind == "deb":
        return f"edge-gateway_{about.version}+{DEBIAN_REVISION[about.distribution]}_{about.architecture}.deb"
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[about.architecture]
    return f"edge-gateway-{about.version}-{_release(about)}.{machine}.rpm"


def _release(about: About) -> str:
    return f"1.py{about.python.replace('.', '')}"


def _deb(about: About) -> dict[str, Any]:
    needs = [
        f"python{about.python}",
        f"libc6 (>= {about.glibc})",
        "libgcc-s1",
        "libstdc++6",
        "systemd (>= 252)",
        "tzdata",
    ]
    return {
        "version": f"{about.version}+{DEBIAN_REVISION[about.distribution]}",
        "depends": needs,
        "suggests": ["mosquitto"],
        "scripts": {name: str(HERE / "scripts" / f"{name}.sh") for name in SCRIPTS},
        "deb": {"compression": "zstd", "fields": {"Edge-Gateway-For": about.distribution}},
    }


def _rpm(about: About, root: Path) -> dict[str, Any]:
    needs = [
        f"/usr/bin/python{about.python}",
        f"glibc >= {about.glibc}",
        "libgcc",
        "libstdc++",
        "systemd >= 252",
        "tzdata",
    ]
    scripts = {}
    for name in SCRIPTS:
        text = (HERE / "scripts" / f"{name}.sh").read_text()
        written = root.with_name(f"{root.name}-{name}.sh")
        written.write_text(text.replace("\nset -e\n", f"\nset -e\n{AS_DPKG_CALLS[name]}\n", 1))
        scripts[name] = str(written)
    return {
        "version": about.version,
        "release": _release(about),
        "depends": needs,
        "suggests": ["mosquitto"],
        "scripts": scripts,
        "rpm": {
            "summary": DESCRIPTION.split("\n")[0],
            "compression": "zstd",
            "buildhost": "localhost",
            "group": "System Environment/Daemons",
        },
    }
