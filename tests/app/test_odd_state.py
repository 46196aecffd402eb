"""What is no file in the place of any file of the state directory neither hangs nor refuses a start."""

import os
from pathlib import Path

import pytest

from tests.app.plant import Site, device, sink
from tests.places.test_regular import a_directory, a_fifo, a_socket, an_endless_device

NAMES = [
    "lock", "alarms.json", "alarms.json.part", "outbox", "outbox/log.json", "outbox/numbers", "outbox/tags", "outbox/ballast",
    "outbox/data", "outbox/alarm", "outbox/cursors", "outbox/receipts", "outbox/receipts/open.json", "outbox/dead",
    "outbox/cursors/central.json", "outbox/cursors/central.json.part", "outbox/synced.json", "evidence", "drift",
]  # fmt: skip


@pytest.mark.parametrize("lay", [a_fifo, a_directory, an_endless_device, a_socket])
async def test_a_gateway_starts_and_flows_whatever_stands_in_its_state_directory(site: Site, lay) -> None:
    limit = '[[alarm]]\nname = "hot"\ndevices = ["oven"]\ntag = "temp"\nhigh = 50.0\n'
    site.write(sink(), device("oven"), limit)
    state = site.path / "state"
    for name in NAMES:
        path = Path(f"{state}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and path.is_dir() and lay is a_directory:
            continue
        if os.path.lexists(path):
            path.rename(path.with_name(f"{path.name}.before"))
        lay(path)
        since = len(site.far.story)
        async with site.running():
            await site.heard("north/oven", since=since)
