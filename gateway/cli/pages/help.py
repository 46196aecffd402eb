"""`edge-gateway help`: the pages of the documentation in the terminal, and the paragraph that explains a message."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from gateway.cli.frame import COMMANDS
from gateway.cli.frame.terminal import fail, joined, table
from gateway.cli.pages import messages
from gateway.plugin.discovery import shipped_plugins

_IN_A_FILE = re.compile(r"\S+\.(toml|csv):\d+: ")
"""How mistakes in a configuration begin; what they are about is the first chapter."""
_PACKAGE = Path(__file__).parents[2]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it is to be about."""
    parser.add_argument(
        "about", nargs="*", metavar="TOPIC", help="a topic of the list, a command, or the words of an error in quotes"
    )


def run(args: argparse.Namespace) -> int:
    """Show; 1 when there is nothing about it."""
    pages = topics()
    if not pages:
        fail("the pages are not installed here: they lie in the project's folder docs")
        return 1
    if not args.about:
        rows = [(name, _about(path)) for name, path in sorted(pages.items())]
        print(joined([*table(rows), "", "edge-gateway help TOPIC, help COMMAND, or help 'words of an error'"]))
        return 0
    words = " ".join(args.about)
    if words in pages:
        return _show(_plain(pages[words].read_text(encoding="utf-8")))
    if text := _chapter(pages, words):
        return _show(text)
    if text := _explained(pages, words):
        return _show(text)
    near = get_close_matches(words, [*pages, *COMMANDS], 1, 0.6)
    fail(
        f'nothing is written about "{words}"'
        + (f"; did you mean {near[0]}?" if near else ": edge-gateway help lists the topics")
    )
    return 1


def topics() -> Mapping[str, Path]:
    """The pages by name; those of the plugins by the plugin's."""
    installed = _PACKAGE / "_docs"
    docs = installed if installed.is_dir() else _PACKAGE.parent / "docs"
    found = {path.parent.name: path for path in shipped_plugins().glob("*/README.md")}
    return found | {path.stem: path for path in docs.glob("*.md")}


def _about(page: Path) -> str:
    """The title of a page."""
    first = page.read_text(encoding="utf-8").lstrip().partition("\n")[0]
    return first.lstrip("# ")


def _plain(text: str) -> str:
    return re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)


def _chapter(pages: Mapping[str, Path], words: str) -> str:
    """What the page of commands says of one, `outbox drain` too."""
    if words.split()[0] not in COMMANDS or "commands" not in pages:
        return ""
    text = pages["commands"].read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(words)}\n(?:(?!^## ).*\n?)*", text, re.MULTILINE)
    return _plain(found[0]).strip() if found else ""


def _explained(pages: Mapping[str, Path], words: str) -> str:
    """The paragraph about a message; where the words are no message, the chapters that hold all of them."""
    if "troubleshooting" in pages:
        among = messages.paragraphs(pages["troubleshooting"].read_text(encoding="utf-8"))
        message = messages.likest(words)
        if message is None and _IN_A_FILE.match(words):
            return f"{among[0].title}\n\n{among[0].body}"
        if message and (found := messages.paragraph_of(message, among)):
            return f'"{message.text}"\n\n{found.title}\n\n{found.body}'
    wanted = words.lower().split()
    chapters = [
        f"{name}: {_plain(part).strip()}"
        for name, page in sorted(pages.items(), key=lambda each: (each[0] != "troubleshooting", each))
        for part in re.split(r"^(?=#{2,3} )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if all(word in part.lower() for word in wanted)
    ]
    return "\n\n".join(chapters[:3])


def _show(text: str) -> int:
    """By pages on a terminal, else as it is."""
    pager = os.environ.get("PAGER") or "less"
    lines = text.count("\n") + 1
    if sys.stdout.isatty() and lines > shutil.get_terminal_size().lines and shutil.which(pager.split()[0]):
        subprocess.run(pager.split(), input=text.encode(), check=False)
    else:
        print(text)
    return 0
