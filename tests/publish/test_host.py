"""What a sink asks of the gateway, from wherever it asks."""

import asyncio
import threading

from gateway.config.model import GatewaySection
from gateway.core.clock import SystemClock
from gateway.core.live import LiveTable
from gateway.publish.host import Host, Surroundings


async def test_answers_from_a_thread_of_the_sink_are_heard_in_the_event_loop_and_in_order() -> None:
    heard: list[tuple[object, int]] = []
    done = asyncio.Event()

    def acknowledged(records) -> None:
        heard.append(([*records], threading.get_ident()))

    def refused(record, reason, final) -> None:
        heard.append(((record, reason, final), threading.get_ident()))
        done.set()

    around = Surroundings(GatewaySection(name="g"), "", SystemClock(), LiveTable(), lambda: (), lambda _: (False, ""))
    host = Host(around, acknowledged, refused)

    def answer() -> None:
        host.acknowledged(iter(["r1", "r2"]))  # type: ignore[list-item]
        host.refused("r3", "Kessel \udcb0C\n", 1)  # type: ignore[arg-type]

    thread = threading.Thread(target=answer)
    thread.start()
    async with asyncio.timeout(25):
        await done.wait()
    thread.join()
    here = threading.get_ident()
    assert heard == [(["r1", "r2"], here), (("r3", "Kessel \ufffdC ", True), here)]
