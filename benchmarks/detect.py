"""CPU time of windows and scoring, and what a slow model does to the event loop. `python benchmarks/detect.py [SECONDS]`

First: assets × 8 tags × 1 s with the shipped model. Simulated seconds are fed as fast as they go, one block per asset and
second, each at its own moment of the second as a poller delivers them; the detector ticks twice a second as it does in the
daemon. Printed: CPU time per simulated second. The aim is 2 % of a core for 500 assets, and 30 µs for a small call.

Second, in real time: how late a timer of 2 ms comes, without a model and beside one that computes for some 25 ms four times
a second. The aim is a p99 below 5 ms; what the machine itself adds stands in the first row.
"""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.alarms import Alarms
from gateway.config.model import ModelSection
from gateway.core.clock import FakeClock
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.demo.build_model import MODEL, record
from gateway.demo.coater import TAGS
from gateway.detect import Detector
from gateway.detect.own_thread import in_own_thread
from gateway.detect.watcher import DetectorSurroundings
from gateway.status import ModelStatus
from gateway.testing.events import EventList


def make_device(number: int) -> Device:
    name = f"coater-{number}"
    first = number * len(TAGS)
    tags = [Tag(first + i, name, tag, "float32", unit) for i, (tag, unit) in enumerate(TAGS.items())]
    return Device(name, "simulated", Tags(name, tags))


async def measure(assets: int, seconds: int) -> tuple[dict[str, float], ModelStatus]:
    """CPU seconds by part over `seconds` simulated seconds, and the model's status at the end."""
    clock, events = FakeClock(), EventList()
    devices = [make_device(number) for number in range(assets)]
    section = ModelSection.model_validate({"file": str(MODEL), "devices": ["coater-*"]})
    alarms = Alarms(events, clock)
    around = DetectorSurroundings(events, alarms, clock, "benchmark")
    detector = Detector(around, [section], devices, base=Path())
    await detector.load()
    rows = record(5, 600)
    quality = np.zeros(len(TAGS), np.uint32)
    spent = {"feed": 0.0, "tick": 0.0}

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        work.close()
        raise RuntimeError(
            "the model counts as slow on this machine: windows and scores would not be measured together"
        )

    for second in range(seconds):
        for half in (0, 1):
            mine = devices[half::2]
            blocks = [
                Readings(
                    device,
                    np.full(len(TAGS), clock.wall_ns() + 500_000_000 * i // len(mine)),
                    device.tags.ids,
                    rows[(second + i * 7) % len(rows)],
                    quality,
                )
                for i, device in enumerate(mine)
            ]
            clock.advance(0.5)
            begun = time.thread_time()
            for block in blocks:
                detector.feed(block, clock.boot_ns())
            fed = time.thread_time()
            detector.tick(spawn)
            spent["feed"] += fed - begun
            spent["tick"] += time.thread_time() - fed
    return spent, detector.status(ModelStatus)[0]


async def scoring_alone(assets: int, calls: int) -> float:
    """CPU seconds per call of the session for all assets at once."""
    from gateway.detect.models import ModelSession, parse_card, read_onnx

    file = read_onnx(MODEL)
    session = ModelSession(file, parse_card(file.metadata), assets=assets)
    windows = np.lib.stride_tricks.sliding_window_view(record(5, assets + 7), 8, axis=0).transpose(0, 2, 1)
    ready = np.ascontiguousarray(windows, np.float32)
    begun = time.thread_time()
    for _ in range(calls):
        session.score(ready)
    return (time.thread_time() - begun) / calls


class Slow:
    """Computes for some 25 ms, in onnxruntime's own code as a slow model does: many windows at once, again and again."""

    def __init__(self) -> None:
        from gateway.detect.models import open_model

        self._score = open_model(MODEL, 2000).session.score
        rows = np.lib.stride_tricks.sliding_window_view(record(5, 2007), 8, axis=0).transpose(0, 2, 1)
        self._windows = np.ascontiguousarray(rows, np.float32)
        begun = time.perf_counter()
        self._score(self._windows)
        self._times = max(1, round(0.025 / (time.perf_counter() - begun)))

    def __call__(self) -> None:
        for _ in range(self._times):
            self._score(self._windows)


async def loop_lag(seconds: float, model: Callable[[], None] | None) -> list[float]:
    """How late, in seconds, a timer of 2 ms came."""
    late: list[float] = []
    calls: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    begun = last = loop.time()
    while loop.time() < begun + seconds:
        if model is not None and loop.time() > last + 0.25 and not calls:
            last = loop.time()
            task = asyncio.create_task(in_own_thread(model, 10.0))
            calls.add(task)
            task.add_done_callback(calls.discard)
        due = loop.time() + 0.002
        await asyncio.sleep(0.002)
        late.append(loop.time() - due)
    await asyncio.gather(*calls)
    return late


async def print_loop_lag() -> None:
    slow = Slow()
    print(f"\n{'event loop late by, ms':<28} {'p50':>7} {'p99':>7} {'max':>7}")
    for name, model in (("no model", None), ("a model of 25 ms, 4 a second", slow)):
        found = np.array(await loop_lag(8.0, model)) * 1e3
        print(f"{name:<28} {np.percentile(found, 50):>7.3f} {np.percentile(found, 99):>7.3f} {found.max():>7.3f}")


async def print_loading() -> None:
    from gateway.detect.models import open_model

    open_model(MODEL)
    begun = time.perf_counter()
    opened = open_model(MODEL, 1)
    loaded = time.perf_counter() - begun
    one = await scoring_alone(1, 2000)
    print(f"\nload, check and time a model: {loaded * 1e3:.1f} ms; one call for one window: {one * 1e6:.1f} µs", end="")
    print(f"; explaining it: {opened.explain_seconds * 1e6:.1f} µs")


async def main(seconds: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(
        f"{'assets':>6} {'feed ms/s':>10} {'tick ms/s':>10} {'of it scoring':>14} {'% of a core':>12} {'µs/asset':>9}"
    )
    for assets in (1, 100, 500):
        spent, status = await measure(assets, seconds)
        assert status.state == "up" and status.scoring and status.scoring.batched, status
        scoring = await scoring_alone(assets, 200)
        feed, tick = (spent[part] / seconds * 1e3 for part in ("feed", "tick"))
        share, each = (feed + tick) / 10, (feed + tick) * 1e3 / assets
        print(f"{assets:>6} {feed:>10.3f} {tick:>10.3f} {scoring * 1e3:>14.3f} {share:>12.3f} {each:>9.1f}")

    await print_loading()
    await print_loop_lag()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=int, nargs="?", default=120, help="simulated seconds (default: 120)")
    asyncio.run(main(parser.parse_args().seconds))
