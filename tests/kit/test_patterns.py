"""No pattern that somebody writes, and no text that a machine sends, stops the gateway."""

import asyncio
import pickle
import threading
import time

import pytest
import uvloop

from gateway.kit import OvertimeError, UserPattern

ENDLESS = {
    r"(a+)+$": "a" * 200 + "b",
    r"(a|aa)+$": "a" * 200 + "b",
    r"(.*)*x": "a" * 200,
    r"^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 200,
    r".*.*.*.*.*x": "a" * 1024,
}


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("pattern", ENDLESS)
def test_what_would_take_for_ever_is_ended_and_rests(pattern: str, run: object) -> None:
    async def searched() -> None:
        endless, plain = UserPattern(pattern), UserPattern("a")
        begin = time.process_time()
        with pytest.raises(OvertimeError, match="longer than"):
            endless.search(ENDLESS[pattern])
        assert time.process_time() - begin < 2
        for _ in range(1000):
            assert plain.search("ba")
        with pytest.raises(OvertimeError, match="before"):
            endless.search("aaa")

    run(searched())  # type: ignore[operator]


def test_what_fits_is_found_and_a_copy_finds_it_too() -> None:
    found = pickle.loads(pickle.dumps(UserPattern(r"^S S +([-0-9.]+)"))).search("S S   -12.5 g")
    assert found
    assert found[1] == "-12.5"
    assert UserPattern("x").search("y") is None


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 5000 + ")" * 5000, "\\"])
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        UserPattern(pattern)


def test_in_another_thread_it_searches_too() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(UserPattern("b").search("abc")))
    thread.start()
    thread.join()
    assert found != [None]
