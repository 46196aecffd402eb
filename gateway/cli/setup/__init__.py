"""`edge-gateway setup`: from an installed package to the first live value.

It asks for a broker and the first device, or takes both from a file, tries them as `check --connect` does, and writes the
configuration only then; an existing one is kept under another name. Where systemd runs, it starts the service and waits.
"""

import argparse
import errno
import json
from pathlib import Path
from typing import Any

from gateway.cli.frame.terminal import config_path, fail, joined
from gateway.cli.setup.answers import Answers, AnswersError, read_answers
from gateway.cli.setup.asking import GaveUpError, ask_all
from gateway.cli.setup.service import Started, start
from gateway.cli.setup.trial import SetupTrial, staging, try_out
from gateway.cli.setup.writing import DROP_INS, SetupFiles, kept_copy, may_replace, write
from gateway.core.errors import GatewayError
from gateway.operate.logs import only_errors

_HINTS = {
    errno.EACCES: ", it needs the rights of whoever owns the configuration: try with sudo",
    errno.EPERM: ", it needs the rights of whoever owns the configuration: try with sudo",
    errno.EROFS: ": mount it writable first",
    errno.ENOSPC: ": make room on that disk first",
    errno.EDQUOT: ": make room on that disk first",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where from, and where to."""
    told = "ask nothing, take the answers from this file (TOML or JSON; docs/setup.md)"
    parser.add_argument("--answers", type=Path, metavar="FILE", help=told)
    parser.add_argument("--replace", action="store_true", help="with --answers: replace a configuration that is there")
    parser.add_argument(
        "--untested", action="store_true", help="write it though the broker or the device does not answer"
    )
    parser.add_argument("--no-start", action="store_true", help="do not start the service")
    folder = f"folder of the service's drop-ins, for addresses outside of the plant (default: {DROP_INS})"
    parser.add_argument("--drop-ins", type=Path, metavar="DIR", default=DROP_INS, help=folder)


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when the gateway is set up; 1 when something does not work, 2 when it was given up. Then nothing was written."""
    config = config_path(args.config).absolute()
    try:
        answers, trial = _from_file(args, config) if args.answers else _asked(args, config)
        if not trial.ok and not args.untested:
            return _failed(args, trial)
        written = write(config, answers, args.drop_ins)
        started = start(config, args.socket, wanted=not args.no_start)
    except GaveUpError as error:
        fail(str(error))
        return 2
    except GatewayError as error:
        return _refused(args, str(error))
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        return _refused(args, f"{error.filename or config}: {error.strerror}{hint}; nothing was written")
    _show(args, trial, written, started)
    return 0 if started.ok else 1


def _from_file(args: argparse.Namespace, config: Path) -> tuple[Answers, SetupTrial]:
    if config.exists() and not args.replace:
        raise AnswersError(f"{config} is there already: --replace keeps a copy of it and writes a new one")
    answers = read_answers(args.answers)
    return answers, try_out(answers, config, args.socket)


def _asked(args: argparse.Namespace, config: Path) -> tuple[Answers, SetupTrial]:
    """Ask, try, and ask again with what was answered until it works, or somebody takes it as it is."""
    with staging(config):
        pass  # before somebody answers it all for nothing
    may_replace(config)
    answers, then = Answers(), "y"
    while True:
        if then == "y":
            answers = ask_all(answers)
        print("trying …", flush=True)
        trial = try_out(answers, config, args.socket)
        print(joined(trial.lines), flush=True)
        if trial.ok or args.untested or (then := trial.then()) == "n":
            return answers, trial


def _failed(args: argparse.Namespace, trial: SetupTrial) -> int:
    if args.json:
        print(json.dumps({"ok": False, "problems": trial.problems}, ensure_ascii=False, indent=2))
    elif args.answers:
        print(joined(trial.lines))
    fail("nothing was written: mend what is named above, or write it all the same with --untested")
    return 1


def _refused(args: argparse.Namespace, why: str) -> int:
    if args.json:
        print(json.dumps({"ok": False, "problems": [why]}, ensure_ascii=False, indent=2))
    fail(why)
    return 1


def _show(args: argparse.Namespace, trial: SetupTrial, written: SetupFiles, started: Started) -> None:
    told: dict[str, Any] = {
        "ok": started.ok,
        "config": str(written.config),
        "copy": str(written.copy) if written.copy else None,
        "drop_in": str(written.drop_in) if written.drop_in else None,
        "tried": trial.results,
        "started": started.started,
        "value": started.value,
        "next": started.next,
    }
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return
    lines = [] if not args.answers else trial.lines
    lines = [*lines, f"written: {written.config}", *kept_copy(written), *written.remarks, *started.lines]
    print(joined(lines))
