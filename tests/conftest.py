"""For all tests here: no time limit per Hypothesis example, because the machine is shared with servers and other tests; and
whatever a test does to logging ends with it, so that tests may come in any order."""

import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


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
