"""CPU time of windows and scoring: assets × 8 tags × 1 s, with the shipped model. `python benchmarks/detect.py [SECONDS]`

Simulated seconds are fed as fast as they go, one block per asset and second, each at its own moment of the second as a
poller delivers them; the detector ticks twice a second as it does in the daemon. Printed: CPU time per simulated second.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.config.model import ModelSection
from gateway.core.clock import FakeClock
from gateway.core.event import Event
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.demo.build_model import MODEL, record
from gateway.demo.coater import TAGS
from gateway.detect import Detector


def make_device(number: int) -> Device:
    name = f"coater-{number}"
    first = number * len(TAGS)
    tags = [Tag(first + i, name, tag, "float32", unit) for i, (tag, unit) in enumerate(TAGS.items())]
    return Device(name, "simulated", Tags(name, tags))


async def measure(assets: int, seconds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """CPU seconds by part over `seconds` simulated seconds, and the model's status at the end."""
    clock, events = FakeClock(), list[Event]()
    devices = [make_device(number) for number in range(assets)]
    section = ModelSection.model_validate({"file": str(MODEL), "devices": ["coater-*"]})
    detector = Detector([section], devices, emit=events.append, clock=clock, version="benchmark", base=Path())
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
                detector.feed(block)
            fed = time.thread_time()
            detector.tick(spawn)
            spent["feed"] += fed - begun
            spent["tick"] += time.thread_time() - fed
    return spent, detector.status()[0]


async def scoring_alone(assets: int, calls: int) -> float:
    """CPU seconds per call of the session for all assets at once."""
    from gateway.detect.card import parse_card
    from gateway.detect.onnx_file import read_onnx
    from gateway.detect.session import Session

    file = read_onnx(MODEL)
    session = Session(file, parse_card(file.metadata))
    windows = np.lib.stride_tricks.sliding_window_view(record(5, assets + 7), 8, axis=0).transpose(0, 2, 1)
    ready = np.ascontiguousarray(windows, np.float32)
    begun = time.thread_time()
    for _ in range(calls):
        session.score(ready)
    return (time.thread_time() - begun) / calls


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    print(
        f"{'assets':>6} {'feed ms/s':>10} {'tick ms/s':>10} {'of it scoring':>14} {'% of a core':>12} {'µs/asset':>9}"
    )
    for assets in (1, 100, 500):
        spent, status = await measure(assets, seconds)
        assert status["state"] == "up" and status["batched"], status
        scoring = await scoring_alone(assets, 200)
        feed, tick = (spent[part] / seconds * 1e3 for part in ("feed", "tick"))
        share, each = (feed + tick) / 10, (feed + tick) * 1e3 / assets
        print(f"{assets:>6} {feed:>10.3f} {tick:>10.3f} {scoring * 1e3:>14.3f} {share:>12.3f} {each:>9.1f}")


asyncio.run(main())
