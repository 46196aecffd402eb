"""`edge-gateway upgrade FILE`: installs another version, watches it, and brings the old one back if it is not as good."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import fail, in_words
from gateway.cli.upgrade import worker
from gateway.cli.upgrade.keep import keep_configuration, keep_installed
from gateway.cli.upgrade.package import Package, examine, installed, refuse_if_no_room, refuse_if_unfit
from gateway.core.amounts import format_size, parse_duration
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
from gateway.core.text import shown
from gateway.places.person import person
from gateway.trust.audit import AuditTrail

UNIT = """\
# Written by edge-gateway upgrade, which also ends a broken off one after a power cut.
[Unit]
Description=Upgrade of the edge gateway
ConditionPathExists={state}
StartLimitIntervalSec=10min
StartLimitBurst=5

[Service]
Type=exec
ExecStart={python} -IS {copy}
Restart=on-failure
RestartSec=5s
"""
COPY = worker.PLACE / "worker.py"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The package, and for how long it is watched."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the package (.deb) of the version to install"
    )
    parser.add_argument(
        "--watch", type=_seconds, default=60.0, metavar="TIME", help="watch the new version for so long (default 60s)"
    )
    parser.add_argument("--resume", action="store_true", help="end an upgrade that was broken off")
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Install and watch; 1 if the old version stays, or comes back."""
    try:
        if os.getuid():
            raise GatewayError("only root installs packages: try  sudo edge-gateway upgrade")
        if args.record:
            return _record(args.config)
        if not Path("/run/systemd/system").is_dir():
            raise GatewayError("this machine was not started by systemd, which watches an upgrade: use  dpkg -i")
        if args.resume:
            return _resume()
        if args.file is None:
            raise GatewayError("which package? edge-gateway upgrade FILE.deb")
        return _upgrade(args)
    except GatewayError as error:
        fail(str(error))
    except OSError as error:
        if worker.load() is None and not os.getuid():
            worker.NEW.unlink(missing_ok=True)
        fail(f"{in_words(error)}; nothing was changed")
    return 1


def _upgrade(args: argparse.Namespace) -> int:
    _refuse_if_begun(args.config)
    worker.PLACE.mkdir(mode=0o700, exist_ok=True)
    old, new = installed(), _taken(args.file)
    refuse_if_unfit(new, old)
    refuse_if_no_room(new, old, worker.PLACE)
    print(f"{args.file}: {shown(new.version)}, whole, for this machine; it follows {shown(old.version)}", flush=True)
    keep_installed(worker.OLD)
    keep_configuration(worker.CONFIG)
    print(
        f"kept: {old.version} ({format_size(worker.OLD.stat().st_size)}) and the configuration, in {worker.PLACE}",
        flush=True,
    )
    shutil.copyfile(worker.__file__, COPY)
    _prepare_unit()
    by = person()
    begin = {"step": "ready", "from": old.version, "to": new.version, "by": by, "boot": worker.BOOT.read_text()}
    _audit(args.config, "upgrade", by, old=old.version, new=new.version)
    worker.PROGRESS.write_text("")
    before = worker.standing(worker.asked())
    active = worker.shown("ActiveState") == "active"
    os.sync()  # what is kept is on the disk before the first step is
    worker.save({**begin, "watch": args.watch, "active": active, "before": before})
    return _go_on()


def _taken(file: Path) -> Package:
    """The package, copied to where nobody else can change it, and examined there."""
    with suppress(FileNotFoundError):
        worker.NEW.unlink()
    if not file.is_file():
        raise GatewayError(f"{file}: no such file")
    free = os.statvfs(worker.PLACE).f_bavail * os.statvfs(worker.PLACE).f_frsize
    if free < file.stat().st_size:
        raise GatewayError(
            f"no room: {worker.PLACE} has {free >> 20} MB free, the package alone has {file.stat().st_size >> 20} MB"
        )
    shutil.copyfile(file, worker.NEW)
    try:
        return examine(worker.NEW)
    except GatewayError as error:
        worker.NEW.unlink()
        raise GatewayError(str(error).replace(str(worker.NEW), str(file))) from None


def _refuse_if_begun(config: str | None) -> None:
    state = worker.load()
    if state is None:
        return
    if state["step"] != "finished":
        raise GatewayError("an upgrade was begun and is not finished: sudo edge-gateway upgrade --resume")
    _record(config)


def _resume() -> int:
    state = worker.load()
    if state is None or state["step"] == "finished":
        print("no upgrade was broken off")
        return 0
    _prepare_unit()
    return _go_on()


def _prepare_unit() -> None:
    """The unit that does it, now and after a power cut."""
    python = os.path.realpath(sys.executable)
    worker.UNIT.write_text(UNIT.format(state=worker.STATE, python=python, copy=COPY))
    worker.AT_BOOT.parent.mkdir(exist_ok=True)
    worker.AT_BOOT.unlink(missing_ok=True)
    worker.AT_BOOT.symlink_to(worker.UNIT)
    worker.call("systemctl", "daemon-reload")
    worker.call("systemctl", "reset-failed", worker.UNIT.name)


def _go_on() -> int:
    """Have it done, and show how it goes: it goes on without us."""
    code, said = worker.call("systemctl", "start", worker.UNIT.name)
    if code:
        raise GatewayError(f"the upgrade could not be started: {said}")
    with worker.PROGRESS.open() as progress:
        while True:
            running = (
                subprocess.run(["systemctl", "is-active", "--quiet", worker.UNIT.name], check=False).returncode == 0
            )
            for line in progress:
                print(shown(line.rstrip("\n")), flush=True)
            if not running:
                break
            time.sleep(0.2)
    ended = worker.load() or worker.load(worker.LAST) or {}
    return 0 if ended.get("installed") else 1


def _record(config: str | None) -> int:
    """Tell the audit trail how it ended."""
    state = worker.load()
    if state is not None and state["step"] == "finished":
        _audit(config, "upgrade.result", state["by"], old=state["from"], new=state["to"], result=state["outcome"])
        worker.STATE.replace(worker.LAST)
    return 0


def _audit(config: str | None, action: str, who: str, **fields: str) -> None:
    with at_state(config) as state:
        state.mkdir(parents=True, exist_ok=True, mode=0o750)
        AuditTrail(state / "audit.jsonl", SystemClock()).write(action, who, **fields)
