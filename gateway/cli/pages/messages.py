"""What the program can say when something is wrong, read off its source, and the paragraph of docs/troubleshooting.md that
explains each of it.

Below a heading of that page stand, as comments, which messages it is about: the files they are in, the class of error, or
words of theirs; the closest one counts.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import gateway
from gateway.plugin.discovery import shipped_plugins

_TELLING = {"fail", "wrong", "_wrong", "park", "Problem", "Mistake", "_refusal"}
"""Functions beside the classes of errors that are given what a person is told."""
_LOGGED = {"warning", "error", "critical"}
_RULE = re.compile(r"^<!-- for: (\S+)(?: ([\w*]+))?(?: /(.+)/)? -->$", re.MULTILINE)
_LEAST = 0.2
"""How like a message a text must be, from 0 to 1, to be taken for it."""
_GAP = "…"
"""In place of what is only known when it happens."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A text, where it stands, and what is called with it."""

    text: str
    file: str
    """From the root, as gateway/config/load.py."""
    line: int
    by: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A chapter of the page, and the rules of which messages it is about: files, class of error, words."""

    title: str
    body: str
    rules: Sequence[tuple[str, str, str]]

    @property
    def anchor(self) -> str:
        """As the page's links name it."""
        return re.sub(r"[^\w-]", "", self.title.lower().replace(" ", "-"))


def paragraphs(page: str) -> list[Paragraph]:
    """The chapters of the page that are about messages."""
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        rules = _RULE.findall(body)
        if rules:
            found.append(Paragraph(title.strip(), re.sub(r"^<!--.*-->\n", "", body, flags=re.MULTILINE).strip(), rules))
    return found


def paragraph_of(message: Saying, among: Sequence[Paragraph]) -> Paragraph | None:
    """The one whose rule is the closest: that names the very file, else words, else the class, else the longest path."""
    best, closest = None, (False, False, False, -1)
    for each in among:
        for files, by, words in each.rules:
            rank = ("*" not in files, bool(words), by not in ("", "*"), len(files))
            if rank > closest and _fits(message, files, by, words):
                best, closest = each, rank
    return best


def _fits(message: Saying, files: str, by: str, words: str) -> bool:
    return (
        fnmatchcase(message.file, files)
        and by in ("", "*", message.by)
        and (not words or re.search(words, message.text) is not None)
    )


def messages() -> Iterator[Saying]:
    """All of them."""
    for inner, source in _sources():
        yield from _in_file(inner, source)


def _sources() -> Iterator[tuple[str, str]]:
    """Each file that can tell something: its place from the root, and what stands in it."""
    package, plugins = Path(gateway.__file__).parent, shipped_plugins()
    for folder, name in ((package, "gateway"), (plugins, "plugins")):
        for path in sorted(folder.rglob("*.py")):
            inner = f"{name}/{path.relative_to(folder).as_posix()}"
            if not re.search(r"/(tests|templates|cases|_plugins)/|^gateway/testing/", inner):
                yield inner, path.read_text(encoding="utf-8")


def _in_file(inner: str, source: str) -> Iterator[Saying]:
    tree = ast.parse(source)
    yield from _constants(inner, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (by := _called(node)):
            for argument in node.args:
                text = _text(argument)
                if len(re.findall(r"[A-Za-z]{2,}", text)) >= 2:
                    yield Saying(text, inner, node.lineno, by)
                    if by not in ("wrong", "_wrong", "Problem", "park"):
                        break


def _constants(inner: str, tree: ast.Module) -> Iterator[Saying]:
    """Sentences that a module keeps under a private name."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            if not statement.targets[0].id.startswith("_"):
                continue
            for node in ast.walk(statement.value):
                text = _text(node) if isinstance(node, ast.expr) else ""
                if len(re.findall(r"[A-Za-z]{2,}", text)) >= 5:
                    yield Saying(text, inner, statement.lineno, statement.targets[0].id)


def _called(node: ast.Call) -> str:
    """The name of an error's class or of a function that tells; empty for any other."""
    name = (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )
    if name in _LOGGED:
        of_log = (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
        )
        return name if of_log else ""
    return name if name in _TELLING or (name.endswith("Error") and name[:1].isupper()) else ""


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each) if isinstance(each, ast.Constant) else _GAP for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (_text(node.left) or _GAP) + (_text(node.right) or _GAP)
    if isinstance(node, ast.IfExp):
        return _text(node.body) or _text(node.orelse)
    return ""


def likest(said: str) -> Saying | None:
    """The message that a text is, or holds: most of whose fixed words stand in it. None where no message is like it.

    Reading a file's messages costs more than looking for words in it, so the files that hold most of the words come first,
    and those that cannot hold a message as like as the one found are never read.
    """
    wanted = _words(said)
    holding = [(sum(word in text.lower() for word in wanted), inner, text) for inner, text in _sources()]
    best, most = None, _LEAST
    for count, inner, text in sorted(holding, key=lambda each: -each[0]):
        if count < min(2, len(wanted)) or count <= most * len(wanted):
            break
        for message in _in_file(inner, text):
            if (share := _likeness(wanted, _words(message.text))) > most:
                best, most = message, share
    return best


def _likeness(wanted: set[str], own: set[str]) -> float:
    """From 0 to 1; never more than the share of the wanted words that are among a message's own."""
    common = len(own & wanted)
    if not common or common < min(2, len(wanted)) or common / len(own) < 0.5:
        return 0.0
    return common * common / len(own) / len(wanted)


def _words(text: str) -> set[str]:
    return {
        word
        for word in re.findall(r"[a-z]{3,}", text.lower())
        if word not in ("the", "and", "not", "for", "with", "has")
    }
