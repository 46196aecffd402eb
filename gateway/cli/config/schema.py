"""`edge-gateway schema`: the JSON Schema of the configuration file, for editors."""

import argparse
import json
from pathlib import Path

from gateway.cli.frame.terminal import config_path
from gateway.config.load import plugin_places
from gateway.config.schema import schema
from gateway.core.errors import ConfigError
from gateway.plugin.discovery import Plugins


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", type=Path, help="write it to a file instead of printing it")


def run(args: argparse.Namespace) -> int:
    text = json.dumps(schema(_plugins(config_path(args.config))), indent=1, ensure_ascii=False)
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
    return Plugins(section.plugin_dirs, section.replaces)
