"""Which event loops a test runs on. The gateway runs on uvloop where it is installed, which tells of a connection's end
otherwise than asyncio's own: two sinks were right on that one alone.

A pytest plugin, `-p gateway.testing.loops`; for one package of tests, import the hook in its conftest.py.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

BOTH = ("uvloop", "asyncio")
"""For a suite that is to run on each of them."""


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """The loops that a test's class names as `loops`; else, and without uvloop, asyncio's own."""
    named: Sequence[str] = getattr(getattr(item, "cls", None), "loops", ("asyncio",))
    known = _known()
    return {name: known[name] for name in named if name in known} or {"asyncio": known["asyncio"]}


def _known() -> dict[str, LoopFactory]:
    known: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop
    except ImportError:
        return known
    return known | {"uvloop": uvloop.new_event_loop}
