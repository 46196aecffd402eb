import pytest

from gateway.detect import alarms, watch


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models here are small: they score at once, however long that takes here, unless the test calls them slow. And an
    event waits for the disk as long as this one takes."""
    monkeypatch.setattr(watch, "INLINE_SECONDS", float("inf"))
    monkeypatch.setattr(alarms, "PATIENCE", 25.0)
