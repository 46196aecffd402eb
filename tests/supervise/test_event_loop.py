import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.supervise import event_loop
from gateway.supervise.event_loop import EventLoop


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request, monkeypatch):
    if request.param == "asyncio":
        monkeypatch.setattr(event_loop, "_loop_factory", lambda: None)
    monkeypatch.setattr(event_loop, "PATIENCE", 0.01)
    return EventLoop()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_a_plugin_raises_in_a_callback_or_a_task_of_its_own_ends_nothing(loop, kind):
    done = []

    def bye():
        raise kind

    async def leaving():
        raise kind

    async def main():
        for _ in range(20):
            asyncio.get_running_loop().call_soon(bye)
            await asyncio.sleep(0)
            task = asyncio.create_task(leaving())
            await asyncio.sleep(0.001)
            assert task.done()
            task.exception()
        done.append(True)

    with capture_logs() as logs:
        loop.run(main())
    assert done == [True]
    times = [line["times"] for line in logs]
    assert {1, 2, 4} <= set(times) <= {1, 2, 4, 8, 16}, "with its traceback once, then a count"
    assert [bool(line["exc_info"]) for line in logs] == [count == 1 for count in times]


def test_what_has_no_words_but_raises_in_their_place_ends_nothing_either(loop):
    class Mute(SystemExit):
        def __str__(self):
            raise KeyboardInterrupt

    done = []

    async def leaving():
        raise Mute

    async def main():
        task = asyncio.create_task(leaving())
        await asyncio.sleep(0.01)
        task.exception()
        done.append(True)

    with capture_logs() as logs:
        loop.run(main())
    assert done == [True]
    assert [line["reason"] for line in logs] == ["Mute: Mute without words"]


def test_what_the_gateway_itself_raises_ends_it(loop):
    async def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.run(main())


def test_a_task_that_does_not_end_holds_up_no_end_and_is_named(loop):
    async def deaf():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if ended:
                    return

    ended = []

    async def main():
        main.task = asyncio.create_task(deaf())
        await asyncio.sleep(0)

    loop.run(main())
    (place,) = loop.deaf
    assert "test_event_loop.py:" in place
    ended.append(True)  # and let it end after all, for the sake of the other tests
    inner = main.task.get_loop()
    main.task.cancel()
    inner.run_until_complete(main.task)
    inner.close()
