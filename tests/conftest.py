"""For all tests here: no time limit per Hypothesis example, because the machine is shared with servers and other tests; and
whatever a test does to logging ends with it, so that tests may come in any order."""

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
