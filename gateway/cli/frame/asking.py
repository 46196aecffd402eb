"""What all commands that ask the running gateway have in common."""

import argparse
import json
from collections.abc import Callable, Iterable
from typing import Any

from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.terminal import fail, joined

UNREACHABLE = 3


def ask(
    args: argparse.Namespace,
    command: str,
    lines: Callable[[Any], Iterable[str]],
    is_ok: Callable[[Any], bool] = lambda _: True,
    **arguments: Any,
) -> int:
    """Ask, and print the answer as `lines` for a person, or as JSON. Returns the exit code: 0 if `is_ok` says so of the
    answer, else 1."""
    try:
        answer = call(socket_path(args.socket), command, **arguments)
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    print(json.dumps(answer, ensure_ascii=False, indent=2) if args.json else joined(lines(answer)))
    return 0 if is_ok(answer) else 1
