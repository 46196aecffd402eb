"""`plugin new` writes what passes its contract suite unchanged, and keeps passing the checks we hold our own code to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gateway
from gateway.config.kinds import DRIVER, SINK
from gateway.core.errors import PluginError
from gateway.plugin.discovery import Plugins
from gateway.plugin.scaffold import write_scaffold

REPOSITORY = Path(gateway.__file__).parents[1]


def run(*command, cwd):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("sink", [False, True], ids=["driver", "sink"])
def test_a_new_plugin_passes_its_contract_suite_unchanged(tmp_path, sink):
    write_scaffold("acme_scale", tmp_path, "sink" if sink else "driver")
    told = run("pytest", "-q", "-p", "no:cacheprovider", "acme_scale", cwd=tmp_path)
    assert " passed" in told
    assert "failed" not in told
    run("ruff", "check", "--no-cache", "--config", str(REPOSITORY / "pyproject.toml"), "acme_scale", cwd=tmp_path)


@pytest.mark.parametrize("sink", [False, True], ids=["driver", "sink"])
def test_a_new_plugin_is_found_and_works_at_the_next_look(tmp_path, sink):
    written = write_scaffold("acme_scale", tmp_path / "plugins", "sink" if sink else "driver")
    assert sorted(str(path.relative_to(tmp_path / "plugins")) for path in written) == [
        "acme_scale/README.md",
        "acme_scale/__init__.py",
        "acme_scale/pytest.ini",
        "acme_scale/sample.toml",
        "acme_scale/tests/test_acme_scale.py",
    ]
    assert "acme_scale" in (Plugins([tmp_path / "plugins"]).names(SINK if sink else DRIVER))


@pytest.mark.parametrize("name", ["Acme", "acme-scale", "1st", "class", "", "../up", "simulated"])
def test_names_that_no_plugin_can_have_are_refused(tmp_path, name):
    with pytest.raises(PluginError, match="name of a"):
        write_scaffold(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    write_scaffold("acme_scale", tmp_path)
    with pytest.raises(PluginError, match="there already"):
        write_scaffold("acme_scale", tmp_path)
