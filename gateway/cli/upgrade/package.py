"""A package that somebody wants to install: whether it is whole, for this machine, and may follow the version that runs."""

import hashlib
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.text import cleaned

NAME = "edge-gateway"
OLDEST = (0, 1)
"""The release before this one: it reads the log that this one has written (tests/golden keeps one of each)."""
_MARGIN = 64 << 20
_PORTION = 1 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """What a .deb says of itself."""

    path: Path
    version: str
    architecture: str
    distribution: str
    """As in "debian-12"."""
    depends: str
    installed: int
    """Bytes on disk."""

    @property
    def python(self) -> str:
        """The package of the interpreter that it needs."""
        found = re.search(r"\bpython3\.\d+", self.depends)
        return found[0] if found else ""


def examine(path: Path) -> Package:
    """The package in a file, every byte of it checked. Raises GatewayError, with what is wrong and what to do."""
    names = ("Package", "Version", "Architecture", "Edge-Gateway-For", "Depends", "Installed-Size")
    told = _ran("dpkg-deb", "--show", "--showformat", "\n".join(f"${{{name}}}" for name in names), str(path))
    if told is None or len(fields := told.split("\n")) < len(names):
        raise GatewayError(f"{path} is no package, or only a part of one: copy it here once more")
    name, version, architecture, distribution, depends, size = fields[:6]
    if name != NAME:
        raise GatewayError(f"{path} is the package {cleaned(name)}, not {NAME}")
    _check_content(path)
    return Package(path, version, architecture, distribution, depends, int(size or 0) << 10)


def _check_content(path: Path) -> None:
    """Compare each file with the checksum that the package has of it."""
    damaged = GatewayError(f"{path} is damaged: its content is not what its checksums say. Copy it here once more")
    sums = dict(_checksums(path, damaged))
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unpacking:
        try:
            assert unpacking.stdout is not None
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and sums.pop(name, None) != _md5(archive, member):
                        raise damaged
            while unpacking.stdout.read(_PORTION):
                pass  # the end of what is compressed has a checksum too
            if unpacking.wait():
                raise damaged
        except (tarfile.TarError, OSError, EOFError):
            raise damaged from None
        finally:
            unpacking.kill()
    if sums:
        raise damaged


def _checksums(path: Path, damaged: GatewayError) -> list[tuple[str, str]]:
    told = _ran("dpkg-deb", "--info", str(path), "md5sums")
    if told is None:
        raise damaged
    lines = [line.split(maxsplit=1) for line in told.splitlines()]
    return [(name.removeprefix("./"), digest) for digest, name in lines]


def _md5(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Debian's checksums guard against damage, not against forgery."""
    digest = hashlib.md5(usedforsecurity=False)
    file = archive.extractfile(member)
    while file is not None and (portion := file.read(_PORTION)):
        digest.update(portion)
    return digest.hexdigest()


def installed() -> Package:
    """The package that is installed. Raises GatewayError where none is, or only half of one."""
    names = ("db:Status-Abbrev", "Version", "Architecture", "Edge-Gateway-For", "Depends", "Installed-Size")
    told = _ran("dpkg-query", "--show", "--showformat", "\n".join(f"${{{name}}}" for name in names), NAME)
    if told is None or not told.strip():
        raise GatewayError(
            f"this gateway was not installed from a package of {NAME}, so it cannot be upgraded by one: docs/upgrade.md"
        )
    status, version, architecture, distribution, depends, size = (told.split("\n") + [""] * 6)[:6]
    if status.strip() != "ii":
        raise GatewayError(
            f"the installed package is only half installed (dpkg says {status.strip()}): sudo dpkg --configure -a"
        )
    return Package(Path(), version, architecture, distribution, depends, int(size or 0) << 10)


def refuse_if_unfit(new: Package, old: Package) -> None:
    """Raises GatewayError for a package that this machine, or this gateway, cannot run."""
    if new.architecture != old.architecture:
        raise GatewayError(
            f"{new.path} is for {new.architecture}, this machine is {old.architecture}: take the file that ends with "
            f"_{old.architecture}.deb"
        )
    if new.python and _ran("dpkg-query", "--show", "--showformat", "${Version}", new.python) in (None, ""):
        raise GatewayError(
            f"{new.path} is for {new.distribution or 'another distribution'} and its {new.python}, which is not installed "
            f"here: take the file for {old.distribution}"
        )
    if release(new.version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise GatewayError(
            f"{new.version} is older than {oldest}: it may not read the log that {old.version} has written. Go back one "
            "release at a time"
        )


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def refuse_if_no_room(new: Package, old: Package, place: Path) -> None:
    """Raises GatewayError where the disk cannot hold both versions and the copies that are kept."""
    copies = new.path.stat().st_size + 2 * old.installed
    wanted = {Path("/usr"): new.installed + old.installed // 4, place.parent: copies}
    if Path("/usr").stat().st_dev == place.parent.stat().st_dev:
        wanted = {place.parent: sum(wanted.values())}
    for path, size in wanted.items():
        free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        if free < size + _MARGIN:
            raise GatewayError(f"no room: {path} has {free >> 20} MB free, the upgrade needs {size + _MARGIN >> 20} MB")


def _ran(*words: str) -> str | None:
    """What a command prints; None if it fails."""
    try:
        done = subprocess.run(words, capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if not done.returncode else None
