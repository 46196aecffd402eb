"""The packages for Red Hat's distributions, as far as this machine's rpm can tell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import CHECKOUT, build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rpm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("rpm") is None:
        pytest.skip("needs rpm, to look into packages: apt-get install rpm")
    return build("rpm-python3.12", "amd64", tmp_path_factory.mktemp("rpm"))


def asked(rpm: Path, *words: str) -> list[str]:
    told = subprocess.run(["rpm", "-qp", *words, rpm], capture_output=True, text=True, check=True, timeout=100)
    return told.stdout.splitlines()


def test_it_says_what_it_is_and_needs(rpm: Path) -> None:
    assert rpm.name == f"{asked(rpm, '--qf', '%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}')[0]}.rpm"
    needs = [each for each in asked(rpm, "--requires") if not each.startswith(("rpmlib", "/bin/sh"))]
    assert needs == ["/usr/bin/python3.12", "glibc >= 2.28", "libgcc", "libstdc++", "systemd >= 252", "tzdata"]
    checked = subprocess.run(
        ["rpm", "-K", "--nosignature", rpm], capture_output=True, text=True, check=False, timeout=100
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_a_technician_looks_for_is_there(rpm: Path) -> None:
    files = set(asked(rpm, "--list"))
    for path in (
        "/usr/bin/edge-gateway", "/usr/lib/systemd/system/edge-gateway.service", "/usr/lib/sysusers.d/edge-gateway.conf",
        "/usr/share/edge-gateway/config.example.toml", "/usr/share/man/man1/edge-gateway.1.gz",
        "/usr/share/zsh/site-functions/_edge-gateway", "/usr/share/doc/edge-gateway/sbom.cdx.json",
        "/usr/lib/edge-gateway/lib/python3.12/site-packages/gateway/app.py",
    ):  # fmt: skip
        assert path in files, path
    assert not [path for path in files if path.startswith(("/etc", "/var"))], "configuration is never a package's"


@pytest.mark.parametrize(
    ("script", "behind_it", "called"),
    [("preinstall", 1, "install"), ("preinstall", 2, "upgrade before"), ("postinstall", 1, "configure"),
     ("postinstall", 2, "configure before"), ("preremove", 0, "remove"), ("preremove", 1, "upgrade"),
     ("postremove", 0, "remove"), ("postremove", 1, "upgrade")],
)  # fmt: skip
def test_its_scripts_are_called_as_dpkg_calls_them(rpm: Path, script: str, behind_it: int, called: str) -> None:
    """rpm tells how many of the package there are behind it."""
    sections, name = {}, ""
    for line in asked(rpm, "--scripts"):
        if "scriptlet (using" in line:
            name = line.split()[0]
        else:
            sections.setdefault(name, []).append(line)
    (found,) = (text for name, text in sections.items() if name == script.replace("remove", "uninstall"))
    begin = "\n".join(found[: next(at for at, line in enumerate(found) if "set --" in line) + 1])
    assert f"{CHECKOUT}" not in "\n".join(found)
    told = subprocess.run(
        ["sh", "-c", f'{begin}\necho "$*"', "sh", str(behind_it)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert told.stdout.strip() == called
