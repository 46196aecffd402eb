"""The process in which an attack is played: `python -m tests.attack.hostile NAME FOLDER STATE SOCKET CONFIG PORT…`.

It ends by itself after ten minutes, and with its parent.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from tests.attack.attacks import QUIET, Site, load

LONGEST = 600
"""Seconds."""


def main() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)
    os.nice(10)  # it stands for other machines, whose work costs the gateway's machine nothing
    name, *paths = sys.argv[1:6]
    attack = {**load(name), QUIET.name: QUIET}[name]
    site = Site(*(Path(path) for path in paths), ports=[int(port) for port in sys.argv[6:]])
    if not _listens(attack.play):
        print("ready", flush=True)
    attack.play(site)


def _listens(play: object) -> bool:
    """Whether it says by itself when it is ready."""
    return getattr(play, "__qualname__", "").startswith("served.")


if __name__ == "__main__":
    main()
