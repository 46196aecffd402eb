"""Where a gateway keeps its files, read off its configuration without checking that; on whose behalf commands work there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli

from gateway.cli.frame.terminal import config_path
from gateway.core.parsing import doubting
from gateway.places.drop_ins import drop_ins
from gateway.places.owner import as_owner
from gateway.places.regular import read_regular
from gateway.places.state_dir import SERVICE
from gateway.places.state_dir import state_dir as by_rule

_LONGEST = 16 * 1024 * 1024


def free_on(directory: Path) -> int:
    """Free bytes of the disk that holds this directory, or will."""
    for path in (directory.absolute(), *directory.absolute().parents):
        with suppress(OSError):  # not there yet, or not ours to look into
            stat = os.statvfs(path)
            return stat.f_bavail * stat.f_frsize
    return 0


@contextmanager
def at_state(config: str | None, given: Path | None = None) -> Iterator[Path]:
    """The state directory of the gateway that a configuration describes, or the folder that was given instead, to work in:
    root does that as its owner. A command that reads or writes there does all of it within this block."""
    directory = given if given is not None else state_dir(config_path(config))
    with as_owner(directory):
        yield directory


def state_dir(config: Path) -> Path:
    """Where the gateway that this file describes keeps its outbox and audit trail; of the service, if it cannot be told."""
    told = name = None
    for file in _files(config):
        section = _section(file)
        name = section.get("name", name)
        if "state_dir" in section:
            told = file.absolute().parent / str(section["state_dir"])
    if told is None and name is None and not os.environ.get("STATE_DIRECTORY"):
        return SERVICE
    found = by_rule(config, told, str(name or ""))
    return found if told is not None or found.is_dir() or not SERVICE.is_dir() else SERVICE


def _files(config: Path) -> list[Path]:
    """The configuration, and what is read with it."""
    with suppress(OSError):
        return [config, *drop_ins(config)]
    return [config]


def _section(config: Path) -> dict[str, Any]:
    """Its [gateway]; nothing if it cannot be told."""
    with suppress(OSError, ValueError), doubting(ValueError):
        section = tomli.loads(read_regular(config, _LONGEST).decode("utf-8-sig"))["gateway"]
        return section if isinstance(section, dict) else {}
    return {}
