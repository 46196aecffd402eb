"""`edge-gateway schema`: the JSON Schema of the configuration file, for editors; and the API as OpenAPI."""

import argparse
import json
from pathlib import Path

from gateway import __version__
from gateway.cli.frame.terminal import config_path
from gateway.config.load import plugin_places
from gateway.config.schema import schema
from gateway.core.errors import ConfigError
from gateway.operate.commands import TABLE
from gateway.plugin.discovery import Plugins
from gateway.plugin.openapi import document


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api", action="store_true", help="the page's API instead, as OpenAPI 3.1")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write it to a file instead of printing it")


def run(args: argparse.Namespace) -> int:
    said = document(TABLE, "", __version__) if args.api else schema(_plugins(config_path(args.config)))
    text = json.dumps(said, indent=1, ensure_ascii=False)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return 0


def _plugins(path: Path) -> Plugins:
    """The shipped and installed plugins, and those of the configuration where there is one."""
    try:
        section = plugin_places(path)
    except ConfigError:
        return Plugins()
    return Plugins.for_config(section)
