"""What a sink asks of the gateway, from wherever it asks."""

import asyncio
import threading
from dataclasses import replace

import pytest

from gateway.config.model import GatewaySection
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
from gateway.core.live import LiveTable
from gateway.publish.host import ASKED_AT_ONCE, Host, SinkSurroundings

AROUND = SinkSurroundings(GatewaySection(name="g"), "", SystemClock(), LiveTable())


class Nobody:
    def acknowledged(self, records) -> None:
        raise AssertionError

    def refused(self, record, reason, final) -> None:
        raise AssertionError


async def test_answers_from_a_thread_of_the_sink_are_heard_in_the_event_loop_and_in_order() -> None:
    heard: list[tuple[object, int]] = []
    done = asyncio.Event()

    class Answers(Nobody):
        def acknowledged(self, records) -> None:
            heard.append(([*records], threading.get_ident()))

        def refused(self, record, reason, final) -> None:
            heard.append(((record, reason, final), threading.get_ident()))
            done.set()

    host = Host("central", AROUND, Answers())

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


async def test_a_request_is_answered_with_json_values_or_refused_in_words() -> None:
    async def request(sink, command, arguments):
        if command == "bug":
            raise KeyError("a bug")
        if command == "stops":
            raise SystemExit
        return iter([sink, command, arguments] * 400)

    host = Host("central", replace(AROUND, request=request), Nobody())
    answer = await host.request("tags", {"device": "oven"})
    assert answer == ["central", "tags", {"device": "oven"}] * 400
    for command in ("bug", "stops"):
        with pytest.raises(GatewayError, match=r"a bug; the traceback|SystemExit"):
            await host.request(command)
    with pytest.raises(GatewayError, match="no gateway is running here"):
        await Host("central", AROUND, Nobody()).request("tags")


async def test_a_far_side_that_asks_too_much_at_once_is_told_and_heard_again_later() -> None:
    free = asyncio.Event()

    async def request(sink, command, arguments):
        await free.wait()
        return command

    host = Host("central", replace(AROUND, request=request), Nobody())
    waiting = [asyncio.ensure_future(host.request("read")) for _ in range(ASKED_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(GatewayError, match="16 requests of sink central are under way"):
        await host.request("read")
    waiting.pop().cancel()
    free.set()
    assert await asyncio.gather(*waiting) == ["read"] * (ASKED_AT_ONCE - 1)
    assert await host.request("read") == "read"
