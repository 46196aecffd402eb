"""`edge-gateway restore`: puts a backup in its place, on this machine or another one, when all of it was verified.

The gateway must not run meanwhile. What was there is put aside, and back where anything fails; `moves.py` sees to it that a
power cut leaves nothing in between. A log is never gone on with: it is laid beside the gateway's own, as one that was set
aside, so that no number is given out twice (docs/backup.md).
"""

import argparse
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from gateway import __version__
from gateway.cli.frame.places import free_on
from gateway.cli.frame.terminal import config_path, count, fail, in_words, joined
from gateway.cli.moving.archive import ArchiveError, Unpacked, check_name, unpack
from gateway.cli.moving.contents import ASIDE, TRAIL
from gateway.cli.moving.moves import JOURNAL, Move, Moves
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
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file of edge-gateway backup")
    file = "take the passphrase of the secrets from the first line of this file in place of asking"
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=file)
    parser.add_argument("--without-secrets", action="store_true", help="leave the secrets in the file")
    parser.add_argument("--check", action="store_true", help="verify the file, say what is in it, and change nothing")
    parser.add_argument("--resume", action="store_true", help="end a restore that was broken off, back or forward")


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
        broken_off = end_broken_off(config) if not args.check else ""
        if args.resume or args.file is None:
            if not args.resume:
                raise GatewayError("which backup? edge-gateway restore FILE")
            print(broken_off or "no restore was broken off")
            return 0
        with _unpacked(args) as (unpacked, folder):
            done = _Done() if args.check else _restore(unpacked, folder, config)
    except GatewayError as error:
        fail(f"{args.file}: {error}" if isinstance(error, ArchiveError) else str(error))
        return 1
    except OSError as error:
        begun = os.path.lexists(config.parent / JOURNAL)
        what = "what was begun is ended by  edge-gateway restore --resume" if begun else "nothing was changed"
        fail(f"{in_words(error)}; {what}")
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
    aside, sources = time.strftime(f"{ASIDE}%Y%m%d-%H%M%S"), []
    with _alone(state):
        _remove_leftovers(folder.parent, but=folder)
        config.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        moves = Moves(config.parent / JOURNAL, state, _recorded(unpacked))
        for name, mode in unpacked.files.items():
            if (target := _target(name, main, config, state, unpacked, done)) is not None:
                root = next((each for each in (state, config.parent) if target.is_relative_to(each)), target.parent)
                put = root / aside / target.relative_to(root) if os.path.lexists(target) else None
                moves.planned.append(Move(target, put))
                sources.append((folder / name, mode))
                done.restored.append(str(target))
                if put is not None and str(root / aside) not in done.aside:
                    done.aside.append(str(root / aside))
        moves.carry_out(sources)
        _record(moves)
    return done


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """No gateway, and nobody else who restores, works in the state directory meanwhile."""
    with ExitStack() as alone:
        with as_owner(state):
            alone.enter_context(owned(state))
        yield


def _remove_leftovers(beside: Path, but: Path | None = None) -> None:
    """What others unpacked before they were killed."""
    for each in beside.glob(".restore-*"):
        if each != but:
            shutil.rmtree(each, ignore_errors=True)


def end_broken_off(config: Path) -> str:
    """End a restore that was broken off, and say how; empty where none was. Raises GatewayError and OSError."""
    journal = config.parent / JOURNAL
    if not os.path.lexists(journal):
        return ""
    moves = Moves.found(journal)
    with _alone(moves.state):
        _remove_leftovers(config.parent)
        if moves.go_on():
            _record(moves)
            return "a restore that was broken off has been carried through: all of its files stand in their places"
        moves.done()
    return "a restore that was broken off has been undone: all is as it was before"


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


def _recorded(unpacked: Unpacked) -> dict[str, Any]:
    """What the audit trail says of it."""
    about = unpacked.about
    told = {key: cleaned(about.get(key, ""), 200) for key in ("made", "machine", "gateway", "version", "log")}
    return {**told, "files": len(unpacked.files)}


def _record(moves: Moves) -> None:
    """In the audit trail, which goes on here, and perhaps on the machine of the backup too: this record tells them apart."""
    with as_owner(moves.state):
        AuditTrail(moves.state / TRAIL, SystemClock()).write("backup.restored", person(), **moves.about)
    moves.done()


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
