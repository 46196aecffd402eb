"""What all commands that ask the running gateway have in common."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from gateway.cli.client import AnswerError, UnreachableError, call, socket_path
from gateway.cli.terminal import fail


def ask(args: argparse.Namespace, show: Callable[[Any], int], command: str, **arguments: Any) -> int:
    """Ask, and show the answer, or print it as JSON. The exit code is that of `show`, also with --json."""
    try:
        answer = call(socket_path(args.socket), command, **arguments)
    except UnreachableError as error:
        fail(str(error))
        return 3
    except AnswerError as error:
        fail(str(error))
        return 1
    if args.json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return show_silently(show, answer)
    return show(answer)


def show_silently(show: Callable[[Any], int], answer: Any) -> int:
    """The exit code that showing would have."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        return show(answer)
