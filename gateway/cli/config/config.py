"""`edge-gateway config`: what the configuration says, as it is written or as it counts, and what differs from what runs."""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.cli.config.check import told
from gateway.cli.config.effective import Value, effective
from gateway.cli.frame import shared
from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, config_path, fail, in_words, joined
from gateway.config.load import checked, opened
from gateway.config.reference import toml_value
from gateway.core.errors import ConfigError
from gateway.plugin.discovery import Plugins

_SECRET = re.compile(
    r"""((?:pass|secret|token)[\w-]*["']?\s*=\s*)(?!true|false)"""
    r"""(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s{\[,}#"'][^\s,}#]*)""",
    re.IGNORECASE | re.DOTALL,
)
"""A secret that somebody has written there itself, which `check` refuses."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What of it."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    showing = actions.add_parser(
        "show", parents=[shared()], help="all its files as they are written, or what they come to"
    )
    showing.add_argument(
        "--effective", action="store_true",
        help="every option with its value and where that is from: file and line, template, default, environment, credential",
    )  # fmt: skip
    actions.add_parser("diff", parents=[shared()], help="what `reload` would change, or why it would be refused")


def run(args: argparse.Namespace) -> int:
    """0; 1 for a configuration with mistakes; of `diff`, for one that cannot be applied without a restart."""
    if args.what == "diff":
        return ask(args, "plan", _planned, lambda answer: bool(answer["applicable"]))
    try:
        source = opened(config_path(args.config))
        if not args.effective:
            return _written(source.parts, args.json)
        values = list(effective(source, checked(source, Plugins.for_config)))
    except ConfigError as error:
        print(joined(line for problem in error.problems for line in told(problem)))
        return 1
    except OSError as error:
        fail(in_words(error))
        return 1
    if args.json:
        print(json.dumps([asdict(value) for value in values], ensure_ascii=False, indent=1))
    else:
        print(joined(_lines(values)))
    return 0


def _planned(answer: dict[str, Any]) -> list[str]:
    if answer["applicable"]:
        return answer["changes"] or ["the file says what runs"]
    return list(answer["problems"])


def _written(files: tuple[Path, ...], as_json: bool) -> int:
    texts = {str(path): _without_secrets(path.read_text(encoding="utf-8-sig")) for path in files}
    if as_json:
        print(json.dumps(texts, ensure_ascii=False, indent=1))
        return 0
    for path, text in texts.items():
        print(colour(f"# {path}", "bold"))
        print(text)
    return 0


def _without_secrets(text: str) -> str:
    return _SECRET.sub(r"\1…", text)


def _lines(values: list[Value]) -> Iterator[str]:
    """As TOML, with the origins in a column of their own."""
    before = ""
    for value in values:
        if value.table != before:
            yield from ([""] if before else [])
            yield colour(value.table, "bold")
            before = value.table
        said = f"{value.key} = {toml_value(value.value)}"
        yield f"{said:50}  {colour('# ' + value.origin, 'grey')}"
