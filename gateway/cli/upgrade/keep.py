"""What is kept before an upgrade begins: the package that is installed, and the configuration."""

import os
import shutil
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

from gateway.cli.upgrade.package import NAME
from gateway.core.errors import GatewayError

_DATABASE = Path("/var/lib/dpkg/info")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "md5sums", "conffiles", "triggers")
CONFIGURATION = Path("/etc/edge-gateway")


def keep_installed(to: Path) -> None:
    """Make a package of what is installed: nobody may have the file any more from which it came. Raises GatewayError."""
    tree = to.with_name("tree")
    shutil.rmtree(tree, ignore_errors=True)
    try:
        (tree / "DEBIAN").mkdir(parents=True)
        for path in map(Path, _listed()):
            copy = tree / path.relative_to("/")
            if path.is_symlink():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.symlink_to(path.readlink())
            elif path.is_dir():
                copy.mkdir(parents=True, exist_ok=True)
            else:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
        (tree / "DEBIAN/control").write_text(_control())
        for name in _SCRIPTS:
            with suppress(FileNotFoundError):
                shutil.copy2(_DATABASE / f"{NAME}.{name}", tree / "DEBIAN" / name)
        _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(to))
    finally:
        shutil.rmtree(tree, ignore_errors=True)  # also where the disk is full


def _listed() -> list[str]:
    found = [line for line in _run("dpkg-query", "--listfiles", NAME).splitlines() if line.startswith("/")]
    if missing := next((path for path in found if not os.path.lexists(path)), None):
        raise GatewayError(
            f"the installed gateway is not whole, {missing} is missing: install its package again by dpkg -i"
        )
    return [path for path in found if path != "/."]


def _control() -> str:
    told = _run("dpkg-query", "--status", NAME).splitlines()
    return "".join(f"{line}\n" for line in told if not line.startswith(("Status:", "Conffiles:", "Config-Version:")))


def keep_configuration(to: Path) -> None:
    """Write the files of the configuration into an archive, for root alone."""
    with (
        open(to, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file,
        tarfile.open(fileobj=file, mode="w") as all_,
    ):
        if CONFIGURATION.is_dir():
            all_.add(CONFIGURATION, str(CONFIGURATION.relative_to("/")))


def _run(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GatewayError(f"{words[0]}: {error.strerror}") from None
    if done.returncode:
        raise GatewayError(f"the installed version cannot be kept: {' '.join(done.stderr.split())}")
    return done.stdout
