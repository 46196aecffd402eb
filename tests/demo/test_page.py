"""The demonstration has the page where the extra `web` is installed, and goes on without it."""

import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.demo import scenario, stage
from gateway.demo.scenario import Ports


@pytest.mark.parametrize("page", [None, 8080])
def test_its_configuration_is_right_with_the_page_and_without(
    page: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = scenario.write(tmp_path, Ports(1883, 5020, 4840, page), sys.executable, "mosquitto")
    assert main(["check", "--config", str(config)]) == 0, capsys.readouterr()
    assert ('plugin = "web"' in config.read_text()) is (page is not None)


def test_the_page_is_left_out_where_a_library_of_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stage._page_can_be()
    monkeypatch.setattr(stage, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert not stage._page_can_be()
