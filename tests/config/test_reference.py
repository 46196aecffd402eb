"""The generated pages are fresh, complete and true."""

import re
from pathlib import Path

import pytest
import tomli

from gateway.cli.config.docs import pages
from gateway.config.load import load
from gateway.config.model import GatewaySection, OutboxSection
from gateway.config.reference import TOML_MARKER, chapters, markdown, toml
from gateway.plugin.discovery import Plugins
from tests.config.sample_plugins import SamplePlugins

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"


@pytest.mark.parametrize("name", ["config.example.toml", "docs/configuration.md", "docs/protocols.md"])
def test_the_page_is_fresh(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == pages(ROOT, Plugins())[ROOT / name], "run: edge-gateway docs"


def test_the_example_loads_and_begins_with_a_short_whole_configuration() -> None:
    config = load(EXAMPLE, lambda section: Plugins())
    assert (len(config.devices), len(config.sinks)) == (1, 1)
    start = EXAMPLE.read_text(encoding="utf-8").partition(TOML_MARKER)[0]
    lines = [line for line in start.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 17


def test_every_commented_option_is_a_line_of_toml() -> None:
    text = toml(Plugins())
    options = [line[1:] for line in text.splitlines() if re.match(r"#[a-z]", line)]
    assert len(options) > 60
    for line in options:
        tomli.loads(line)


@pytest.mark.parametrize("section", [GatewaySection, OutboxSection])
def test_the_defaults_that_are_shown_are_the_defaults(section: type[GatewaySection] | type[OutboxSection]) -> None:
    header = {"GatewaySection": "#[gateway]", "OutboxSection": "#[outbox]"}[section.__name__]
    lines = toml(SamplePlugins()).partition(header + "\n")[2].partition("# ====")[0].splitlines()
    shown = tomli.loads("\n".join(line[1:] for line in lines if re.match(r"#[a-z]", line)))
    plain = section.model_validate({"name": "x"} if section is GatewaySection else {})
    for key, value in section.model_validate(shown):
        if key not in ("name", "state_dir", "max_size"):
            assert value == getattr(plain, key), key


def test_every_option_of_every_plugin_stands_in_both_pages() -> None:
    plugins = Plugins()
    both = toml(plugins), markdown(plugins)
    for chapter in chapters(plugins):
        for option in chapter.options:
            assert f"#{option.key} = " in both[0]
            assert f"| `{option.key}` |" in both[1]


def test_every_shipped_option_has_its_help() -> None:
    bare = [
        f"{chapter.title}: {option.key}"
        for chapter in chapters(Plugins())
        for option in chapter.options
        if not option.help
    ]
    assert bare == []
