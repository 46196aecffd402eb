"""What the tests of lines share."""

import pytest

from gateway.supervise import backoff
from tests.acquire.plant import Plant


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch):
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.05)


@pytest.fixture
def plant():
    return Plant()
