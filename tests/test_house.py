"""The house rules that a tool can prove."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load, remarks
from gateway.plugin.discovery import Plugins

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NOT_OUR_WORDS = {"south", "north", "connector", "converter", "manager", "helper", "util", "utils", "handler"}
"""design.md §2: each of them means too many things."""
MACHINES = re.compile(r"(?<![\w./-])/(?:work|root|tmp|home|Users|mnt)/\w")
"""How an absolute path of somebody's machine begins."""
INDEXES = re.compile(r'"resolved":|index-url|^\s*registry\s*=|_authToken', re.MULTILINE)
"""Where the host name of a package index would stand."""


def committed() -> list[Path]:
    """The files that belong to the project, as git knows them."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to know which files belong to the project: git clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content:
            yield path.relative_to(ROOT), content.decode("utf-8", errors="replace")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "gateway", "plugins", "benchmarks"],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_the_tools_agree(command: list[str]) -> None:
    told = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=290, check=False
    )
    assert told.returncode == 0, (told.stdout + told.stderr)[-4000:]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    made_up = {Path("tests/test_house.py"), Path("tests/cli/frame/test_asking.py")}
    found = [
        f"{path}: {match[0]}…" for path, text in texts() if path not in made_up and (match := MACHINES.search(text))
    ]
    found += [str(path) for path, text in texts() if str(ROOT) in text]
    assert found == []


def test_no_file_names_a_package_index() -> None:
    found = [str(path) for path, text in texts() if path != Path("tests/test_house.py") and INDEXES.search(text)]
    assert found == []


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words(name: str) -> set[str]:
    """The words of snake_case and CamelCase."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_no_name_uses_a_word_that_is_not_ours() -> None:
    found = []
    for path in (path for folder in ("gateway", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py")):
        used = [*names(ast.parse(path.read_text(encoding="utf-8"))), path.stem, path.parent.name]
        found += [f"{path.relative_to(ROOT)}: {name}" for name in used if words(name) & NOT_OUR_WORDS]
    assert found == []


def test_a_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, set[Path]] = {}
    for path in (ROOT / "gateway").rglob("*.py"):
        if "templates" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(path.relative_to(ROOT))
    several = {name: sorted(map(str, found)) for name, found in places.items() if len(found) > 1}
    assert several == {}, "find another name"


NEIGHBOURS = re.compile(r"\b(?:the next|the other|the following) (?:two|three|four|five|six|seven|eight|nine|ten)\b")
"""Who puts a function between them makes the sentence wrong."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Of a file's module, classes and functions, each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def test_a_docstring_says_something_and_by_itself() -> None:
    found = []
    for path in (path for folder in ("gateway", "plugins") for path in (ROOT / folder).rglob("*.py")):
        if {"templates", "tests"} & set(path.parts):
            continue
        for line, text in docstrings(path):
            if len(re.findall(r"[\w'-]+", text)) < 3:
                found.append(f"{path.relative_to(ROOT)}:{line}: fewer than three words: {text}")
            if counted := NEIGHBOURS.search(text):
                found.append(f"{path.relative_to(ROOT)}:{line}: counts its neighbours: {counted[0]}")
    assert found == []


LOST = {"LinkError", "OSError", "ConnectionError", "EOFError", "TimeoutError", "Exception", "BaseException"}
"""What ends a connection, which the gateway itself dials anew, after a pause that it chooses."""
WAITS = {
    Path("plugins/opcua/requests/polling.py"): "polls beside what keeps its session alive, each as it falls due",
    Path("plugins/http_post/sink.py"): "waits as long as the server asks it to (Retry-After)",
}
"""Files in which a plugin waits for time to pass, and why it is no pause between two attempts."""


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines that wait for time to pass; a sleep of no time is a turn for the others."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=[ast.Constant(value=0)]):
                pass
            case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep")):
                yield node.lineno


def retries(tree: ast.AST) -> Iterator[int]:
    """Lines at which a loop goes on after what ends a connection. A loop over several servers, each tried once, is none."""
    for loop in ast.walk(tree):
        match loop:
            case ast.While():
                pass
            case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=[*bounds])):
                if not all(isinstance(each, ast.Constant | ast.Name) for each in bounds):
                    continue
            case _:
                continue
        for caught in (node for node in ast.walk(loop) if isinstance(node, ast.ExceptHandler)):
            named = {node.id for node in ast.walk(caught.type or ast.Name("Exception")) if isinstance(node, ast.Name)}
            leaves = any(
                isinstance(node, ast.Raise | ast.Return | ast.Break) for body in caught.body for node in ast.walk(body)
            )
            if named & LOST and not leaves:
                yield caught.lineno


def test_the_rules_against_retries_know_one() -> None:
    (line,) = retries(ast.parse("while True:\n  try:\n    await dial()\n  except OSError:\n    tries += 1"))
    assert line == 4
    assert [*retries(ast.parse("for n in range(3):\n  try:\n    await dial()\n  except TimeoutError: pass"))] == [4]
    assert [*retries(ast.parse("while True:\n  try:\n    await dial()\n  except OSError:\n    raise"))] == []
    assert [*sleeps(ast.parse("asyncio.sleep(0)\ntime.sleep(wait)"))] == [2]


def test_no_driver_or_sink_retries_reconnects_or_sleeps() -> None:
    """The gateway does: there is one place that knows how long to wait."""
    found = []
    for plugin in sorted({*ROOT.glob("plugins/*/driver.py"), *ROOT.glob("plugins/*/sink.py")}):
        for path in sorted(plugin.parent.rglob("*.py")):
            inside = path.relative_to(ROOT)
            if {"tests", "cases"} & set(inside.parts):
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{inside}:{line}: sleeps" for line in sleeps(tree) if inside not in WAITS]
            found += [f"{inside}:{line}: goes on after a lost connection" for line in retries(tree)]
            found += [
                f"{inside}:{node.lineno}: connects by itself"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "self.connect"
            ]
    assert found == []


def test_the_readmes_configuration_is_15_lines_and_loads(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert block.count("\n") == 15
    path = tmp_path / "press.toml"
    path.write_text(block, encoding="utf-8")
    config = load(path, lambda section: Plugins(section.plugin_dirs, section.replaces))
    assert (len(config.devices), len(config.devices[0].tags), len(config.sinks)) == (1, 2, 1)
    assert remarks(config) == []


def test_every_link_of_the_pages_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in committed()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert [f"{page}: {target}" for page, target in links if not (page.parent / target).exists()] == []


def test_every_file_that_the_map_names_is_there() -> None:
    """A file that moves takes its place on the map along."""
    named = [
        (page, name)
        for page in ("gateway/README.md", "docs/words.md")
        for name in re.findall(r"`((?:\w+/)+\w+\.py)`", (ROOT / page).read_text(encoding="utf-8"))
    ]
    assert len(named) > 50
    assert [
        f"{page}: {name}" for page, name in named if not any((ROOT / at / name).exists() for at in ("", "gateway"))
    ] == []
