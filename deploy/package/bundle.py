"""The bundle for machines without a package: wheels for every Python, and a script that installs them without a net."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (*(f"manylinux_2_{minor}" for minor in range(28, 16, -1)), "manylinux2014", "linux")
"""What a machine with glibc 2.28 can use, the newest first (PEP 600)."""
PIP = "26.3"


def bundle(
    machine: str,
    version: str,
    out: Path,
    work: Path,
    lock: Path,
    wheel: Path,
    uv: Callable[..., None],
    dated: int,
    pythons: Sequence[str] = PYTHONS,
) -> Path:
    """Fetch all and pack it. `machine` is as in x86_64; `uv` runs uv."""
    wheels = work / f"wheels-{machine}"
    wheels.mkdir(parents=True)
    for python in pythons:
        flat = work / f"requirements-{machine}-{python}.txt"  # pip would take this Python's markers, not the target's
        uv(
            "pip", "compile", "--no-deps", "--no-header", "--no-annotate", "--generate-hashes", "--python-version", python,
            "--python-platform", f"{machine}-manylinux_2_28", lock, "-o", flat,
        )  # fmt: skip
        _download(wheels, python, machine, "--require-hashes", "-r", flat)
    _download(wheels, pythons[0], machine, f"pip=={PIP}")
    name = f"edge-gateway-{version}"
    here = Path(__file__).parent
    files = {f"wheels/{path.name}": path for path in [*wheels.iterdir(), wheel]}
    files |= {"install.sh": here / "install.sh", "requirements.txt": lock, "LICENSE": here.parents[1] / "LICENSE"}
    files["config.example.toml"] = here.parents[1] / "config.example.toml"
    units = here.parent / "systemd"
    files |= {f"systemd/{path.relative_to(units)}": path for path in units.rglob("*") if path.is_file()}
    contents = {inside: path.read_bytes() for inside, path in files.items()} | {
        "machine": f"{machine}\n".encode(),
        "room": f"{_room(wheels, pythons[-1], wheel) // 1024}\n".encode(),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents.items()))
    contents["SHA256SUMS"] = sums.encode()
    out.mkdir(parents=True, exist_ok=True)
    packed = out / f"{name}-linux-{machine}.tar.gz"
    with (
        packed.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for inside, data in sorted(contents.items()):
            _add(archive, f"{name}/{inside}", data, dated)
    return packed


def _room(wheels: Path, python: str, own: Path) -> int:
    """Bytes that all of it takes when it is installed for one Python, compiled modules and some air included."""
    total = 0
    for path in [*wheels.iterdir(), own]:
        if (
            f"-cp{python.replace('.', '')}-" in path.name
            or "-abi3-" in path.name
            or path.name.endswith("-none-any.whl")
        ):
            with zipfile.ZipFile(path) as zipped:
                total += sum(each.file_size for each in zipped.infolist())
    return total * 3 // 2


def _download(into: Path, python: str, machine: str, *what: str | Path) -> None:
    platforms = [word for each in PLATFORMS for word in ("--platform", f"{each}_{machine}")]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    if subprocess.run([*pip, "--python-version", python, *platforms, "-d", into, *what], check=False).returncode:
        print("pip could not fetch the wheels of which a bundle is made", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)


def _add(archive: tarfile.TarFile, name: str, content: bytes, dated: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), dated, 0o755 if name.endswith(".sh") else 0o644
    archive.addfile(member, io.BytesIO(content))
