"""`make site`: the documentation as a site."""

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

CHECKOUT = Path(__file__).parents[1]
MADE_HERE = {"gateway/README", "tests/README", "README", "CHANGELOG", "CONTRIBUTING", "SECURITY"}


class Links(HTMLParser):
    """What a page links to or loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {key: value or "" for key, value in attrs}
        self.anchors |= {known["id"]} if "id" in known else set()
        if tag == "a":
            self.links.append(known["href"])
        self.loaded += [known[key] for key in ("src", "href") if key in known and tag != "a"]


def build(out: Path) -> Path:
    script = CHECKOUT / "deploy/package/pages.py"
    subprocess.run([sys.executable, script, "--out", out], check=True, stdout=subprocess.DEVNULL, timeout=60)
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def pages(site: Path) -> dict[Path, Links]:
    return {path.resolve(): Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def broken(found: dict[Path, Links]) -> Iterator[str]:
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in found[target].anchors):
                yield f"{path.name}: {link}"


def test_every_link_leads_to_a_page_and_a_heading_that_are_there(site: Path) -> None:
    assert list(broken(pages(site))) == []


def test_every_page_of_the_documentation_is_in_it(site: Path) -> None:
    written = {*CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("plugins/*/README.md")}
    names = {path.relative_to(CHECKOUT).with_suffix("").as_posix() for path in written} | MADE_HERE
    assert {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")} == names | {"index"}


def test_a_browser_needs_no_net_for_it(site: Path) -> None:
    assert {urlsplit(each).scheme for page in pages(site).values() for each in page.loaded} == {""}


def test_the_same_pages_give_the_same_bytes(site: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    first, second = ({path.relative_to(of): path.read_bytes() for path in of.rglob("*.*")} for of in (site, again))
    assert first == second


def test_the_search_finds_sections_and_not_only_pages(site: Path) -> None:
    script = (site / "search.js").read_text(encoding="utf-8")
    assert '["docs/install.html#which-file","Installing the service: Which file"' in script
