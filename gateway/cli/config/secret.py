"""`edge-gateway secret`: puts the passwords where the configuration says that they are, without showing them to anybody.

A secret is read from a prompt or the standard input, never from the command line, which every user can read (ps). Where the
machine's systemd can, it is encrypted for this machine; else it is a file of root's that nobody else can read.
"""

import argparse
import getpass
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, config_path, fail, in_words, joined, table
from gateway.config import encrypted
from gateway.config.config_file import title
from gateway.config.load import opened
from gateway.config.secrets import CREDENTIALS
from gateway.core.clock import SystemClock
from gateway.core.errors import ConfigError, GatewayError
from gateway.places.durable import sync_path
from gateway.places.person import person
from gateway.places.regular import read_regular
from gateway.trust.audit import AuditTrail

UNIT = "edge-gateway.service"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
MISSING, FOREIGN = "missing", "not of this machine"
_LONGEST = 64 * 1024
_SECONDS = 20
"""For systemctl."""
_TAKEN = re.compile(rf"^LoadCredentialEncrypted=(?:{encrypted.ID}:(\S+))?\s*$", re.MULTILINE)
"""In a unit: its folder, or nothing any more of what stands before."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which one."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    setting = actions.add_parser("set", parents=[shared()], help="a new one, or another value; asked for, or by stdin")
    listing = actions.add_parser("list", parents=[shared()], help="which there are, and which the configuration lacks")
    ending = actions.add_parser("remove", parents=[shared()], help="delete it")
    for action in (setting, ending):
        action.add_argument("name", metavar="NAME", help='as in { credential = "NAME" }')
    for action in (setting, listing, ending):
        action.add_argument("--dir", type=Path, metavar="DIR", help=f"where they are (default: {CREDENTIALS})")
    setting.add_argument("--plain", action="store_true", help="in a file of root's, also where systemd can encrypt it")


def run(args: argparse.Namespace) -> int:
    """1 when it cannot be done, or the list lacks one that the configuration names."""
    place = Store(args.dir) if args.dir else store()
    try:
        if args.what == "list":
            return _list(place, args)
        if not _NAME.fullmatch(args.name):
            raise GatewayError(
                "a name has letters, digits, dots, hyphens and underscores, and begins with a letter or digit"
            )
        return _set(place, args) if args.what == "set" else _remove(place, args)
    except GatewayError as error:
        fail(str(error))
    except PermissionError:
        fail(f"only root may look into {place.folder}: sudo edge-gateway secret {args.what}")
    except OSError as error:
        fail(in_words(error))
    return 1


@dataclass(frozen=True, slots=True)
class Store:
    """Where the service takes its credentials from."""

    folder: Path
    encrypted: Path | None = None
    """The folder of the encrypted ones, if its unit names one and this machine can encrypt."""

    def keep(self, name: str, data: bytes, *, plain: bool = False) -> None:
        """The old or the new one is there, never half of it, and never for others to read. Raises GatewayError, OSError."""
        if self.encrypted is None or plain:
            _write(self.folder / name, data)
            self.forget(name, self.encrypted)
            return
        sealed = encrypted.encrypt(name, data)
        if encrypted.decrypt(name, sealed) != data:  # the service would not start with it
            raise GatewayError(f"{encrypted.TOOL} does not give back what it has encrypted")
        _write(self.encrypted / name, sealed)
        self.forget(name, self.folder)

    def forget(self, name: str, *folders: Path | None) -> bool:
        """Delete it from these folders; whether it was in one."""
        found = [path for folder in folders if folder is not None and (path := folder / name).exists()]
        for path in found:
            path.unlink()
        return bool(found)

    def places(self) -> Mapping[str, Path]:
        """Where each of them is."""
        return {
            path.name: path
            for folder in (self.encrypted, self.folder)
            if folder is not None and folder.is_dir()
            for path in folder.iterdir()
            if not path.name.startswith(".")
        }

    def protection(self, *, plain: bool = False) -> str:
        """How one is kept, in words."""
        if plain or self.folder != CREDENTIALS:
            return f"in a file for its owner alone, {self.folder}"
        if self.encrypted is None:
            lacks = "the service's unit takes none" if encrypted.can_encrypt() else f"there is no {encrypted.TOOL} here"
            return f"not encrypted, since {lacks}: in a file for root alone, {self.folder}"
        if encrypted.has_tpm():
            return "encrypted by this machine's TPM: on no other machine can it be read"
        return "encrypted by a key of this machine's, which is a file of root's, since there is no TPM"


def store() -> Store:
    """The service's: with the folder that its unit names for encrypted ones."""
    taken = _TAKEN.findall(_said_by("systemctl", "cat", UNIT))
    known = taken and taken[-1] and encrypted.can_encrypt()
    return Store(CREDENTIALS, Path(taken[-1]) if known else None)


