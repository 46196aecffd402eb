from pathlib import Path

import pytest

from gateway.core.context import Context
from tests.outbox.making import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "outbox")


@pytest.fixture
def context() -> Context:
    return Context(site="north", line="coating")
