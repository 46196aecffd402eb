"""Every shipped plugin has the same file names for the same things (docs/plugins.md, "Its files")."""

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from gateway.plugin import Driver, Sink
from gateway.plugin.driver import option_types
from gateway.testing import load_plugin

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[2] / "plugins").glob("*/__init__.py"))
TABLES = {"driver": ("device", "driver"), "sink": ("sink", "plugin"), "service": ("service", "plugin")}
"""File of the class → the table that names the plugin, and its key for it."""

pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def kind_of(cls: type[Any]) -> str:
    return "driver" if issubclass(cls, Driver) else "sink" if issubclass(cls, Sink) else "service"


def test_all_have_been_found(folder: Path) -> None:
    assert len(FOLDERS) >= 5


@pytest.mark.parametrize("name", ["README.md", "sample.toml", "config.py", "tests"])
def test_a_plugin_has(folder: Path, name: str) -> None:
    assert (folder / name).exists()


def test_its_class_stands_in_the_file_of_its_kind_and_is_all_that_it_offers(folder: Path) -> None:
    cls = load_plugin(folder)
    kind = kind_of(cls)
    assert Path(inspect.getfile(cls)) == folder / f"{kind}.py"
    assert [name for name in TABLES if (folder / f"{name}.py").exists()] == [kind]
    assert sys.modules[cls.__module__.rpartition(".")[0]].__all__ == [cls.__name__]


def test_its_options_stand_in_config(folder: Path) -> None:
    for options in option_types(load_plugin(folder)):
        assert Path(inspect.getfile(options)) == folder / "config.py", options


def test_where_tags_have_an_address_it_is_parsed_in_address_and_there_are_cases(folder: Path) -> None:
    cls = load_plugin(folder)
    if not issubclass(cls, Driver) or "address" not in option_types(cls)[1].model_fields:
        return
    assert "def parse_address(" in (folder / "address.py").read_text()
    assert any((folder / "cases").iterdir())


def test_its_cases_are_run(folder: Path) -> None:
    if (folder / "cases").exists():
        assert "check_case(" in (folder / "tests" / "test_cases.py").read_text()
        for case in (folder / "cases").iterdir():
            assert sum((case / name).exists() for name in ("plan.txt", "error.txt")) == 1, case


def test_it_keeps_its_contract(folder: Path) -> None:
    if kind_of(load_plugin(folder)) in ("driver", "sink"):
        tests = [path.read_text() for path in (folder / "tests").glob("test_*.py")]
        assert any("(DriverContract)" in test or "SinkContract)" in test for test in tests)


def test_its_sample_names_it(folder: Path) -> None:
    table, key = TABLES[kind_of(load_plugin(folder))]
    sample = tomli.loads((folder / "sample.toml").read_text())
    assert {each[key] for each in sample[table]} == {folder.name}
