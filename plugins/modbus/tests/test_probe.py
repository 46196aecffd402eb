"""`edge-gateway probe` on a device that is not our code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main

CONFIG = """
[gateway]
name = "g1"
[[device]]
name = "press-1"
driver = "modbus"
host = "127.0.0.1"
port = {port}
timeout = "20s"
[device.tags]
temperature = {{ address = "40001", type = "float32" }}
"""


@pytest.fixture
def probe(libmodbus: Callable[..., list[int]], tmp_path: Path) -> Callable[..., int]:
    """Runs the command on a device whose first registers are the float32 1.0, 1.015625, …"""
    (port,) = libmodbus("--period", "3600", "--hole", "hr:30-31")
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=port))
    common = ["--config", str(config), "--socket", str(tmp_path / "nobody")]
    return lambda *arguments: main(["probe", "press-1", *arguments, *common])


def test_what_is_expected_comes_first_with_the_line_to_write(
    probe: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe("40001", "--expect", "0.9..1.1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["VALUE", "ADDRESS", "TYPE", "ORDER", "PLAUSIBLE"]
    assert lines[1].split()[1:4] == ["hr:0", "float32", "ABCD"]
    assert lines[-1] == 'name = { address = "hr:0", type = "float32", order = "ABCD" }'


def test_scripts_get_all_guesses(probe: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert probe("hr:2", "--count", "2", "--json") == 0
    guesses = json.loads(capsys.readouterr().out)
    assert {"address": "hr:2", "type": "float32", "order": "ABCD", "value": 1.015625} in [
        {key: value for key, value in guess.items() if key != "plausible"} for guess in guesses
    ]
    assert all(0 <= guess["plausible"] <= 1 for guess in guesses)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("40031",), "illegal data address"),
        (("40001", "--count", "200"), "a request reads 1 to 125 registers"),
        (("00001",), "single bits"),
        (("D100",), "no Modbus address"),
    ],
)
def test_what_cannot_be_probed_is_said(
    probe: Callable[..., int], arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(*arguments) == 1
    assert said in capsys.readouterr().err


def test_where_nothing_fits_that_is_said_and_no_line_to_write(
    probe: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe("40001", "--expect", "123456.1..123456.2") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "nothing fits: no type and order gives a value from 123456 to 123456" in lines[-1]
    assert not any(line.startswith("name =") for line in lines)
