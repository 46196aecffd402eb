"""What systemd itself says of the shipped units."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import UNITS

pytestmark = pytest.mark.timeout(150)

SERVICES = {"edge-gateway.service": 15, "edge-gateway-failed@.service": 15, "edge-gateway-restore.service": 20}
"""With ten times the exposure that we allow ourselves; systemd calls up to 2.0 OK. What restores works as root."""
DROPINS = sorted(path.name for path in (UNITS / "dropins").glob("*.conf") if path.name != "modules-load.conf")
NEWER = {
    "CoredumpReceive", "ImportCredential", "MemoryPressureWatch", "MemoryZSwapMax", "OpenFile", "PrivatePIDs",
    "RestartMaxDelaySec", "RestartMode", "RestartSteps", "RootEphemeral", "SurviveFinalKillSignal",
}  # fmt: skip
"""Directives that systemd learned after 252, the version of Debian 12."""

TRAPS = {
    "DynamicUser=yes": "operators could not join its group",
    "PrivateUsers=yes": "the audit trail could not name who asked",
    "ProcSubset=pid": "onnxruntime could not read /proc/cpuinfo",
    "network-online.target": "after a power cut the PC is up before the switch",
    "ExecStartPre=": "its exit code 78 would not keep the unit from restarting",
    "notify-reload": "systemd 252 takes it for Type=simple",
    "kill -HUP": "a reload would return before it is done",
}


@pytest.fixture(scope="module", autouse=True)
def _systemd() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")


def placed(directory: Path, *dropins: str) -> Path:
    """The units in a folder, with commands that exist here, and drop-ins beside them."""
    command = Path(sys.executable).with_name("edge-gateway")
    for name in SERVICES:
        text = (UNITS / name).read_text().replace("/usr/bin/edge-gateway", str(command))
        (directory / name).write_text(text.replace("/usr/bin/logger", shutil.which("true") or "/bin/true"))
    beside = directory / "edge-gateway.service.d"
    beside.mkdir()
    for name in dropins:
        shutil.copy(UNITS / "dropins" / name, beside)
    return directory


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", "LC_ALL": "C"}
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=100, check=False, env=environment
    )


@pytest.mark.parametrize("dropins", [(), *((name,) for name in DROPINS), tuple(DROPINS)], ids=",".join)
@pytest.mark.parametrize("service", SERVICES)
def test_systemd_understands_every_line(service: str, dropins: tuple[str, ...], tmp_path: Path) -> None:
    unit = placed(tmp_path, *dropins) / service.replace("@", "@x")
    if "@" in service:
        (tmp_path / service).rename(unit)
    told = analyze("verify", "--man=no", "--recursive-errors=one", str(unit))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("dropins", [(), *((name,) for name in DROPINS)], ids=",".join)
@pytest.mark.parametrize("service", SERVICES)
def test_exposure_stays_within_our_bound(service: str, dropins: tuple[str, ...], tmp_path: Path) -> None:
    unit = placed(tmp_path, *dropins) / service
    told = analyze("security", "--offline=true", f"--threshold={SERVICES[service]}", "--no-pager", str(unit))
    assert told.returncode == 0, told.stdout[-400:] + told.stderr


def test_with_the_lines_of_the_clocks_page_the_kernel_may_be_asked_and_the_clock_still_not_be_set(
    tmp_path: Path,
) -> None:
    page = (UNITS.parents[1] / "docs" / "clocks.md").read_text()
    (lines,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    unit = placed(tmp_path) / "edge-gateway.service"
    assert "@clock is included" not in analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    (tmp_path / "edge-gateway.service.d" / "clock.conf").write_text(lines)
    told = analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    assert "@clock is included (e.g. adjtimex is allowed)" in told
    assert "Service processes cannot change the system clock" in told
    assert analyze("verify", "--man=no", str(unit)).returncode == 0


def directives(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"^([A-Za-z]+)=(.*)$", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(UNITS.rglob("*.service")) + sorted((UNITS / "dropins").glob("*.conf")), ids=str)
def test_no_directive_is_newer_than_debian_12(path: Path) -> None:
    assert not {name for name, _ in directives(path)} & NEWER


@pytest.mark.parametrize("trap", TRAPS)
def test_known_traps_are_avoided(trap: str) -> None:
    lines = [f"{name}={value}" for name, value in directives(UNITS / "edge-gateway.service")]
    assert not any(trap in line for line in lines), TRAPS[trap]


def test_addresses_are_fenced_in_only_by_the_drop_in() -> None:
    """A broker in the cloud must work without a change to the unit."""
    assert not [name for name, _ in directives(UNITS / "edge-gateway.service") if name.startswith("IPAddress")]
    assert ("IPAddressDeny", "any") in directives(UNITS / "dropins" / "addresses.conf")


def test_no_secret_travels_by_environment() -> None:
    (environment,) = (value for name, value in directives(UNITS / "edge-gateway.service") if name == "Environment")
    assert set(re.findall(r"(\w+)=", environment)) == {
        "PYTHONFAULTHANDLER", "ORT_DISABLE_TELEMETRY", "PYTHONDONTWRITEBYTECODE",
    }  # fmt: skip


def test_user_and_folders_are_made_with_their_modes(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("systemd-sysusers and systemd-tmpfiles need root: sudo make test")
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    for command in (
        ["systemd-sysusers", UNITS / "sysusers.conf"],
        ["systemd-tmpfiles", "--create", UNITS / "tmpfiles.conf"],
    ):
        made = subprocess.run([*command, root], capture_output=True, text=True, timeout=100, check=False)
        assert made.returncode == 0, made.stderr
    assert "gateway:x:" in (tmp_path / "etc/passwd").read_text()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "etc/edge-gateway").iterdir()}
    assert modes == {"credentials": 0o700, "credentials.encrypted": 0o700, "models": 0o750, "plugins": 0o755}
