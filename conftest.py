"""For all tests, of the core and of the plugins.

No time limit per Hypothesis example, because the machine is shared with servers and other tests. Whatever a test does to
logging ends with it, so that tests may come in any order. Chance can be repeated.
"""

import os
import random
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole gateway first: these tests take longest, and the last ones that run are what the others wait for."""
    items.sort(key=lambda item: item.get_closest_marker("system") is None)


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
def new_seed() -> int:
    """Another one each time, told where the test fails; SEED in the environment repeats it."""
    chosen = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"SEED={chosen} makes this test take the same chances again")
    return chosen
