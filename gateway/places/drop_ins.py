"""The folder `conf.d` beside a configuration: its files whose names end in .toml are read as if they stood in it."""

import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gateway.places.person import user_name

FOLDER = "conf.d"
_LEFTOVER = (".bak", ".orig", ".old", ".swp", ".rej", "~")
"""What editors and package tools leave beside a file."""


def drop_ins(config: Path) -> list[Path]:
    """Those of a configuration, in the order of their names, as they are read. Raises OSError for a folder that cannot be
    looked into."""
    return [path for path in _all(config) if path.name.endswith(".toml") and not path.name.startswith(".")]


def overlooked(config: Path) -> Sequence[str]:
    """Files there that somebody may take for a part of the configuration, and that are none."""
    return [
        path.name
        for path in _all(config)
        if path.name.casefold().endswith(_LEFTOVER)
        or (".toml" in path.name.casefold() and (not path.name.endswith(".toml") or path.name.startswith(".")))
    ]


def _all(config: Path) -> list[Path]:
    folder = config.parent / FOLDER
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def refusal(config: Path, path: Path) -> str:
    """Why a file, or the folder, is not trusted; empty if it is. Whoever can write there decides what the gateway does: as
    that is root's or that of the configuration's owner, it must not be another user's."""
    with suppress(OSError):
        found, trusted = path.stat(), {0, config.stat().st_uid}
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"every user may write it, and so decide what the gateway does: chmod o-w {path}"
        if found.st_uid not in trusted:
            name, to = user_name(found.st_uid), user_name(config.stat().st_uid)
            return f"belongs to {name}, and not to root or {to}, whose the configuration is: chown {to} {path}"
    return ""
