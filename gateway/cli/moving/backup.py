"""`edge-gateway backup`: all that makes this gateway, in one file. The daemon goes on meanwhile."""

import argparse
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.cli.frame.places import free_on
from gateway.cli.frame.progress import Bar
from gateway.cli.frame.terminal import config_path, count, fail, joined
from gateway.cli.moving.archive import FORMAT, SEALED, Packing
from gateway.cli.moving.contents import SECRET, Contents, PackedFile, contents_of, total
from gateway.cli.moving.sealing import passphrase_of, seal
from gateway.core.amounts import format_size
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.times import rfc3339
from gateway.operate.logs import only_errors
from gateway.places.regular import read_regular


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and what of it."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup, such as gw1-2026-11-30.egw.tar.gz")
    secrets = "with credentials, private keys and users, encrypted under a passphrase; without it they stay here"
    parser.add_argument("--secrets", action="store_true", help=secrets)
    file = "take the passphrase from the first line of this file in place of asking"
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=file)
    parser.add_argument(
        "--outbox", action="store_true", help="with the records that no sink, or not every one, has yet"
    )
    parser.add_argument("--force", action="store_true", help="write over a file of this name")


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when the file is there and whole."""
    try:
        found, size = _backup(args)
    except (GatewayError, ConfigError) as error:
        fail(str(error))
        return 1
    except OSError as error:
        fail(f"{error.filename or args.file}: {error.strerror}; no backup was made")
        return 1
    told = {
        "file": str(args.file), "size": size, "files": len(found.files), "secrets": len(found.secrets) if args.secrets else 0,
        "left_out": _left_out(found, args), "log": found.log, "sinks": found.sinks,
    }  # fmt: skip
    print(json.dumps(told, ensure_ascii=False, indent=2) if args.json else joined(_lines(told, found)))
    return 0


def _backup(args: argparse.Namespace) -> tuple[Contents, int]:
    if args.file.exists() and not args.force:
        raise GatewayError(f"{args.file} is there already: name another file, or add --force")
    found = contents_of(config_path(args.config), outbox=args.outbox)
    passphrase = passphrase_of(args.passphrase_file, anew=True) if args.secrets else ""
    needed, free = total(found.files), free_on(args.file.absolute().parent)
    if needed > free:
        raise GatewayError(
            f"up to {format_size(needed)} are to be packed, and the disk of {args.file} has {format_size(free)}"
        )
    with Packing(args.file, _about(found, args)) as packing, Bar("packing", needed) as bar:
        for entry in found.files:
            _pack(packing, entry, found)
            bar(total([entry]))
        if args.secrets:
            packing.add_bytes(SEALED, seal(_read(found.secrets), passphrase))
        return found, packing.finish()


def _pack(packing: Packing, entry: PackedFile, found: Contents) -> None:
    """One that is gone meanwhile was delivered, or taken away: it is no matter."""
    try:
        packing.add(entry.name, entry.path, entry.size)
    except FileNotFoundError:
        return
    except PermissionError:
        found.remarks.append(f"{entry.path} may not be read by this user: try with sudo")


def _read(secrets: Sequence[PackedFile]) -> dict[str, tuple[int, bytes]]:
    held: dict[str, tuple[int, bytes]] = {}
    left = SECRET
    for entry in secrets:
        data = read_regular(entry.path, left) if entry.content is None else entry.content
        left -= len(data)
        held[entry.name] = (entry.path.stat().st_mode & 0o777, data)
    return held


def _about(found: Contents, args: argparse.Namespace) -> dict[str, Any]:
    """What stands in the file for everybody to read; no secret."""
    return {
        "format": FORMAT,
        "version": __version__,
        "made": rfc3339(time.time_ns()),
        "machine": socket.gethostname(),
        "gateway": found.gateway,
        "config": found.config.name,
        "log": found.log,
        "sinks": found.sinks,
        "secrets": bool(args.secrets),
        "outbox": bool(args.outbox),
        "left_out": _left_out(found, args),
    }


def _left_out(found: Contents, args: argparse.Namespace) -> list[str]:
    if args.secrets:
        return found.remarks
    return [
        *found.remarks,
        *(f"{entry.path} is secret: --secrets takes it along, encrypted" for entry in found.secrets),
    ]


def _lines(told: dict[str, Any], found: Contents) -> list[str]:
    with_secrets = f", and {count(told['secrets'], 'secret')} under the passphrase" if told["secrets"] else ""
    lines = [f"{told['file']}  {format_size(told['size'])}, {count(told['files'], 'file')}{with_secrets}"]
    lines += [
        f"  sink    {sink}  has all up to {', '.join(f'{lane} {last}' for lane, last in lanes.items())}"
        for sink, lanes in found.sinks.items()
    ]
    return [*lines, *(f"  not in it: {each}" for each in told["left_out"])]
