"""What belongs to a gateway, and so into its backup: which files, and which of them are secrets."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.config.secret import store
from gateway.cli.frame.places import state_dir
from gateway.config.base import Secret, Section
from gateway.config.encrypted import LONGEST, decrypt
from gateway.config.kinds import CONNECTED
from gateway.config.load import load
from gateway.config.model import Config
from gateway.config.secrets import CREDENTIALS
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.record import Lane
from gateway.outbox.format import LaneCursor
from gateway.outbox.inspect import LogFiles
from gateway.places.regular import open_regular, read_regular
from gateway.plugin.discovery import Plugins
from gateway.trust.audit_files import read_head

SECRET = 64 * 1024 * 1024
"""Bytes of all secrets together, at most."""
_LOOKED_AT = 64 * 1024
_NOT_MOVED = {"outbox", "lock", "audit.lock", "blocked.json", "blocked.stack", "barred.json"}
"""Within the state directory: the log, which is asked for by itself, and what belongs to one process."""
TRAIL = "audit.jsonl"
ASIDE = "before-restore-"
"""How a folder begins in which a restore has put what was there."""
_USERS = "users.json"
_SMALL = ("log.json", "synced.json")


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of the gateway, and its name in the backup."""

    name: str
    """In the backup."""
    path: Path
    size: int | None = None
    """So many bytes of it, of one that grows; None: as many as it has."""
    content: bytes | None = None
    """In place of what stands in it: of a secret that is encrypted for this machine."""


@dataclass(slots=True)
class Contents:
    """All that a backup may hold."""

    config: Path
    state: Path
    files: list[PackedFile] = field(default_factory=list)
    secrets: list[PackedFile] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What is not carried, and why, for the person."""
    gateway: str = ""
    sinks: dict[str, dict[str, int]] = field(default_factory=dict)
    """How far each sink has come: the last number of each lane that it has acknowledged."""
    log: str = ""


def contents_of(config: Path, *, outbox: bool) -> Contents:
    """What there is, of the gateway that this file describes. Raises GatewayError where the file cannot be read."""
    found = Contents(config, state_dir(config))
    _configuration(found)
    _credentials(found)
    _state(found)
    _outbox(found, outbox)
    return found


def _configuration(found: Contents) -> None:
    base = found.config.absolute().parent
    named: dict[Path, bool] = {found.config.absolute(): False}
    try:
        config = load(found.config, Plugins.for_config)
    except ConfigError as error:
        if not found.config.is_file():
            raise
        found.remarks.append(
            f"what the configuration names, since it does not pass check ({error.problems[0]}); itself and conf.d are in it"
        )
        named |= dict.fromkeys(sorted((base / "conf.d").glob("*.toml")), False)
    else:
        found.gateway = config.gateway.name
        named |= dict.fromkeys((path.absolute() for path in config.files), False)
        named |= {(base / path).absolute(): secret for path, secret in _named(config)}
    for path, secret in named.items():
        if path.is_file():
            _add(found, PackedFile(_place(found, path, base), path), secret)
        elif not path.exists():
            found.remarks.append(f"{path} is named in the configuration, and is not there")


def _place(found: Contents, path: Path, base: Path) -> str:
    """Its name in the backup: beside the configuration where it stands there, else among what lies elsewhere."""
    if path.is_relative_to(base):
        return f"config/{path.relative_to(base).as_posix()}"
    if path.is_relative_to(found.state.absolute()):
        return f"state/{path.relative_to(found.state.absolute()).as_posix()}"
    return f"outside{path.as_posix()}"


def _named(config: Config) -> Iterator[tuple[Path, bool]]:
    """Files that the configuration names, and whether each is a secret."""
    sections: list[Section] = [config.gateway, *config.models]
    sections += [part for kind in CONNECTED for part in config.of_kind(kind)]
    for section in sections:
        yield from _paths(section)


def _paths(options: Section) -> Iterator[tuple[Path, bool]]:
    for key, value in options:
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Secret):
                if each.file is not None:
                    yield Path(each.file), True
            elif isinstance(each, Path):
                yield each, key.endswith("key")
            elif isinstance(each, Section):
                yield from _paths(each)


def _credentials(found: Contents) -> None:
    if os.access(CREDENTIALS, os.R_OK | os.X_OK):
        for path in sorted(CREDENTIALS.iterdir()):
            if path.is_file():
                _add(found, PackedFile(f"outside{path.as_posix()}", path), True)
    elif CREDENTIALS.is_dir():
        found.remarks.append(f"the credentials in {CREDENTIALS} cannot be read by this user: try with sudo")
    _encrypted(found)


def _encrypted(found: Contents) -> None:
    """Credentials that only this machine can read are carried as what they say; what is bound to it otherwise is named."""
    folder, known = store().encrypted, {entry.name for entry in found.secrets}
    for path in sorted(folder.iterdir()) if folder is not None and os.access(folder, os.R_OK | os.X_OK) else ():
        name = f"outside{(CREDENTIALS / path.name).as_posix()}"
        try:
            if name not in known and not path.name.startswith("."):
                word = decrypt(path.name, read_regular(path, LONGEST))
                found.secrets.append(PackedFile(name, path, content=word))
        except (GatewayError, OSError) as error:
            found.remarks.append(f"{path} cannot be decrypted, and is not in the backup: {error}")
    foreign = Path("/etc/credstore.encrypted")
    if foreign.is_dir() and os.access(foreign, os.R_OK | os.X_OK):
        found.remarks += [
            f"{path} is bound to this machine (TPM, or its host key): set it anew on another one"
            for path in sorted(foreign.iterdir())
        ]


def _state(found: Contents) -> None:
    if not found.state.is_dir():
        found.remarks.append(f"there is no state directory {found.state} yet")
        return
    known = {entry.path for entry in (*found.files, *found.secrets)}
    for path in _walk(found.state):
        place = path.relative_to(found.state)
        if place.parts[0] in _NOT_MOVED or place.parts[0].startswith((ASIDE, ".")) or path.absolute() in known:
            continue
        try:
            secret = path.name == _USERS or _holds_key(path)
        except OSError as error:
            found.remarks.append(f"{path} cannot be read: {error.strerror}")
            continue
        size = _anchored(path) if place.as_posix() == TRAIL else None
        _add(found, PackedFile(f"state/{place.as_posix()}", path, size), secret)


def _anchored(trail: Path) -> int | None:
    """Bytes of the audit trail up to the record that its anchor names, which is packed before it: the daemon goes on."""
    with suppress(OSError, GatewayError):
        head = read_head(trail)
        if head is not None:
            data = trail.read_bytes()
            at = data.rfind(head.hash.encode())
            return data.find(b"\n", at) + 1 if at >= 0 else None
    return None


def _walk(folder: Path) -> Iterator[Path]:
    """The plain files below a folder; links are not followed."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(at, name)).is_file() and not path.is_symlink())


