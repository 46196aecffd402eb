from pathlib import Path

import pytest

from gateway.supervise import backoff
from tests.app.plant import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty site; what fails is tried again soon."""
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.05)
    return Site(tmp_path)
