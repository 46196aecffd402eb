"""The figures: memory, gaps in what arrived at the broker, and how long the machine itself stood still meanwhile.

`python -m tests.attack.measure FILE` is the metronome: it wakes up every 20 ms and notes how late it was.
"""

import ctypes
import itertools
import json
import math
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BEAT = 0.02
WORTH_NOTING = 0.05


def memory(pid: int) -> tuple[int, int]:
    """Bytes of a process and its children: resident now, and at most so far (the sum of each one's peak)."""
    now = peak = 0
    for each in (pid, *_descendants(pid)):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:  # it has ended
            continue
        sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
        now += 1024 * int(sizes.get("VmRSS", 0))
        peak += 1024 * int(sizes.get("VmHWM", 0))
    return now, peak


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(each) for each in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def longest_gap(arrivals: Sequence[float], begin: float, end: float) -> float:
    """The longest time without an arrival between begin and end."""
    inside = [begin, *(at for at in arrivals if begin <= at <= end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))


def arrivals(file: Path) -> dict[str, list[float]]:
    """Topic → wall times of what arrived, from the lines of mosquitto_sub's `-F "%U %t"`."""
    times: dict[str, list[float]] = {}
    for line in file.read_bytes().rpartition(b"\n")[0].decode(errors="replace").split("\n"):
        at, _, topic = line.partition(" ")
        if topic:
            times.setdefault(topic, []).append(float(at))
    return times


def stood_still(file: Path, begin: float, end: float) -> float:
    """The longest time that the metronome was late by, between begin and end."""
    lines = [json.loads(line) for line in file.read_bytes().rpartition(b"\n")[0].splitlines()]
    return max((late for at, late in lines if begin <= at <= end), default=0.0)


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Of (time, value), at least two: the slope by Theil and Sen, the median over all pairs, and the ends of its interval of
    95 % (Sen 1968, by the normal approximation of Kendall's S; of few points it is the whole range)."""
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in itertools.combinations(points, 2)
    )
    count = len(points)
    reach = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    outside = max(0, math.floor((len(slopes) - reach) / 2))
    return statistics.median(slopes), slopes[outside], slopes[len(slopes) - 1 - outside]


def metronome(file: Path) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.alarm(7200)
    print("ready", flush=True)
    with file.open("a", buffering=1) as out:
        before = time.monotonic()
        while os.getppid() > 1:
            time.sleep(BEAT)
            now = time.monotonic()
            if (late := now - before - BEAT) > WORTH_NOTING:
                out.write(f"[{time.time()}, {late}]\n")
            before = now


if __name__ == "__main__":
    metronome(Path(sys.argv[1]))
