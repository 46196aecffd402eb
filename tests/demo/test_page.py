"""The demonstration has the page where the extra `web` is installed, and goes on without it."""

import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.demo import scenario, stage
from gateway.demo.desktop import is_desktop
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


@pytest.mark.parametrize(
    ("environment", "is_terminal", "opens"),
    [
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ({"DISPLAY": ":0"}, False, False),
        ({}, True, False),
        ({"DISPLAY": ""}, True, False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, True, False),
        ({"DISPLAY": ":99", "CI": "true"}, True, False),
    ],
)
def test_a_browser_is_opened_only_for_who_sits_before_the_screen(
    environment: dict[str, str], is_terminal: bool, opens: bool
) -> None:
    assert is_desktop(environment, is_terminal) is opens
