"""A new plugin to start from: a folder that works and passes its contract suite before a line of it is changed."""

import keyword
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from gateway.config.kinds import DRIVER
from gateway.core.errors import PluginError
from gateway.plugin.discovery import NAME, shipped_plugins
from gateway.plugin.kinds import CONTRACTS

_SUFFIX = ".txt"  # so that no tool takes a template for code


_TEMPLATES = files("gateway.plugin") / "templates"


def kinds() -> list[str]:
    """Names of the kinds of plugins for which there is one; the first is what is meant unless another is named."""
    return [each.kind.name for each in CONTRACTS if (_TEMPLATES / each.kind.name).is_dir()]


def write_scaffold(name: str, directory: Path, kind: str = DRIVER.name) -> list[Path]:
    """Write the folder `directory/name`, with a plugin of one of `kinds`, and return its files.

    Raises PluginError for a name that no plugin can have, and when the folder is there already; OSError when it cannot be
    written.
    """
    _check(name)
    folder = directory / name
    if folder.exists():
        raise PluginError(f"{folder} is there already: choose another name, or remove it")
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": name.replace("_", " "),
        "Class": name.title().replace("_", ""),
    }
    return _fill(_TEMPLATES / kind, folder, words)


def _check(name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise PluginError(
            f'"{name}" cannot be the name of a plugin: use a-z, 0-9 and _, a letter first, as in "acme_scale"'
        )
    if (shipped_plugins() / name).exists():
        raise PluginError(f'"{name}" is the name of a shipped plugin: choose another')


def _fill(template: Traversable, target: Path, words: dict[str, str]) -> list[Path]:
    target.mkdir(parents=True)
    written = []
    for part in sorted(template.iterdir(), key=lambda part: part.name):
        if part.is_dir():
            written += _fill(part, target / part.name, words)
        elif part.name.endswith(_SUFFIX):
            path = target / part.name.removesuffix(_SUFFIX).replace("test_name", f"test_{words['name']}")
            path.write_text(Template(part.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
            written.append(path)
    return written
