"""`edge-gateway restore`: puts a backup in its place, on this machine or another one, when all of it was verified.

The gateway must not run meanwhile. What was there is put aside, and back where anything fails. A log is never gone on with:
it is laid beside the gateway's own, as one that was set aside, so that no number is given out twice (docs/backup.md).
"""

import argparse
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import tomli

from gateway import __version__
from gateway.cli.frame.places import free_on
from gateway.cli.frame.terminal import config_path, count, fail, joined
from gateway.cli.moving.archive import ArchiveError, Unpacked, check_name, unpack
from gateway.cli.moving.contents import ASIDE, TRAIL
from gateway.cli.moving.sealing import passphrase_of, unseal
from gateway.config.secrets import CREDENTIALS
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.operate.logs import only_errors
from gateway.outbox.format import LOG_ID, read_identity
from gateway.places.owner import as_owner
from gateway.places.person import person
from gateway.places.regular import read_regular
from gateway.places.state_dir import state_dir as by_rule
from gateway.supervise.owned import owned
from gateway.trust.audit import AuditTrail
from gateway.trust.audit_files import is_begun

_KEPT_FREE = 64 * 1024 * 1024
_LONGEST_CONFIG = 16 * 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which backup, and what of it."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a file of edge-gateway backup")
    file = "take the passphrase of the secrets from the first line of this file in place of asking"
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=file)
    parser.add_argument("--without-secrets", action="store_true", help="leave the secrets in the file")
    parser.add_argument("--check", action="store_true", help="verify the file, say what is in it, and change nothing")


