"""The options of all commands as a page, read off their parsers."""

import argparse
from collections.abc import Iterator

from gateway.cli.frame import COMMANDS, Parser, command_line

MARKER = "<!-- generated from the parsers: every command and option -->"


def commands() -> dict[str, Parser]:
    """The parser of every command that people call, with its options declared; verbs such as `plugin list` too."""
    found: dict[str, Parser] = {}
    for name, parser in _below(command_line()).items():
        if name in COMMANDS:
            parser.declare()
            found |= _with_verbs(name, parser)
    return found


def _with_verbs(name: str, parser: Parser) -> dict[str, Parser]:
    found = {name: parser}
    for verb, below in _below(parser).items():
        found |= _with_verbs(f"{name} {verb}", below)
    return found


def markdown() -> str:
    """A chapter for each command, and one for the options that all share."""
    chapters = []
    for name, parser in commands().items():
        chapters.append("\n".join(_chapter(name, parser)))
    every = "\n".join(_rows(_options(command_line())))
    return "\n\n".join([*chapters, f"## Options of every command\n\n{every}"])


def own_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a command takes beside the options that all share."""
    shared = {action.dest for action in _options(command_line())}
    return [action for action in _options(parser) if action.dest not in shared]


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All but what programs alone say to each other."""
    told = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
    return [action for action in told if not isinstance(action, argparse._SubParsersAction)]


def _below(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _chapter(name: str, parser: Parser) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield parser.description or _about(name)
    if options := own_options(parser):
        yield ""
        yield from _rows(options)


def _about(name: str) -> str:
    """What the parser above says of a verb."""
    command, _, verb = name.rpartition(" ")
    (listing,) = [action for action in commands()[command]._actions if isinstance(action, argparse._SubParsersAction)]
    text = next(str(choice.help) for choice in listing._choices_actions if choice.dest == verb)
    return f"{text[0].upper()}{text[1:]}."


def _rows(options: list[argparse.Action]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for action in options:
        yield f"| `{spelling(action)}` | {action.help or ''} |"


def spelling(action: argparse.Action) -> str:
    """As it is typed: `--keep DIR`, `DEVICE/TAG`, `show|verify`."""
    value = str(action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest))
    if not action.option_strings:
        return value
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"
