"""One device by bacpypes3 for the tests of each file."""

from collections.abc import Iterator

import pytest

from plugins.bacnet.tests.plant import Served, served


@pytest.fixture(scope="module")
def plant() -> Iterator[Served]:
    """It keeps what is written to it."""
    with served() as device:
        yield device
