"""`edge-gateway plugin`: lists the plugins that there are, or starts a new one."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gateway.cli.frame import shared
from gateway.cli.frame.terminal import colour, config_path, fail, in_words, joined, table
from gateway.config.load import plugin_places
from gateway.core.errors import ConfigError, PluginError
from gateway.plugin.discovery import PluginInfo, Plugins
from gateway.plugin.scaffold import kinds, write_scaffold


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    everything = "all plugins: shipped, in plugin_dirs, pip-installed; broken ones with why"
    actions.add_parser("list", parents=[shared()], help=everything)
    usual, *others = kinds()
    scaffold = f"write a folder with a {', or a '.join([usual, *others])}, that works and is tested"
    new = actions.add_parser("new", parents=[shared()], help=scaffold)
    new.add_argument("name", help="as the configuration will name it, such as acme_scale")
    for kind in others:
        new.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, help=f"a {kind} rather than a {usual}"
        )
    new.set_defaults(kind=usual)
    new.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where to (default: this folder)")


def run(args: argparse.Namespace) -> int:
    """List or begin; 1 when something listed is not usable, or nothing could be written."""
    if args.what == "new":
        return _new(args.name, args.dir, args.kind)
    return _list(plugins(config_path(args.config)).all(), args.json)


def plugins(config: Path) -> Plugins:
    """Those the gateway of this configuration would find; without one, the shipped and the pip-installed."""
    try:
        places = plugin_places(config)
    except ConfigError:
        return Plugins()
    return Plugins(places.plugin_dirs, places.replaces)


def _list(infos: Sequence[PluginInfo], as_json: bool) -> int:
    if as_json:
        print(json.dumps([asdict(info) for info in infos], indent=1))
    else:
        print(joined(_words(infos)))
    return 1 if any(info.error for info in infos) else 0


def _words(infos: Sequence[PluginInfo]) -> list[str]:
    working = [info for info in infos if not info.error]
    rows = [(info.name, info.kind, info.version, _place(info), info.doc) for info in working]
    parked = [colour(f"not usable: {info.error}", "red") for info in infos if info.error]
    return [*table(rows), *parked]


def _place(info: PluginInfo) -> str:
    return info.origin if info.source == "directory" else info.source


def _new(name: str, directory: Path, kind: str) -> int:
    try:
        written = write_scaffold(name, directory, kind)
    except PluginError as error:
        fail(str(error))
        return 1
    except OSError as error:
        fail(in_words(error))
        return 1
    print(joined(str(path) for path in written))
    print(f"\ntest it:   python -m pytest {directory / name}")
    print(f'use it:    plugin_dirs = ["{directory.absolute()}"] in [gateway], and the table from sample.toml')
    return 0
