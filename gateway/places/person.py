"""Who did it, as the kernel says: never by the environment, which anybody may set."""

import os
import pwd
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_NOBODY = 0xFFFFFFFF
"""The login uid of a process that no login began."""


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """The name of a user; it may take a while where a directory service is asked."""
    with suppress(KeyError, OSError, OverflowError):
        return pwd.getpwuid(uid).pw_name
    return f"uid {uid}"


def person() -> str:
    """Who runs this process: its real user, and who had logged in before he became another one, as in "kim as root"."""
    name = user_name(os.getuid())
    login = _login_uid()
    return name if login in (None, os.getuid()) else f"{user_name(login)} as {name}"


def _login_uid() -> int | None:
    """See audit(7), pam_loginuid(8); None where no login is known."""
    with suppress(OSError, ValueError):
        login = int(Path("/proc/self/loginuid").read_bytes()[:32])
        return None if login == _NOBODY else login
    return None


def control_group(pid: int) -> str:
    """The control group of a process (cgroups(7), version 2), empty where that is not known."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/cgroup").read_bytes()[:65_536].decode(errors="replace").splitlines()
        return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    return ""
