"""What an upgrade does once it has begun; it must end well also when the terminal is gone, the power fails, or the program's
own files are half the old ones and half the new.

So a copy of this file runs outside the package, by a unit of systemd of its own, with nothing but the standard library. The
step that it is at stands in a file. A worker that starts and finds a step begun was interrupted: it brings the old version
back, for nobody can tell what the new one had done.
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PLACE = Path("/var/lib/edge-gateway-package")
"""Root's own: what lies here is installed, or run, by root."""
STATE, LAST, PROGRESS = PLACE / "upgrade.json", PLACE / "last.json", PLACE / "progress"
NEW, OLD, CONFIG = PLACE / "new.deb", PLACE / "old.deb", PLACE / "config.tar"
UNIT = Path("/etc/systemd/system/edge-gateway-upgrade.service")
AT_BOOT = UNIT.parent / "multi-user.target.wants" / UNIT.name
SOCKET = Path("/run/edge-gateway/control.sock")
BOOT = Path("/proc/sys/kernel/random/boot_id")
READY = 90.0
"""Seconds until a gateway must be ready: systemd gives it 60."""
GRACE = 20.0
"""Seconds that it may take longer than it is watched to be as good as the old one."""
LOCKED = 600.0
"""Seconds to wait for another program that installs packages."""


