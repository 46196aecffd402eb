"""The code on the pages is right: configurations load or are parts of one that does, Python compiles, JSON and CSV are such,
and commands are those that there are (tests/cli/test_commands_page.py has more about these)."""

import ast
import csv
import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import tomli

from gateway.cli.config.command_reference import commands
from gateway.config.load import load
from gateway.core.errors import ConfigError
from gateway.plugin.discovery import Plugins

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "plugins").glob("*/README.md")),
    ]
    if path.name != "CHANGELOG.md"
]
KNOWN = {
    "toml",
    "python",
    "json",
    "csv",
    "sh",
    "console",
    "text",
    "",
    "promql",
    "ini",
    "yaml",
    "http",
    "xml",
    "systemd",
    "nginx",
    "sql",
}
HEAD = '[gateway]\nname = "g1"\n'
DEVICE = '[[device]]\nname = "press-1"\ndriver = "simulated"\n'
TAGS = "[device.tags]\noil_temp = {}\n"
MAY_LACK = re.compile(
    r"is missing|has no tags|no device is named|has no tag|no such file|no \[\[?\w+\]|no driver \"acme_scale\""
)
"""What is told of a part of a configuration only because it is a part."""


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str


@cache
def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [
            Block(page.relative_to(ROOT), text.count("\n", 0, match.start()) + 1, match[1], match[2])
            for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        ]
    return found


def of(language: str) -> list[Block]:
    return [block for block in blocks() if block.language == language]


def test_no_block_is_of_a_kind_that_nobody_checks() -> None:
    assert {
        f"{block.page}:{block.line}: {block.language}" for block in blocks() if block.language not in KNOWN
    } == set()
    assert len(blocks()) >= 30


def problems(text: str, place: Path) -> list[str]:
    file = place / "config.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load(file, lambda section: Plugins())
    except ConfigError as error:
        lines = text.split("\n")
        return [
            str(problem)
            for problem in error.problems
            if not MAY_LACK.search(problem.message) and "…" not in lines[problem.line - 1]
        ]
    return []


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: f"{block.page}:{block.line}")
def test_a_configuration_on_a_page_loads_or_is_a_part_of_one_that_does(block: Block, tmp_path: Path) -> None:
    """A part may stand at the top, in a device, in its tags, or in [gateway]."""
    try:
        table = tomli.loads(block.text)
    except tomli.TOMLDecodeError as error:
        pytest.fail(f"no TOML: {error}")
    if "project" in table or "tool" in table or "build-system" in table:
        return  # a pyproject.toml
    head = "" if "gateway" in table else HEAD
    ways = (
        head + block.text,
        HEAD + DEVICE + block.text,
        HEAD + DEVICE + TAGS.replace("oil_temp = {}\n", "") + block.text,
        HEAD + block.text,
    )
    before = "".join(each.text for each in of("toml") if each.page == block.page and each.line < block.line)
    told = []
    for way in (*ways, HEAD + before + block.text):
        try:
            tomli.loads(way)
        except tomli.TOMLDecodeError:
            continue
        told.append(problems(way, tmp_path))
    assert told
    assert min(told, key=len) == []


@pytest.mark.parametrize("block", of("python"), ids=lambda block: f"{block.page}:{block.line}")
def test_python_on_a_page_compiles(block: Block) -> None:
    compile(block.text, f"{block.page}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [*of("json"), *of("csv")], ids=lambda block: f"{block.page}:{block.line}")
def test_data_on_a_page_are_such(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
        return
    first = block.text.partition("\n")[0]
    rows = list(csv.reader(block.text.splitlines(), delimiter=max(",;", key=first.count), strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}


def shell_lines() -> list[tuple[Block, str]]:
    """The calls of our command in blocks, fenced or indented."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [
            (Block(page.relative_to(ROOT), text.count("\n", 0, match.start()) + 1, "sh", ""), match[1].strip())
            for match in re.finditer(
                r"^(?: {4})?(?:\$ )?(?:sudo )?(edge-gateway [a-z][^\n#|>&;]*)$", text, re.MULTILINE
            )
        ]
    return found


@pytest.mark.parametrize(
    ("block", "line"), shell_lines(), ids=lambda each: f"{each.page}:{each.line}" if isinstance(each, Block) else ""
)
def test_a_call_on_a_page_is_one_that_the_command_takes(
    block: Block, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.cli.frame import command_line

    words = shlex.split(line.partition("   ")[0])[1:]
    if any("…" in word or word.isupper() or "[" in word for word in words):
        assert words[0] in commands()
        return
    try:
        command_line().parse_args(words)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_nobody_is_told_to_install_our_name_from_an_index_where_it_is_not_ours() -> None:
    """Whoever takes that name would run as root on each PC."""
    own = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/*.md")]
    code = [
        path for folder in ("gateway", "plugins") for path in (ROOT / folder).rglob("*.py") if "tests" not in path.parts
    ]
    told = re.compile(r"(?:pip|pipx|uv tool|uv pip) install (?:-\S+ )*['\"]?edge-gateway\b(?!_)")
    assert [str(path) for path in [*own, *code] if told.search(path.read_text(encoding="utf-8"))] == []
