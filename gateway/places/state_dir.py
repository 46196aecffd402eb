"""Where a gateway keeps what outlives it: log, audit trail, alarms, certificates. The one rule, for the daemon, drivers and
commands alike:

1. `state_dir` in [gateway];
2. $STATE_DIRECTORY, which systemd sets for the service;
3. /var/lib/edge-gateway, where the service's configuration is used, whoever uses it;
4. the user's own state folder (XDG Base Directory Specification), under the gateway's name.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

CONFIG = Path("/etc/edge-gateway/config.toml")
"""The service's configuration."""
SERVICE = Path("/var/lib/edge-gateway")
USER = "gateway"
"""The service's user, see deploy/systemd."""


def state_dir(config: Path | None, told: Path | None, name: str = "") -> Path:
    """By the path of the configuration, its `state_dir` and its `name`."""
    if told is not None:
        return told
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    return SERVICE if config is not None and _is_the_services(config) else own() / name


def own() -> Path:
    """The user's own folder for all of his gateways."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-gateway"


def _is_the_services(config: Path) -> bool:
    return config == CONFIG or os.path.realpath(config) == os.path.realpath(CONFIG)


def take_over_certificates(directory: Path) -> None:
    """Versions before 0.2 kept the certificates of all gateways that a user had started by hand in one place beside their
    state directories: a gateway that has none yet begins with those."""
    before, now = own() / "pki", directory / "pki"
    if directory.parent == own() and before.is_dir() and not now.exists():
        with suppress(OSError, shutil.Error):
            shutil.copytree(before, now, symlinks=True)
