"""For all tests, of the core and of the plugins.

No time limit per Hypothesis example, because the machine is shared with servers and other tests. Whatever a test does to
logging ends with it, so that tests may come in any order. Chance can be repeated.
"""

import inspect
import os
import random
import re
import signal
import sys
from collections.abc import Generator, Iterator
from types import CodeType
from typing import Any

import pytest
import structlog
from hypothesis import settings

from gateway.testing.loops import pytest_asyncio_loop_factories  # noqa: F401  # a hook

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as for a shell's job in the background, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)

for processor in structlog.get_config()["processors"]:
    if isinstance(
        processor, structlog.dev.ConsoleRenderer
    ):  # tracebacks as the gateway writes them: its own are drawn slowly
        processor.exception_formatter = structlog.dev.plain_traceback


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests go to one process: those of a file. Those of OPC UA go to two, for each kind of server one, so that each
    server is started once; those of deploy/ to one, for they build a package, and those of kafka/ for their server. What
    takes longest comes first, because the last ones that run are what the others wait for."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            shared = re.search(r"^plugins/opcua/.*\[(node-opcua|asyncua)\b|^(tests/deploy|plugins/kafka)/", nodeid)
            return shared[1] or shared[2] if shared else str(super()._split_scope(nodeid))

    if config.option.dist != "loadfile":
        return None  # as the command line says
    config.option.loadscopereorder = False  # but as below
    return ByFileAndServer(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Pytest keeps the tests as it has rewritten them also where no bytecode is to be written (PYTHONDONTWRITEBYTECODE): to
    rewrite all of them takes each process some seconds. What the tests start does as it is told."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = before


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The lane of each test (CONTRIBUTING.md): `servers` for those that use a peer, by themselves or by a fixture, and are
    not of the system. Among several processes the longest files come first, since at the end all wait for them."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("system") and _uses_a_peer(item):
            item.add_marker("servers")
        if item.nodeid.endswith("[uvloop]"):  # which keeps the signal to itself that would end a test that hangs
            item.add_marker(pytest.mark.timeout(120, method="thread"))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (not item.nodeid.startswith(_LONG), not item.get_closest_marker("system")))


def _uses_a_peer(item: pytest.Function) -> bool:
    """Whether the test's file has the name of one, or a fixture of the test's uses such a name."""
    fixtures = (inspect.unwrap(each.func) for found in item._fixtureinfo.name2fixturedefs.values() for each in found)
    seen = inspect.unwrap(item.function).__globals__
    return any(map(_is_a_peer, seen.values())) or any(
        _is_a_peer(each.__globals__.get(name)) for each in fixtures for name in _names(each.__code__)
    )


def _is_a_peer(value: object) -> bool:
    where = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    return isinstance(where, str) and _PEER.search(where) is not None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


_LONG = (
    "plugins/opcua/",
    "tests/deploy/",
    "tests/selftest/",
    "tests/system/test_account.py",
    "tests/system/test_demo.py",
    "tests/test_house.py",
)
"""Where most of the time goes, also where little of it is work. The rest of the system follows."""

_PEER = re.compile(r"\.peers\b(?!\.(ports|proxy|certificates|hostile_models|opcua_hostile)\b)")
"""A server, a device or a broker; the others of that folder live in the test's process, or are no servers."""


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What the test starts hears Ctrl-C; where the tests themselves run in the background of a shell, it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rounds() -> int:
    """How many spoilt inputs a decoder gets; `make fuzz` says more."""
    return int(os.environ.get("ROUNDS") or 5_000)


@pytest.fixture
def new_seed() -> int:
    """Another one each time, told where the test fails; SEED in the environment repeats it. In CI always the same, as the
    examples of Hypothesis are: what chance finds is not the fault of the change that is judged."""
    chosen = int(os.environ.get("SEED") or (2026 if os.environ.get("CI") else random.SystemRandom().randrange(2**32)))
    print(f"SEED={chosen} makes this test take the same chances again")
    return chosen
