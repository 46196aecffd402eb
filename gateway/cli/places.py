"""Where a gateway keeps its files, read off its configuration without checking that."""

import os
from contextlib import suppress
from pathlib import Path

import tomli

SERVICE = Path("/var/lib/edge-gateway")


def free_on(directory: Path) -> int:
    """Free bytes of the disk that holds this directory, or will."""
    for path in (directory.absolute(), *directory.absolute().parents):
        with suppress(OSError):  # not there yet, or not ours to look into
            stat = os.statvfs(path)
            return stat.f_bavail * stat.f_frsize
    return 0


def state_dir(config: Path) -> Path:
    """Where the gateway that this file describes keeps its outbox and audit trail; of the service, if it cannot be told."""
    try:
        section = tomli.loads(config.read_text(encoding="utf-8"))["gateway"]
        name, said = str(section["name"]), section.get("state_dir")
    except (OSError, ValueError, KeyError, TypeError):
        return SERVICE
    if said is not None:
        return config.absolute().parent / str(said)
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-gateway" / name
    return own if own.is_dir() else SERVICE
