"""`edge-gateway config show`: each value that counts, and where it is from."""

import json
from pathlib import Path

import pytest

from gateway.cli import main

CONFIG = """[gateway]
name = "g1"
[[sink]]
name = "central"
plugin = "mqtt"
host = "broker"
user = "gw"
allow_plain_password = true
password = { env = "GW_TEST_SECRET" }
[template.meter]
driver = "simulated"
scan = "5s"
[template.meter.tags]
power = { unit = "kW" }
[[device]]
name = "m1"
template = "meter"
timeout = "2s"
[device.tags]
power = { description = "of all" }
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GW_TEST_SECRET", "hunter2")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "conf.d").mkdir(mode=0o755)
    (tmp_path / "conf.d/site.toml").write_text('[gateway]\nsite = "north"\n')
    return tmp_path


def test_every_value_has_its_origin_and_no_secret_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--effective", "--json", "--config", "config.toml"]) == 0
    text = capsys.readouterr().out
    found = {(each["table"], each["key"]): each for each in json.loads(text)}
    origins = {place: each["origin"] for place, each in found.items()}
    assert origins["[gateway]", "name"] == "config.toml:2"
    assert origins["[gateway]", "site"] == "conf.d/site.toml:2"
    assert origins["[gateway]", "writes"] == "default"
    assert origins["[gateway]", "state_dir"] == "environment STATE_DIRECTORY"
    assert found["[gateway]", "state_dir"]["value"] == str(place / "state")
    assert origins["[outbox]", "keep"] == "default"
    assert origins["[[device]] m1", "scan"] == 'template "meter", config.toml:12'
    assert origins["[[device]] m1", "timeout"] == "config.toml:18"
    assert origins["[[device]] m1 tags.power", "unit"] == 'template "meter", config.toml:14'
    assert origins["[[device]] m1 tags.power", "description"] == "config.toml:20"
    assert origins["[[sink]] central", "password"] == "config.toml:9; environment GW_TEST_SECRET is there"
    assert found["[[sink]] central", "password"]["value"] == {"env": "GW_TEST_SECRET"}
    assert "hunter2" not in text


def test_the_same_for_people_and_what_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--effective", "--config", "config.toml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith('scan = "5s"') and line.endswith('# template "meter", config.toml:12') for line in lines)
    (place / "conf.d/site.toml").write_text(
        '[[sink]]\npassword = "hunter2#"  # not so\ntls = { key_password = \'hunter2\', ca = "x" }\n'
    )
    assert main(["config", "show", "--config", "config.toml"]) == 0
    text = capsys.readouterr().out
    assert "hunter2" not in text
    assert "password = …  # not so" in text
    assert 'key_password = …, ca = "x"' in text
    assert 'password = { env = "GW_TEST_SECRET" }' in text


def test_of_a_configuration_with_mistakes_they_are_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "config.toml").write_text(CONFIG.replace("timeout", "timeuot"))
    assert main(["config", "show", "--effective", "--config", "config.toml"]) == 1
    assert 'config.toml:18: device "m1": timeuot: unknown key, did you mean "timeout"?' in capsys.readouterr().out
