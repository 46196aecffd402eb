"""Runs the gateway's command line under cProfile with CPU time: SIGUSR1 begins, and again ends and writes the file.

python benchmarks/profiled.py FILE run --config …
"""

import cProfile
import signal
import sys
import time

from gateway.cli import main

profile = cProfile.Profile(time.thread_time)
running = False


def toggle(*_: object) -> None:
    global running
    running = not running
    if running:
        profile.enable()
    else:
        profile.disable()
        profile.dump_stats(sys.argv[1])


signal.signal(signal.SIGUSR1, toggle)
sys.exit(main(sys.argv[2:]))
