"""Writes down every option from its declaration: as a commented TOML file, and as tables in Markdown.

Both stand in a file behind a marker line; what a person wrote above it stays.
"""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from gateway.config.base import Secret
from gateway.config.kinds import KINDS, PluginKind, PluginTypes
from gateway.config.model import CoreSections
from gateway.config.options import Option, is_by_name, is_single, options, tables
from gateway.core.errors import PluginError

TOML_MARKER = (
    "# ---- generated from the declarations: every option -----------------------------------------------------------"
)
MARKDOWN_MARKER = "<!-- generated from the declarations: every option -->"

_WIDTH = 118
_SAMPLES = (
    ("duration", "10s"),
    ("size", "1 GiB"),
    ("path", "path/to/file"),
    ("name", "name-1"),
    ("number", 1.0),
    ("whole number", 1),
    ("true or false", True),
    ("[number, number]", [0, 100]),
    ("list", ["…"]),
    ("table", {"name": "value"}),
)
_TAG_FILE = "A CSV file: one row a tag, the columns name and its options."
_ROWS = "A CSV file: one row a device, the columns name and its options. All of them have what stands in this table."
_TAG_TABLES = (
    Option("template", str, False, None, "text", "The [template.NAME] that has the rest of its options.", "meter"),
    Option("devices_file", str, False, None, "path", _ROWS, "meters.csv"),
    Option("tags", dict, False, None, "table", "The tags by name, each a table of the options below.", {"name": {}}),
    Option("tags_file", str, False, None, "path", _TAG_FILE, "press-1.csv"),
)


@dataclass(frozen=True, slots=True)
class Chapter:
    """The options of one kind of table."""

    title: str
    header: str
    """The line that opens such a table; empty for one that stands within another."""

    about: str
    options: Sequence[Option]


def chapters(plugins: PluginTypes) -> list[Chapter]:
    """All options of a configuration with these plugins, in the order in which one writes a file."""
    once: list[Chapter] = []
    several: list[Chapter] = []
    for core in options(CoreSections):
        (section,) = tables(core.type)
        header = f"[{core.key}]" if is_single(core.type) else f"[[{core.key}]]"
        (once if is_single(core.type) else several).append(_chapter(f"`{header}`", header, section))
    own = [chapter for kind in KINDS if not kind.among_core for chapter in _of_kind(kind, plugins)]
    among = [
        chapter for kind in KINDS if kind.among_core and plugins.names(kind) for chapter in _of_kind(kind, plugins)
    ]
    return [*once, *own, *several, *among]


def _of_kind(kind: PluginKind, plugins: PluginTypes) -> Iterator[Chapter]:
    """What all tables of this kind can say, then what those of each plugin can say beside it."""
    header = f"[[{kind.table}]]"
    table, *within = kind.options
    common = _chapter(f"Every `{header}`{f' with `{kind.key}`' if kind.among_core else ''}", header, table)
    yield Chapter(common.title, header, common.about, [*common.options, *(_TAG_TABLES if within else ())])
    yield from (_chapter("Every tag", "", tag) for tag in within)
    for name in plugins.names(kind):
        try:
            own, *own_within = plugins.options(kind, name)
        except PluginError:
            continue
        yield _chapter(f'`{header}` with `{kind.key} = "{name}"`', header, own, table)
        for tag, base in zip(own_within, within, strict=True):
            yield _chapter(f'Tags of a {kind.table} with `{kind.key} = "{name}"`', "", tag, base)


def _chapter(title: str, header: str, model: type[BaseModel], without: type[BaseModel] | None = None) -> Chapter:
    about = " ".join((model.__doc__ or "").split()).removeprefix(f"`{header}`: ")
    return Chapter(title, header, about, list(_with_inner(options(model, without))))


def _with_inner(found: Sequence[Option], prefix: str = "") -> Iterator[Option]:
    """The options, and behind one that is a table its own, as "tls.ca"."""
    for option in found:
        key = prefix + option.key
        yield Option(key, option.type, option.required, option.default, option.words, option.help, option.example)
        for table in tables(option.type):
            if table is not Secret:
                yield from _with_inner(options(table), f"{key}.NAME." if is_by_name(option.type) else f"{key}.")


# TOML


def toml(plugins: PluginTypes) -> str:
    """Every option as a commented line of TOML, below its help. "# " begins prose, "#" alone what can be uncommented."""
    return "\n".join(line for chapter in chapters(plugins) for line in _toml_chapter(chapter))


def _toml_chapter(chapter: Chapter) -> Iterator[str]:
    yield ""
    yield f"# ==== {chapter.title.replace('`', '')} ".ljust(_WIDTH, "=")
    yield from _prose(chapter.about)
    if chapter.header:
        yield f"#{chapter.header}"
    for option in chapter.options:
        yield ""
        yield from _prose(_sentence(option))
        yield f"#{option.key} = {toml_value(_shown(option))}"


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _sentence(option: Option) -> str:
    """Help, way to write it, and what the value shown is."""
    state = "needed" if option.required else "default" if option.default is not None else "an example"
    return f"{option.help} ({option.words}; {state})".strip()


def _shown(option: Option) -> Any:
    if option.default is not None:
        return option.default
    return option.example if option.example is not None else _sample(option)


def _sample(option: Option) -> Any:
    if option.words.startswith('"'):
        return option.words.split('"')[1]
    if option.words.startswith("secret"):
        return {"credential": "name-of-it"}
    return next((sample for words, sample in _SAMPLES if option.words.startswith(words)), "…")


def toml_value(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{key} = {toml_value(entry)}" for key, entry in value.items()) + " }" if value else "{}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# Markdown


def markdown(plugins: PluginTypes) -> str:
    """Every option as a row of a table, a table for each kind."""
    return "\n".join(line for chapter in chapters(plugins) for line in _markdown_chapter(chapter))


def _markdown_chapter(chapter: Chapter) -> Iterator[str]:
    yield f"\n### {chapter.title}\n"
    if chapter.about:
        yield f"{chapter.about}\n"
    if not chapter.options:
        yield "No options of its own."
        return
    yield "| key | how it is written | default | meaning |"
    yield "|---|---|---|---|"
    for option in chapter.options:
        default = (
            "**needed**" if option.required else f"`{toml_value(option.default)}`" if option.default is not None else ""
        )
        yield f"| `{option.key}` | {_cell(option.words)} | {_cell(default)} | {_cell(option.help)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def renewed(text: str, marker: str, generated: str) -> str:
    """A file's text with everything behind its marker line replaced. Raises ValueError for a text without the marker."""
    above, found, _ = text.partition(marker)
    if not found:
        raise ValueError(f"the line {marker!r} is missing")
    return f"{above}{marker}\n{generated}\n"