def _said_by(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    return ""


def _set(place: Store, args: argparse.Namespace) -> int:
    for folder in (place.folder, place.encrypted):
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() and not os.access(folder, os.W_OK):
                raise PermissionError
    known = args.name in place.places()
    data = _typed(args.name).encode()
    _audit(place, args, "secret.set", replaced=known)
    try:
        place.keep(args.name, data, plain=args.plain)
    except GatewayError as error:
        raise GatewayError(f"{error}; nothing was changed. As a file of root's: --plain") from None
    used = references(config_path(args.config)).get(args.name, [])
    print(f"{args.name} {'has another value' if known else 'is set'}, {place.protection(plain=args.plain)}")
    print(joined([f"used by {', '.join(used)}" if used else _unused(args.name), _when(place)]))
    return 0


def _unused(name: str) -> str:
    return f'the configuration does not name it yet: write {{ credential = "{name}" }}'


def _when(place: Store) -> str:
    if place.folder == CREDENTIALS:
        return "the service reads it when it starts: sudo systemctl restart edge-gateway"
    return "a gateway that was started by hand reads it at the next connection: edge-gateway reload"


def _typed(name: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        text = (sys.stdin.read(_LONGEST + 1) if sys.stdin else "").removesuffix("\n").removesuffix("\r")
    else:
        text = getpass.getpass(f"{name}: ")
        if getpass.getpass("Once more: ") != text:
            raise GatewayError("these were two different ones; nothing was changed")
    if not text:
        raise GatewayError("nothing was given; nothing was changed")
    if len(text) > _LONGEST or not text.isprintable():
        raise GatewayError("a secret is one line of visible characters; nothing was changed")
    return text


def _write(path: Path, data: bytes) -> None:
    """The old or the new one is there, never half of it, and never for others to read."""
    part = path.with_name(f".{path.name}.part")  # systemd passes hidden files over
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def _audit(place: Store, args: argparse.Namespace, action: str, **fields: bool) -> None:
    """First, and never with the value. In a folder of one's own, where its gateway has a trail. Raises GatewayError."""
    try:
        with at_state(args.config) as state:
            if place.folder != CREDENTIALS and not state.is_dir():
                return
            state.mkdir(parents=True, exist_ok=True, mode=0o750)
            AuditTrail(state / "audit.jsonl", SystemClock()).write(action, person(), name=args.name, **fields)
    except OSError as error:
        where = error.filename or "the audit trail"
        raise GatewayError(f"{where}: {error.strerror}: what is not in the audit trail is not done") from None


def _remove(place: Store, args: argparse.Namespace) -> int:
    if args.name in place.places():
        _audit(place, args, "secret.removed")
    if not place.forget(args.name, place.folder, place.encrypted):
        raise GatewayError(f'there is no "{args.name}" in {place.folder}: edge-gateway secret list')
    print(f"{args.name} is deleted; the service keeps what it has read until it is restarted")
    if used := references(config_path(args.config)).get(args.name, []):
        fail(f"{', '.join(used)} still names it, and cannot log in without it")
    return 0


def _list(place: Store, args: argparse.Namespace) -> int:
    used = references(config_path(args.config))
    entries = [*_entries(place, used)]
    if args.json:
        print(json.dumps(entries, indent=1))
    elif not entries:
        print(f"none in {place.folder}, and the configuration names none")
    else:
        rows = [("NAME", "STATE", "USED BY"), *((e["name"], e["state"], ", ".join(e["used_by"])) for e in entries)]
        head, *lines = table(rows)
        print(joined([colour(head, "bold"), *lines]))
    return 1 if any(each["state"] in (MISSING, FOREIGN) for each in entries) else 0


def _entries(place: Store, used: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    there = place.places()
    for name in sorted({*there, *used}):
        yield {"name": name, "state": _state(place, there.get(name)), "used_by": used.get(name, [])}


def _state(place: Store, path: Path | None) -> str:
    if path is None:
        return MISSING
    if path.parent != place.encrypted:
        return "every user can read it" if path.stat().st_mode & stat.S_IROTH else "set"
    try:
        encrypted.decrypt(path.name, read_regular(path, encrypted.LONGEST))
    except GatewayError:
        return FOREIGN
    return "encrypted"


def references(config: Path) -> Mapping[str, list[str]]:
    """The credentials that a configuration names, and where: also of one with mistakes, if it is TOML."""
    found: dict[str, list[str]] = {}
    with suppress(ConfigError):
        for kind, value in opened(config).table.items():
            for place, entry in enumerate(value) if isinstance(value, list) else [(0, value)]:
                where = title(kind, (kind, place), entry) if isinstance(entry, Mapping) else kind
                for name in _named(entry):
                    if where not in found.setdefault(name, []):
                        found[name].append(where)
    return found


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {"credential"} and isinstance(value["credential"], str):
            yield value["credential"]
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)