@dataclass(slots=True)
class _Done:
    """What came of it."""

    restored: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when all of it stands in its place; 1, and nothing has changed, when not."""
    config = config_path(args.config).absolute()
    try:
        with _unpacked(args) as (unpacked, folder):
            done = _Done() if args.check else _restore(unpacked, folder, config)
    except GatewayError as error:
        fail(f"{args.file}: {error}" if isinstance(error, ArchiveError) else str(error))
        return 1
    except OSError as error:
        fail(f"{error.filename or args.file}: {error.strerror}; nothing was changed")
        return 1
    told = {
        "about": unpacked.about,
        "files": len(unpacked.files),
        "restored": done.restored,
        "remarks": done.remarks,
        "aside": done.aside,
    }
    print(json.dumps(told, ensure_ascii=False, indent=2) if args.json else joined(_lines(told, args.check)))
    return 0


@contextmanager
def _unpacked(args: argparse.Namespace) -> Iterator[tuple[Unpacked, Path]]:
    """The whole backup, verified, in a folder of its own beside where it goes; its secrets among it."""
    config = config_path(args.config).absolute()
    beside = next(each for each in (config.parent, *config.parent.parents) if each.is_dir())
    folder = beside / f".restore-{uuid.uuid4().hex[:8]}"
    room = max(0, free_on(beside) - _KEPT_FREE)
    folder.mkdir(mode=0o700)
    try:
        unpacked = unpack(args.file, folder, room)
        _check_version(unpacked.about)
        if unpacked.sealed and not (args.without_secrets or args.check):
            _lay_out(unpacked, folder, unseal(unpacked.sealed, passphrase_of(args.passphrase_file, anew=False)))
        yield unpacked, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(unpacked: Unpacked, folder: Path, secrets: dict[str, tuple[int, bytes]]) -> None:
    for name, (mode, data) in secrets.items():
        check_name(name)
        if name in unpacked.files:
            raise ArchiveError(f"it holds {cleaned(name, 80)!r} twice")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
        unpacked.files[name] = mode & ~0o077


def _check_version(about: dict[str, Any]) -> None:
    made = str(about.get("version", ""))
    if _numbers(made) > _numbers(__version__):
        raise ArchiveError(
            f"it was made by version {cleaned(made, 40)}, and this is {__version__}, which need not understand what a "
            "newer one wrote: install that version here first"
        )


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _restore(unpacked: Unpacked, folder: Path, config: Path) -> _Done:
    main = f"config/{unpacked.about.get('config')}"
    if main not in unpacked.files:
        raise ArchiveError("there is no configuration in it")
    state = _state_dir(folder / main, config)
    done = _Done(remarks=[f"not in it: {cleaned(each, 300)}" for each in unpacked.about.get("left_out", ())])
    with ExitStack() as alone:
        with as_owner(state):
            alone.enter_context(owned(state))
        moves = _Moves(folder, state, config.parent, time.strftime(f"{ASIDE}%Y%m%d-%H%M%S"))
        for name, mode in unpacked.files.items():
            if (target := _target(name, main, config, state, unpacked, done)) is not None:
                moves.plan(name, target, mode)
        moves.carry_out()
        done.restored, done.aside = [str(target) for _, target, _ in moves.planned], [str(each) for each in moves.aside]
        with as_owner(state):
            _record(state, unpacked)
    return done


def _target(name: str, main: str, config: Path, state: Path, unpacked: Unpacked, done: _Done) -> Path | None:
    """Where a file of the backup belongs; None where it stays out."""
    room, _, place = name.partition("/")
    if room == "config":
        return config if name == main else config.parent / place
    if room == "state":
        return _in_state(place, state)
    if room == "outbox":
        return _in_log(place, state, unpacked, done)
    return _outside(place, state, done)


def _in_state(place: str, state: Path) -> Path:
    """The audit trail that goes on here stays, and that of the backup is laid beside it."""
    top = place.split("/")[0]
    if top.startswith("audit") and (is_begun(state / TRAIL) or os.path.lexists(state / TRAIL)):
        return state / "audit-of-backup" / place
    return state / place


def _in_log(place: str, state: Path, unpacked: Unpacked, done: _Done) -> Path | None:
    """A log of its own among those that were set aside; None where there is no log in the backup, or it is here."""
    log = str(unpacked.about.get("log", ""))
    if not unpacked.about.get("outbox") or not LOG_ID.fullmatch(log):
        return None
    outbox = state / "outbox"
    there = [outbox, *outbox.glob("set-aside/*")]
    if any(_log_of(each) == log for each in there):
        said = f"the log {log} is on this machine already: that of the backup, which is older, stays in the file"
        if said not in done.remarks:
            done.remarks.append(said)
        return None
    folder = outbox / "set-aside" / f"{log}-restored"
    said = f"what the old log had not delivered is in {folder}:  edge-gateway outbox status --dir {folder}"
    if said not in done.remarks:
        done.remarks.append(said)
    return folder / place


def _log_of(directory: Path) -> str:
    try:
        return read_identity(directory / "log.json")[0]
    except (OSError, ValueError):
        return ""


def _outside(place: str, state: Path, done: _Done) -> Path:
    """Credentials go where the service takes them from; anything else is never written to a path that a file names."""
    path = Path("/", place)
    if path.parent == CREDENTIALS and (os.geteuid() == 0 or os.access(CREDENTIALS.parent, os.W_OK)):
        return path
    target = state / "outside-of-backup" / place
    done.remarks.append(f"{path} was laid to {target}: copy it to where the configuration looks for it")
    return target


def _state_dir(staged: Path, config: Path) -> Path:
    """That of the configuration in the backup, once it stands at its place."""
    section: Any = {}
    with suppress(OSError, ValueError), doubting(ValueError):
        section = tomli.loads(read_regular(staged, _LONGEST_CONFIG).decode("utf-8-sig")).get("gateway", {})
    section = section if isinstance(section, dict) else {}
    told = section.get("state_dir")
    return by_rule(config, None if told is None else config.parent / str(told), str(section.get("name") or ""))


class _Moves:
    """Files on the way to their places: all are laid beside them first, then each takes its place."""

    def __init__(self, folder: Path, state: Path, base: Path, aside: str) -> None:
        self._folder = folder
        self._state = state
        self._base = base
        self._aside = aside
        self.planned: list[tuple[str, Path, int]] = []
        self.aside: list[Path] = []
        self._laid: list[tuple[Path, Path]] = []
        self._moved: list[tuple[Path, Path | None]] = []

    def plan(self, name: str, target: Path, mode: int) -> None:
        self.planned.append((name, target, mode))

    def carry_out(self) -> None:
        """All of them, or none. Raises OSError."""
        try:
            for name, target, mode in self.planned:
                with (self._folder / name).open("rb") as source, self._as(target):
                    self._lay(source, target, mode)
            for part, target in self._laid:
                with self._as(target):
                    self._take_place(part, target)
        except BaseException:
            self._back()
            raise

    def _as(self, target: Path) -> AbstractContextManager[object]:
        return as_owner(self._state) if target.is_relative_to(self._state) else nullcontext()

    def _lay(self, source: BinaryIO, target: Path, mode: int) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        part = target.with_name(f".{target.name}.restored")
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
            self._laid.append((part, target))
            shutil.copyfileobj(source, file, 1 << 20)
            if os.geteuid() == 0:
                folder = target.parent.stat()
                os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
            os.fchmod(file.fileno(), mode & 0o777 or 0o600)
            file.flush()
            os.fsync(file.fileno())

    def _take_place(self, part: Path, target: Path) -> None:
        put = None
        if os.path.lexists(target):
            root = self._state if target.is_relative_to(self._state) else target.parent
            root = self._base if target.is_relative_to(self._base) and root is target.parent else root
            put = root / self._aside / target.relative_to(root)
            put.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.rename(put)
            if root / self._aside not in self.aside:
                self.aside.append(root / self._aside)
        self._moved.append((target, put))
        part.rename(target)

    def _back(self) -> None:
        """As it was before, as far as the disk takes it."""
        for target, put in reversed(self._moved):
            with suppress(OSError), self._as(target):
                target.unlink(missing_ok=True)
                if put is not None:
                    put.rename(target)
        for part, target in self._laid:
            with suppress(OSError), self._as(target):
                part.unlink(missing_ok=True)


def _record(state: Path, unpacked: Unpacked) -> None:
    """In the audit trail, which goes on here, and perhaps on the machine of the backup too: this record tells them apart."""
    about = unpacked.about
    told = {key: cleaned(about.get(key, ""), 200) for key in ("made", "machine", "gateway", "version", "log")}
    AuditTrail(state / TRAIL, SystemClock()).write("backup.restored", person(), **told, files=len(unpacked.files))


def _lines(told: dict[str, Any], checked: bool) -> list[str]:
    about = told["about"]
    what = f"of {cleaned(about.get('gateway') or 'a gateway', 80)} on {cleaned(about.get('machine', ''), 80)}"
    made = f"made {cleaned(about.get('made', ''), 40)} by version {cleaned(about.get('version', ''), 40)}"
    head = f"the backup {what}, {made}, is whole: {count(told['files'], 'file')}"
    if checked:
        with_secrets = ", and secrets under a passphrase" if about.get("secrets") else ""
        return [head + with_secrets]
    return [
        f"{head}; {len(told['restored'])} were restored",
        *(f"  {each}" for each in told["remarks"]),
        *(f"  what was there before is in {each}: delete it when all is well" for each in told["aside"]),
        "  next:  edge-gateway check --connect   and   systemctl start edge-gateway   (or edge-gateway run)",
    ]
