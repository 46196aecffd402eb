"""What a reload or a new description replaces is let go."""

import gc
from collections import Counter

import pytest

from gateway.core.command import Actor
from gateway.core.tag import Device
from gateway.plugin import Found
from gateway.publish import encoder
from tests.app.plant import Site, device, sink

ROUNDS = 50


def devices() -> int:
    """Device objects that are alive."""
    gc.collect()
    return Counter(type(each) for each in gc.get_objects())[Device]


@pytest.mark.parametrize("how", ["reload", "describe"])
async def test_the_number_of_devices_in_memory_does_not_grow(
    site: Site, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "KEPT_TAGS", 20)
    site.write(sink(), device("oven"), device("press"))
    async with site.running() as gateway:

        async def change(turn: int) -> None:
            site.bench.found = {"temp": Found(("float32", "float64")[turn % 2])}
            site.write(
                sink(), device("oven", f"stale_after = '{50 + turn % 2}s'" if how == "reload" else ""), device("press")
            )
            before = len(site.bench.connects)
            if how == "reload":
                assert (await gateway.reloads.reload(Actor("test")))["applied"]
            else:
                site.bench.lost.add("oven")
            await site.until(lambda: len(site.bench.connects) > before, "a new connection")
            await site.heard("north/oven", since=len(site.far.story))
            site.far.records.clear()
            site.far.story.clear()
            site.bench.connects.clear()

        for turn in range(30):  # until what is bounded is full
            await change(turn)
        before = devices()
        for turn in range(ROUNDS):
            await change(turn)
        await site.until(lambda: devices() <= before + 4, "all but what is under way is let go")
