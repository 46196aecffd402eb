"""The `edge-gateway` command. Each command is a module here, or in the room of its trade (`outbox/`, `models/`, `config/`),
imported only when it is called; `frame/` has the table of all, and what they share.

A command's module has `arguments(parser)`, which declares the command's own options, and `run(args)`, which returns the exit
code.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from gateway.cli.frame import command_line, module_of
from gateway.cli.frame.screen import Mode, screens
from gateway.cli.frame.terminal import fail, in_words
from gateway.core.errors import GatewayError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command_line()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        with screens(_mode(args)):
            code = _run(args)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _mute()
        return 0
    except (OSError, GatewayError) as error:  # what a command has not said itself, and better
        if args.command == "run":
            raise
        fail(in_words(error) if isinstance(error, OSError) else str(error))
        return 1
    return code


def _run(args: argparse.Namespace) -> int:
    return int(module_of(args.command).run(args))


def _mode(args: argparse.Namespace) -> Mode:
    """In which form the command prints. A file's content is exact where it goes into a file, or another program."""
    if args.json or args.command == "schema":
        return "json"
    if args.command == "demo":
        return "data"  # it draws on the terminal, and what it shows is its own
    return "data" if getattr(args, "format", "table") in ("csv", "toml") and not sys.stdout.isatty() else "text"


def _mute() -> None:
    """Whoever read our output has enough, as `head` does; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
