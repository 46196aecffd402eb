"""Makes the documentation a site: `python deploy/package/pages.py --out dist/site`, or `make site`.

Each page stands where its Markdown stands in the checkout, so links between pages stay what they are. Nothing is fetched by a
reader's browser: it works from a disk, without a server and without a net.
"""

import argparse
import html
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
CHAPTERS = {
    "Begin": [
        "README",
        "docs/install",
        "docs/setup",
        "docs/discover",
        "docs/protocols",
        "docs/import",
        "docs/comparison",
    ],
    "Run it": ["docs/web", "docs/models", "docs/writes", "docs/requests", "docs/history", "docs/troubleshooting"],
    "Keep it": ["docs/upgrade", "docs/supported", "docs/backup", "docs/security", "docs/audit", "docs/clocks"],
    "Devices and destinations": ["plugins/*/README"],
    "Look it up": ["docs/configuration", "docs/commands", "docs/json", "docs/words", "CHANGELOG"],
    "How it works": [
        "docs/outbox",
        "docs/context",
        "docs/sending",
        "docs/lake",
        "docs/consumer",
        "docs/format",
        "gateway/README",
    ],
    "Work on it": ["docs/plugins", "docs/plugins-more", "CONTRIBUTING", "tests/README", "SECURITY", "docs/decisions/*"],
}
"""The pages, without .md, in the order of a reader."""
COPIED = ["LICENSE", "config.example.toml"]
"""What pages link to beside pages."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the site."""

    name: str
    """Its place in the checkout, without .md."""
    title: str
    tokens: Sequence[Token]

    @property
    def place(self) -> str:
        """In the site."""
        return f"{self.name}.html"


def build(out: Path, checkout: Path = CHECKOUT) -> None:
    """Write the site into this folder."""
    chapters = {chapter: list(_pages(patterns, checkout)) for chapter, patterns in CHAPTERS.items()}
    for page in (page for pages in chapters.values() for page in pages):
        _write(out / page.place, _document(page, page.place, chapters))
        if page.name == "README":
            _write(out / "index.html", _document(page, "index.html", chapters))
    found = [section for pages in chapters.values() for page in pages for section in _sections(page)]
    _write(out / "search.js", f"const PAGES = {json.dumps(found, ensure_ascii=False, separators=(',', ':'))};\n")
    with (out / "search.js").open("a", encoding="utf-8") as script:
        script.write((HERE / "pages.js").read_text(encoding="utf-8"))
    shutil.copyfile(HERE / "pages.css", out / "style.css")
    for name in COPIED:
        shutil.copyfile(checkout / name, out / name)


def _pages(patterns: Sequence[str], checkout: Path) -> Iterator[Page]:
    for pattern in patterns:
        for path in sorted(checkout.glob(f"{pattern}.md")):
            tokens = _MARKDOWN.parse(path.read_text(encoding="utf-8"))
            _name_headings(tokens)
            yield Page(path.relative_to(checkout).with_suffix("").as_posix(), _title(tokens), tokens)


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def _title(tokens: Sequence[Token]) -> str:
    at = next(at for at, token in enumerate(tokens) if token.type == "heading_open")
    return _said(tokens[at + 1])


def _said(inline: Token) -> str:
    return "".join(child.content or " " for child in inline.children or ())


def _name_headings(tokens: Sequence[Token]) -> None:
    """Give headings the anchors by which links name them, as the hosts of repositories do."""
    seen: dict[str, int] = {}
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            name = re.sub(r"[^\w\- ]", "", _said(tokens[at + 1]).strip().lower()).replace(" ", "-")
            seen[name] = seen.get(name, -1) + 1
            token.attrSet("id", f"{name}-{seen[name]}" if seen[name] else name)


def _linked(tokens: Sequence[Token]) -> None:
    for token in tokens:
        for child in token.children or ():
            link = child.attrGet("href")
            if isinstance(link, str) and not urlsplit(link).scheme:
                path, hash_, anchor = link.partition("#")
                child.attrSet("href", re.sub(r"\.md$", ".html", path) + hash_ + anchor)


def _sections(page: Page) -> Iterator[tuple[str, str, str]]:
    """Where each section stands, its headings, and what it says: what the search looks into."""
    place, heading, said = page.place, page.title, [""]
    for at, token in enumerate(page.tokens):
        if token.type == "heading_open":
            if said != [""]:
                yield place, heading, " ".join(said).strip()
            title = _said(page.tokens[at + 1])
            place = f"{page.place}#{token.attrGet('id')}"
            heading, said = (page.title if title == page.title else f"{page.title}: {title}"), [""]
        elif token.type == "inline":
            said.append(_said(token))
        elif token.type in ("fence", "code_block"):
            said.append(token.content)
    yield place, heading, " ".join(said).strip()


def _document(page: Page, place: str, chapters: dict[str, list[Page]]) -> str:
    _linked(page.tokens)
    base = relpath(".", PurePosixPath(place).parent)
    body = _MARKDOWN.renderer.render(list(page.tokens), _MARKDOWN.options, {})
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return f"""<!doctype html>
<html lang="en" data-base="{base}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(page.title)} – edge gateway</title>
<link rel="stylesheet" href="{base}/style.css">
</head>
<body>
<a class="skip" href="#page">To the page</a>
<a class="phone" href="#pages">All pages, and search</a>
<nav aria-label="Pages" id="pages">
<input type="search" id="search" placeholder="Search" aria-label="Search" autocomplete="off">
<div id="found" role="status"></div>
{"".join(_chapter(chapter, pages, page, place) for chapter, pages in chapters.items())}</nav>
<main id="page">
{body}</main>
<script src="{base}/search.js"></script>
</body>
</html>
"""


def _chapter(chapter: str, pages: Sequence[Page], here: Page, place: str) -> str:
    current = ' aria-current="page"'
    entries = "".join(
        f'<li><a href="{relpath(each.place, PurePosixPath(place).parent)}"{current * (each is here)}>'
        f"{html.escape(each.title)}</a></li>\n"
        for each in pages
    )
    return f"<h2>{chapter}</h2>\n<ul>\n{entries}</ul>\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist/site")
    to = parser.parse_args().out
    build(to)
    print(to / "index.html")
