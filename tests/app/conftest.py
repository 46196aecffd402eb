from pathlib import Path

import pytest

from gateway import app
from gateway.outbox import outbox
from gateway.publish import sink_session
from gateway.supervise import backoff
from tests.app.plant import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty site; what fails is tried again soon, and a stop waits for disk and far side as long as these take."""
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.05)
    for module, name in ((app, "LAST_WORDS"), (sink_session, "FLUSH"), (outbox, "_LAST_RECORDS")):
        monkeypatch.setattr(module, name, 25.0)
    return Site(tmp_path)
