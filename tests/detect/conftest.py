from collections.abc import Iterator

import pytest

from gateway.alarms import announcements
from gateway.detect import model_watcher
from gateway.detect.models.card import parse_card
from gateway.detect.models.session import ModelSession
from gateway.detect.models.trial import Trial, TrialResult
from gateway.detect.models.trial_process import measured


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models here are small: they score at once, however long that takes here, unless the test calls them slow. And an
    event waits for the disk as long as this one takes."""
    monkeypatch.setattr(model_watcher, "INLINE_SECONDS", float("inf"))
    monkeypatch.setattr(announcements, "PATIENCE", 25.0)


@pytest.fixture(autouse=True)
def tried_here() -> Iterator[None]:
    """Models are tried in the process of the tests, which saves a second for each; `test_trial.py` does without this."""

    def run(trial: Trial, file: object, assets: int) -> TrialResult:
        return measured(ModelSession(file, parse_card(file.metadata), assets=assets), assets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "run", run)
        yield
