import pytest

from gateway.alarms import announcements


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event waits for the disk as long as this one takes."""
    monkeypatch.setattr(announcements, "PATIENCE", 25.0)
