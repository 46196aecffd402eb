"""docs/commands.md tells of every command and option there is, and of no other."""

import re
from pathlib import Path

import pytest

from gateway.cli.config.command_reference import commands, own_options, spelling
from gateway.cli.config.docs import pages
from gateway.cli.frame import COMMANDS
from gateway.plugin.discovery import Plugins

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "commands.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == pages(ROOT, Plugins())[PAGE], "run: edge-gateway docs"


def test_every_command_has_a_chapter_with_all_its_options() -> None:
    chapters = dict(re.findall(r"^## (.*)\n((?:(?!^## ).*\n)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(COMMANDS) <= set(commands())
    for name, parser in commands().items():
        for option in own_options(parser):
            assert f"| `{spelling(option)}` |" in chapters[name]


@pytest.mark.parametrize("page", ["README.md", *sorted(path.name for path in (ROOT / "docs").glob("*.md"))])
def test_no_page_tells_of_a_command_or_an_option_that_there_is_not(page: str) -> None:
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    options = {
        string for parser in commands().values() for action in parser._actions for string in action.option_strings
    }
    for command, rest in re.findall(
        r"edge-gateway +([a-z][a-z-]*)((?: +[^`#|\n]*)?)", _code(path.read_text(encoding="utf-8"))
    ):
        assert command in COMMANDS, f"{page}: edge-gateway {command}"
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest):
            assert option in options, f"{page}: edge-gateway {command} {option}"


def _code(text: str) -> str:
    """What stands in a page's code: indented, fenced, or between backquotes; prose may say "the edge-gateway service"."""
    indented = re.findall(r"^ {4}.*$", text, re.MULTILINE)
    fenced = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*indented, *fenced, *re.findall(r"`[^`\n]+`", text)])