def _holds_key(path: Path) -> bool:
    if "own" in path.parts and path.suffix in (".pem", ".der", ".key") and "cert" not in path.stem:
        return True
    file = open_regular(path)
    try:
        begin = os.read(file, _LOOKED_AT)
    finally:
        os.close(file)
    return b"PRIVATE KEY" in begin


def _add(found: Contents, entry: PackedFile, secret: bool) -> None:
    if secret or _is_key(entry.path):
        found.secrets.append(entry)
    else:
        found.files.append(entry)


def _is_key(path: Path) -> bool:
    try:
        return _holds_key(path)
    except OSError:
        return False  # told when it is packed


def _outbox(found: Contents, wanted: bool) -> None:
    """The log, in an order in which what is copied later never tells of less: how far sinks are first, then the records, then
    numbers and names of tags."""
    directory = found.state / "outbox"
    try:
        log = LogFiles(directory)
    except (GatewayError, OSError) as error:
        if directory.exists():
            found.remarks.append(f"the outbox cannot be read, and is not in the backup: {error}")
        return
    found.log = log.log_id
    for cursor in log.cursors():
        if cursor.lanes is not None:
            found.sinks[cursor.sink] = {lane.word: _last(each) for lane, each in cursor.lanes.items()}
    found.files += _below(directory, "cursors")
    if not wanted:
        return
    found.files += [*_below(directory, "dead"), *_below(directory, "receipts")]
    unreadable: list[str] = []
    for lane in Lane:
        for segment in log.segments(lane, unreadable):
            size = segment.size if not segment.footer else None
            found.files.append(PackedFile(f"outbox/{lane.word}/{segment.path.name}", segment.path, size))
    found.remarks += [f"not in the backup: {each}" for each in unreadable]
    names = [*_SMALL, "tags", "numbers"]
    found.files += [PackedFile(f"outbox/{name}", directory / name) for name in names if (directory / name).is_file()]


def _below(directory: Path, name: str) -> list[PackedFile]:
    folder = directory / name
    return [
        PackedFile(f"outbox/{path.relative_to(directory).as_posix()}", path)
        for path in (_walk(folder) if folder.is_dir() else ())
        if not path.name.endswith((".part", ".new"))
    ]


def _last(cursor: LaneCursor) -> int:
    """The last number that was acknowledged without a hole before it."""
    return int(cursor.seqs.gap(0) - 1)


def total(entries: Sequence[PackedFile]) -> int:
    """Bytes of these files, as far as they are there."""
    found = 0
    for entry in entries:
        try:
            found += entry.path.stat().st_size if entry.size is None else entry.size
        except OSError:
            continue
    return found
