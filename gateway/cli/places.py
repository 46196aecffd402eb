"""Where a gateway keeps its files, read off its configuration without checking that."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

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
    if (told := told_state_dir(config)) is not None:
        return told
    name = _section(config).get("name")
    if name is None:
        return SERVICE
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-gateway" / str(name)
    return own if own.is_dir() else SERVICE


def told_state_dir(config: Path) -> Path | None:
    """The state_dir that the file names, if it can be read and names one."""
    said = _section(config).get("state_dir")
    return None if said is None else config.absolute().parent / str(said)


def _section(config: Path) -> dict[str, Any]:
    """Its [gateway]; nothing if it cannot be told."""
    try:
        section = tomli.loads(config.read_text(encoding="utf-8"))["gateway"]
    except (OSError, ValueError, KeyError):
        return {}
    return section if isinstance(section, dict) else {}
