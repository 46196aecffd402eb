"""`edge-gateway docs`: renews the pages that are generated from the declarations of options. For developers."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gateway.cli.config import command_reference, protocol_table
from gateway.config.reference import MARKDOWN_MARKER, TOML_MARKER, markdown, renewed, toml
from gateway.plugin.discovery import Plugins

_PAGES: tuple[tuple[str, str, Callable[[Plugins], str]], ...] = (
    ("config.example.toml", TOML_MARKER, toml),
    ("docs/configuration.md", MARKDOWN_MARKER, markdown),
    ("docs/protocols.md", protocol_table.MARKER, protocol_table.markdown),
    ("docs/commands.md", command_reference.MARKER, lambda _: command_reference.markdown()),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkout", nargs="?", type=Path, default=Path(), help="the checkout, if another than this folder"
    )


def run(args: argparse.Namespace) -> int:
    for path, text in pages(args.checkout, Plugins()).items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"renewed {path}")
    return 0


def pages(checkout: Path, plugins: Plugins) -> dict[Path, str]:
    """The generated pages as they should be."""
    return {
        checkout / name: renewed((checkout / name).read_text(encoding="utf-8"), marker, generate(plugins))
        for name, marker, generate in _PAGES
    }