def save(state: dict[str, Any]) -> None:
    """Replace the file of the step, durably."""
    part = STATE.with_suffix(".part")
    with part.open("w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(STATE)
    folder = os.open(PLACE, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def load(path: Path | None = None) -> dict[str, Any] | None:
    """The upgrade that was begun and is not finished, or whose end is not recorded; None where there is none."""
    try:
        found = json.loads((path or STATE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def say(text: str) -> None:
    """A line for whoever watches."""
    with PROGRESS.open("a") as file:
        file.write(f"{text}\n")
    print(text, flush=True)  # for the journal


def call(*words: str) -> tuple[int, str]:
    """Run a command to its end: its code, and what it said."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=environment
    )
    return done.returncode, done.stdout.decode(errors="replace").strip()


def install(package: Path) -> str:
    """Have dpkg install it; returns why it did not, empty if it did."""
    end = time.monotonic() + LOCKED
    while True:
        code, said = call("dpkg", "--install", str(package))
        if not code:
            return ""
        if "lock" not in said or time.monotonic() > end:
            return " ".join(said.split("\n")[-4:]) or f"dpkg ended with {code}"
        say("Another program is installing packages; waiting for it …")
        time.sleep(5)


def shown(name: str) -> str:
    """A property of the gateway's unit."""
    return call("systemctl", "show", "--value", "--property", name, "edge-gateway.service")[1]


def asked() -> dict[str, Any] | None:
    """What the running gateway answers to `status`; None where none does."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(str(SOCKET))
        line.sendall(b'{"command": "status", "arguments": {}}\n')
        with line.makefile("rb") as answer:
            result = json.loads(answer.readline(64 << 20))["result"]
            return result if isinstance(result, dict) else None
    return None


def standing(status: dict[str, Any] | None) -> dict[str, Any]:
    """What of a status an upgrade must not make worse."""
    if status is None:
        return {"devices": 0, "up": [], "sinks": []}
    up = [sink for sink in status.get("sinks", ()) if sink.get("state") == "up"]
    recent = [sink for sink in up if (age := sink.get("last_acknowledged_s")) is not None and age < 60]
    return {
        "devices": sum(device.get("state") == "up" for device in status.get("devices", ())),
        "up": [sink["name"] for sink in up],
        "sinks": [sink["name"] for sink in recent],
    }


def worse(before: dict[str, Any], status: dict[str, Any] | None) -> str:
    """Why the new version is not as good as the old one was; empty if it is."""
    if status is None:
        return "it does not answer on its control socket"
    if before["sinks"] and not any(sink.get("acknowledged_records") for sink in status.get("sinks", ())):
        return f"no sink has acknowledged anything; before, {', '.join(before['sinks'])} did"
    now = standing(status)
    if before["up"] and not now["up"]:
        return f"no sink is connected; before, {', '.join(before['up'])} was"
    if before["devices"] and not now["devices"]:
        return f"no device is up; before, {before['devices']} were"
    return ""


def until_active(seconds: float) -> bool:
    """Whether the gateway is ready within so many seconds."""
    end = time.monotonic() + seconds
    while (now := shown("ActiveState")) != "active":
        if now == "failed" or time.monotonic() > end or int(shown("NRestarts") or 0) > 2:
            return False
        time.sleep(0.5)
    return True


def probation(state: dict[str, Any]) -> str:
    """Watch the new version; returns what is wrong with it, empty if nothing is."""
    if not state["active"]:
        say("The gateway did not run before, so there is nothing to watch.")
        return ""
    say("Waiting until the new version is ready …")
    if not until_active(READY):
        return f"it was not ready within {READY:g} s: it is {shown('ActiveState')}, exit code {shown('ExecMainStatus')}"
    process, watch = shown("MainPID"), float(state["watch"])
    say(f"Ready. Watching it for {watch:g} s …")
    end = time.monotonic() + watch
    while time.monotonic() < end:
        time.sleep(min(1.0, watch))
        if shown("ActiveState") != "active" or shown("MainPID") != process:
            return f"it did not go on running: {shown('Result')}, exit code {shown('ExecMainStatus')}"
    wrong = worse(state["before"], asked())
    while wrong and time.monotonic() < end + GRACE:  # a machine that is busy answers late
        time.sleep(2)
        wrong = worse(state["before"], asked())
    return wrong


def restore() -> None:
    """Make the files of the configuration what they were; what has come since stays."""
    with suppress(FileNotFoundError), tarfile.open(CONFIG) as archive:
        for member in archive:
            there = Path("/") / member.name
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and not (there.is_file() and there.read_bytes() == content.read()):
                archive.extract(member, "/", numeric_owner=True)
                say(f"{there} is again what it was before the upgrade.")


def back(state: dict[str, Any], reason: str) -> int:
    """Bring the old version back."""
    state |= {"step": "back", "reason": reason}
    save(state)
    say(f"The new version does not stay: {reason}. Bringing {state['from']} back …")
    restore()
    if refused := install(OLD):
        say(f"It could not be brought back: {refused}. To try again:  sudo edge-gateway upgrade --resume")
        return 1
    if state["active"]:
        call("systemctl", "reset-failed", "edge-gateway.service")
        call("systemctl", "start", "edge-gateway.service")
        if not until_active(READY):
            say(f"{state['from']} is installed again, but it does not run; see:  journalctl -u edge-gateway")
            return finish(state, f"{state['from']} is back but does not run; the upgrade failed: {reason}")
    return finish(state, f"{state['from']} is back: {reason}")


def finish(state: dict[str, Any], outcome: str) -> int:
    """Say and record how it ended."""
    state |= {"step": "finished", "outcome": outcome}
    save(state)
    for path in (AT_BOOT, UNIT, NEW):
        path.unlink(missing_ok=True)
    if call("/usr/bin/edge-gateway", "upgrade", "--record")[0]:
        say("The audit trail could not be told now; the next upgrade tells it.")
    say(f"Done: {outcome}")
    return 0


def forward(state: dict[str, Any]) -> int:
    """Install the new version, and keep it if it is as good as the old one."""
    state["step"] = "installing"
    save(state)
    say(f"Installing {state['to']} …")
    if refused := install(NEW):
        return back(state, f"dpkg did not install it: {refused}")
    state["step"] = "watching"
    save(state)
    if wrong := probation(state):
        return back(state, wrong)
    state["installed"] = True
    return finish(state, f"{state['to']} is installed")


def main() -> int:
    """Go on with the upgrade, whatever step it is at."""
    state = load()
    if state is None or state["step"] == "finished":
        AT_BOOT.unlink(missing_ok=True)
        return 0
    if state["step"] == "ready" and state["boot"] == BOOT.read_text():
        return forward(state)
    if state["step"] == "ready":
        return finish(state, f"{state['from']} was never replaced: the machine was started anew before")
    reason = state["reason"] if state["step"] == "back" else f"it was interrupted while {state['step']}"
    return back(state, reason)


if __name__ == "__main__":
    sys.exit(main())
