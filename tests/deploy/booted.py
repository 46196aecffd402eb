"""A booted systemd for tests: this machine's own files, with a folder laid over them, in namespaces of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "systemd-remount-fs.service", "systemd-update-utmp.service",
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-timesyncd.service", "systemd-binfmt.service",
    "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount", "systemd-tmpfiles-clean.timer", "proc-sys-fs-binfmt_misc.automount",
)  # fmt: skip
"""What would reach beyond the namespaces, or has nothing to do there."""
NEEDED = {"unshare": "util-linux", "nsenter": "util-linux", "mount": "mount", "systemctl": "systemd"}


MARK = "/.edge-gateway-test"
"""Stands only in the system under test, so that no command ever runs on this machine itself."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "SYSTEMD_PAGER": ""}


class Booted:
    """The running system."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command there as root. A failure fails the test, with what was said."""
        enter = ["nsenter", "--target", str(self._pid), "--all", "--"]
        ran = subprocess.run(
            [*enter, "sh", "-ec", f"cd /; test -e {MARK} || exit 99\n{command}"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=ENVIRONMENT,
        )
        if check and ran.returncode:
            pytest.fail(f"{command}\nexit code {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran

    def within(self) -> list[str]:
        """What begins a command that runs here, with this machine's files, in the system's network."""
        return ["nsenter", "--target", str(self._pid), "--net", "--"]

    def path(self, name: str) -> Path:
        """A file of the system, as seen from here."""
        return Path(f"/proc/{self._pid}/root{name}")

    def begin(self, command: str) -> subprocess.Popen[bytes]:
        """Begin a command there that is talked to."""
        enter = ["nsenter", "--target", str(self._pid), "--all", "--"]
        return subprocess.Popen(
            [*enter, "sh", "-c", f"cd /; test -e {MARK} && exec {command}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, env=ENVIRONMENT,
        )  # fmt: skip

    def bring(self, file: Path, to: str) -> None:
        """Copy a file of this machine into the system."""
        shutil.copyfile(file, self.path(to))

    def property(self, name: str, unit: str = "edge-gateway") -> str:
        """A property of a unit, as `systemctl show` has it."""
        return self.run(f"systemctl show --value --property {name} {unit}").stdout.strip()

    def journal(self, matches: str = "-u edge-gateway") -> str:
        """What the journal says, messages only."""
        return self.run(f"journalctl --no-pager --output cat {matches}").stdout

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
        """Wait for a condition, or fail with the journal."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"not within {seconds:g} s: {what}\n{self.journal('-n 60')}")
            time.sleep(0.1)


@contextmanager
def booted(base: Path, stage: Path) -> Iterator[Booted]:
    """Boot with `stage` laid over this machine's files. Skips, with the reason, where this machine does not let us."""
    _skip_if_impossible()
    _mask(stage)
    base.mkdir()
    with _cgroup() as cgroup:
        log = base.with_suffix(".log")
        with log.open("wb") as out:
            unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
            boot = Path(__file__).with_name("boot.sh")
            process = subprocess.Popen(
                [*unshare, "sh", str(boot), str(base), str(stage)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=lambda: _enter(cgroup),
            )  # fmt: skip
        try:
            yield _wait_until_up(process, log)
        finally:
            process.kill()
            process.wait()


def _skip_if_impossible() -> None:
    if sys.platform != "linux" or os.getuid():
        pytest.skip("a booted systemd needs root: sudo make test-all")
    missing = {package for command, package in NEEDED.items() if shutil.which(command) is None}
    missing |= set() if Path("/lib/systemd/systemd").exists() else {"systemd"}
    if missing:
        pytest.skip(f"a booted systemd needs more: apt-get install {' '.join(sorted(missing))}")


def _mask(stage: Path) -> None:
    units = stage / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (stage / "etc/fstab").touch()
    (stage / MARK[1:]).touch()


@contextmanager
def _cgroup() -> Iterator[Path]:
    """A control group that the new system may take for its root."""
    root, mounted = Path("/sys/fs/cgroup"), False
    if not (root / "cgroup.procs").exists():  # an older layout; the unified tree can be mounted beside it
        root, mounted = Path(f"/run/edge-gateway-test-cgroup-{os.getpid()}"), True
        root.mkdir()
        subprocess.run(["mount", "-t", "cgroup2", "none", root], check=True)
    group = root / f"edge-gateway-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"a booted systemd needs a control group of its own: {error}")
    try:
        yield group
    finally:
        _remove(group)
        if mounted:
            subprocess.run(["umount", root], check=True)
            root.rmdir()


def _remove(group: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            for path, _, _ in os.walk(group, topdown=False):
                Path(path).rmdir()
        except OSError:  # the last processes are still being cleared away
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> Booted:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < end:
        pids = children.read_text().split()
        if pids:
            system = Booted(int(pids[0]))
            state = system.run("systemctl is-system-running", check=False).stdout.strip()
            if state in ("running", "degraded"):
                return system
        time.sleep(0.2)
    pytest.skip(f"systemd does not boot here: {log.read_text(errors='replace')[-500:] or 'no word from it'}")
