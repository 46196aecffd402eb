"""`edge-gateway support-bundle`: what somebody who helps needs to know, without secrets and names of people."""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import tomli

from gateway import __version__
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.places import free_on, state_dir
from gateway.cli.frame.terminal import config_path, count, fail, joined
from gateway.cli.moving.contents import TRAIL, contents_of
from gateway.cli.moving.redaction import Redaction
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.parsing import doubting
from gateway.core.record import Lane
from gateway.core.times import rfc3339
from gateway.operate.logs import only_errors
from gateway.outbox.inspect import LogFiles
from gateway.places.regular import read_regular
from gateway.trust.audit_files import tail

LINES = 2000
"""Of the journal."""
EVENTS = 200
RECORDS = 200
_LONGEST = 16 * 1024 * 1024
_UNIT = "edge-gateway"
_READ = ("n", "ts", "action", "version", "config", "device", "tag", "sink", "model")
"""What is shown of a record of the audit trail: not who, nor why, nor which values."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write it."""
    told = "the bundle (default: edge-gateway-support-DATE.tar.gz in this folder)"
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=told)


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when it is written. What cannot be had is named in it."""
    path = args.file or Path(time.strftime("edge-gateway-support-%Y%m%d-%H%M%S.tar.gz"))
    if path.exists():
        fail(f"{path} is there already: name another file")
        return 1
    files = _files(args)
    try:
        _write(path, files)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
        return 1
    if args.json:
        print(json.dumps({"file": str(path), "files": {name: len(data) for name, data in files.items()}}))
    else:
        print(joined(_lines(path, files)))
    return 0


def _lines(path: Path, files: dict[str, bytes]) -> list[str]:
    return [
        f"{path}  {count(len(files), 'file')}: {', '.join(files)}",
        "Passwords, keys, tokens, users and names of people were taken out. Addresses, names of devices and tags, and",
        f"values in events are in it: look at it before you give it away:  tar xzf {path}",
    ]


def _files(args: argparse.Namespace) -> dict[str, bytes]:
    config = config_path(args.config)
    state = state_dir(config)
    raw: dict[str, Any] = {
        "about.json": _about(config, state),
        "config.json": _tried(lambda: _configuration(config)),
        "check.json": _tried(lambda: _checked(config)),
        "status.json": _asked(args, "status"),
        "alarms.json": _asked(args, "alarms"),
        "events.json": _tried(lambda: _events(state / "outbox")),
        "audit.json": _tried(lambda: _audit(state / TRAIL)),
        "stalls.json": _tried(lambda: _text(state / "blocked.json")),
        "stack.txt": _tried(lambda: _text(state / "blocked.stack")),
        "journal.txt": _tried(_journal),
    }
    redaction = _redaction(config, raw)
    return {name: _bytes(redaction, told) for name, told in raw.items()}


def _redaction(config: Path, raw: dict[str, Any]) -> Redaction:
    """Knows every secret of this machine that can be read, and everybody who is named anywhere."""
    redaction = Redaction()
    for told in raw.values():
        redaction.learn(told)
    try:
        for secret in contents_of(config, outbox=False).secrets:
            redaction.learn_file(secret.path)
            redaction.secret((secret.content or b"").decode(errors="replace"))
    except (GatewayError, ConfigError, OSError):
        redaction.learn_file(config.parent / "users.json")
    for name, value in os.environ.items():
        if any(word in name.lower() for word in ("pass", "secret", "token", "key")):
            redaction.secret(value)
    try:
        records = tail(state_dir(config) / TRAIL, RECORDS)
    except OSError:
        records = []
    redaction.learn(records)
    return redaction


def _bytes(redaction: Redaction, told: Any) -> bytes:
    if isinstance(told, str):
        return redaction.text(told).encode(errors="replace")
    return json.dumps(redaction.plain(told), ensure_ascii=False, indent=1).encode(errors="replace")


def _tried(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (OSError, ValueError, GatewayError, ConfigError) as error:
        return {"not_available": f"{type(error).__name__}: {error}"}


def _asked(args: argparse.Namespace, command: str) -> Any:
    try:
        return call(socket_path(args.socket), command)
    except (NoGatewayError, AnswerError) as error:
        return {"not_available": str(error)}


def _about(config: Path, state: Path) -> dict[str, Any]:
    return {
        "made": rfc3339(time.time_ns()),
        "version": __version__,
        "python": sys.version,
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "config": str(config),
        "state": str(state),
        "free_bytes": free_on(state),
        "packages": sorted(f"{each.metadata['Name']} {each.version}" for each in distributions()),
    }


def _configuration(config: Path) -> Any:
    """As data: comments, in which anything may stand, are not in it."""
    files = [config, *sorted((config.parent / "conf.d").glob("*.toml"))]
    return {path.name: _table(path) for path in files}


def _table(path: Path) -> Any:
    with doubting(ValueError):
        return _dated(tomli.loads(read_regular(path, _LONGEST).decode("utf-8-sig")))


def _dated(told: Any) -> Any:
    """With dates as texts."""
    if isinstance(told, dict):
        return {name: _dated(each) for name, each in told.items()}
    if isinstance(told, list):
        return [_dated(each) for each in told]
    return told if isinstance(told, str | int | float | bool) else str(told)


def _checked(config: Path) -> Any:
    """What `check --json` says, of which the mistakes may quote what stands in the file."""
    from gateway.cli.config.check import check

    said = io.StringIO()
    with redirect_stdout(said):
        check(config, as_json=True)
    return json.loads(said.getvalue())


def _events(outbox: Path) -> Any:
    log = LogFiles(outbox)
    bodies: deque[Any] = deque(maxlen=EVENTS)
    for segment, head, payload in log.heads(log.segments(Lane.ALARM)):
        record = log.record(segment, head, payload)
        bodies.append({"id": record.id, "accepted": rfc3339(record.wall_ns), "body": record.body})
    return list(bodies)


def _audit(trail: Path) -> Any:
    return [{key: record[key] for key in _READ if key in record} for record in tail(trail, RECORDS)]


def _text(path: Path) -> str:
    return read_regular(path, _LONGEST).decode(errors="replace")


def _journal() -> str:
    command = ["journalctl", "--unit", _UNIT, "--lines", str(LINES), "--output", "short-iso", "--no-pager", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    return done.stdout or f"nothing: {done.stderr.strip() or 'the journal has no lines that this user may read'}"


def _write(path: Path, files: dict[str, bytes]) -> None:
    with (
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as tar,
    ):
        for name, data in files.items():
            info = tarfile.TarInfo(f"edge-gateway-support/{name}")
            info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
            tar.addfile(info, io.BytesIO(data))
