"""`plugin list` names what works and what does not; `plugin new` starts one."""

import json
import re

import pytest

from gateway.cli import main


@pytest.fixture
def config(tmp_path):
    (tmp_path / "plugins").mkdir()
    path = tmp_path / "config.toml"
    path.write_text('[gateway]\nname = "gw"\nplugin_dirs = ["plugins"]\n\n[[device]]\nnonsense = true\n')
    return path


def test_a_new_plugin_is_listed_with_those_that_ship(config, capsys):
    assert main(["plugin", "new", "acme_scale", "--dir", str(config.parent / "plugins")]) == 0
    assert "python -m pytest" in capsys.readouterr().out
    main(["plugin", "list", "--json", "--config", str(config)])
    known = {info["name"]: info for info in json.loads(capsys.readouterr().out)}
    assert {"acme_scale", "simulated"} <= known.keys()
    assert known["acme_scale"]["kind"] == "driver"


def test_a_broken_plugin_is_listed_with_its_reason(config, capsys):
    (config.parent / "plugins" / "broken.py").write_text("1 / 0\n")
    assert main(["plugin", "list", "--config", str(config)]) == 1
    told = capsys.readouterr().out
    assert 'not usable: plugin "broken": ' in told
    assert "broken.py:1: ZeroDivisionError: division by zero" in told
    assert re.search(r"^simulated +driver ", told, re.MULTILINE)


def test_without_a_configuration_the_shipped_plugins_are_listed(tmp_path, capsys):
    main(["plugin", "list", "--config", str(tmp_path / "none.toml")])
    assert re.search(r"^simulated +driver ", capsys.readouterr().out, re.MULTILINE)


def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, capsys):
    assert main(["plugin", "new", "Acme-1", "--dir", str(tmp_path)]) == 1
    assert "cannot be the name of a plugin" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
