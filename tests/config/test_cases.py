"""Every folder of `cases` is a broken configuration with exactly what a person is told of it."""

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.core.errors import ConfigError
from tests.config.sample_plugins import look_up

CASES = sorted(Path(__file__).with_name("cases").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_configuration_is_explained(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    with pytest.raises(ConfigError) as caught:
        load(Path("config.toml"), look_up)
    assert str(caught.value) + "\n" == (case / "error.txt").read_text(encoding="utf-8")


def test_each_case_is_a_configuration_and_what_is_told_of_it() -> None:
    """Where the folder is missing, or git has left a file out, the test above would have fewer cases, or none."""
    assert len(CASES) >= 87
    halves = [
        f"{case.name}/{name}" for case in CASES for name in ("config.toml", "error.txt") if not (case / name).is_file()
    ]
    assert halves == []
