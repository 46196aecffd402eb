"""Where a gateway keeps its files, read off its configuration without checking that."""

import os
from pathlib import Path

import tomli

SERVICE = Path("/var/lib/edge-gateway")


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
