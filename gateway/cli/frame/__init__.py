"""The frame of the command line: all commands, and the options that stand before or after each of them. The modules of this
room are what commands share: asking the gateway, printing, where things are."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

from gateway import __version__

COMMANDS = {
    "run": "run the gateway in the foreground, as the service does",
    "check": "find every mistake in the configuration; --connect dials devices and brokers",
    "config": "what the configuration says, with the origin of each value; what differs from what runs",
    "demo": "see it work: simulated devices, a broker, a fault and its explained event",
    "status": "how the running gateway is doing",
    "top": "the page's first screen in a terminal, refreshing: q ends, arrows scroll",
    "open": "where the gateway's page is, and how to come there from another machine",
    "tags": "last values of all tags, or of one device",
    "read": "read tags from a device now",
    "probe": "what registers of a device may mean, under every type and byte order",
    "setup": "from an installed package to the first live value: asks for broker and device, tries them, writes and starts",
    "import": "devices and tags of Telegraf, ThingsBoard, Kepware, NeuronEX, Ignition or Node-RED, as our configuration",
    "discover": "what devices answer on a range of addresses, as tables for the configuration; asks before it begins",
    "browse": "what a device offers, as a list or as tags for the configuration",
    "write": "write a value to a tag that may be written",
    "call": "call a method of a device that may be called",
    "alarms": "what is raised; acknowledge it, or shelve it for a time",
    "batch": "what devices work for: start or end a batch (or lot), say its phase, show what it gave and what is delivered",
    "learn": "make a first model for a device from its own normal data",
    "models": "which models score; inspect a model file, test it on data; approve, roll back or retire a version",
    "explain": "compute an anomaly's score and contributions again, bit for bit",
    "reload": "apply the changed configuration file without stopping",
    "outbox": "the store-and-forward log: status, verify, peek, export, drain, replay, dead letters",
    "history": "what devices have recorded themselves: import it, each value once",
    "receipts": "what each device gave in each hour, and what of it was delivered; --verify checks the hashes",
    "trust": "whose certificates are accepted: list, accept THUMBPRINT, revoke THUMBPRINT",
    "secret": "passwords and keys that the configuration refers to: set NAME, list, remove NAME",
    "user": "who may log in at the page: add, password, role, disable, list; tokens for machines",
    "audit": "show the audit trail, or verify its chain",
    "compare": "whether this gateway says the same as another one beside it: hears both, and names what differs",
    "backup": "all that makes this gateway, in one file; its secrets encrypted, and only if asked",
    "restore": "put a backup in its place, on this machine or another one, once all of it is verified",
    "support-bundle": "what somebody who helps needs to know, in one file, without secrets and names of people",
    "selftest": "try on this machine and disk that the log loses nothing, and report",
    "plugin": "list the plugins, or start a new one",
    "upgrade": "install another version, watch it, and bring the old one back if it is not as good",
    "help": "the documentation in the terminal: a topic, a command, or what an error means",
    "schema": "print the JSON Schema of the configuration, for editors",
}
HIDDEN = {"docs": "write config.example.toml and the reference pages anew; for developers"}
ROOMS = {
    "backup": "moving",
    "check": "config",
    "config": "config",
    "docs": "config",
    "explain": "models",
    "help": "pages",
    "learn": "models",
    "receipts": "outbox",
    "reload": "config",
    "restore": "moving",
    "schema": "config",
    "support-bundle": "moving",
    "secret": "config",
}
"""Commands that stand in a room, beside others of their trade; the module of any other has its name."""
MODULES = {"import": "importing"}
"""Commands whose name is a word of Python's own."""

EPILOG = """exit codes: 0 ok, 1 problems found, 2 wrong usage, 3 no gateway answers, 78 `run` with a bad configuration
first steps: edge-gateway demo --keep DIR, then edge-gateway check --config DIR/config.toml"""


class Parser(argparse.ArgumentParser):
    """A parser; that of a command imports the command's module when it is called."""

    command = ""
    """Whose own options are declared when they are needed; empty once they are."""

    def declare(self) -> None:
        """Have the module declare its options."""
        command, self.command = self.command, ""
        if command:
            module_of(command).arguments(self)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does; of an option that there is not, the nearest of the command's own is told."""
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            self._of(known).error(f"unrecognized arguments: {' '.join(rest)}{self._of(known).nearest(rest[0])}")
        return known

    def _of(self, known: argparse.Namespace) -> "Parser":
        """The parser of the command that was given, or of its verb."""
        command = vars(known).get("command")
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = command if action.dest == "command" else vars(known).get(action.dest)
                return action.choices[chosen]._of(known) if chosen in action.choices else self
        return self

    def nearest(self, word: str) -> str:
        """`; did you mean --connect?` for an option that is misspelt; empty where none is near."""
        options = [string for action in self._actions for string in action.option_strings]
        return _meant(word.partition("=")[0], options) if word.startswith("-") else ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(choice) for choice in action.choices or () if choice not in HIDDEN]
            near = _meant(str(value), choices)
            if not near:
                raise
            what = "command" if action.dest == "command" else action.metavar or action.dest
            raise argparse.ArgumentError(None, f"there is no {str(what).lower()} {value!r}{near}") from error

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[Any, list[str]]:
        self.declare()
        return super().parse_known_args(args, namespace)


def command_line() -> Parser:
    """The parser of the whole command line; a command's own options are declared when it is called."""
    parser = Parser(
        "edge-gateway",
        description="Edge gateway for plant-floor devices.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared()],
    )
    parser.add_argument("--version", action="version", version=f"edge-gateway {__version__}")
    parser.set_defaults(json=False, config=None, socket=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, text in COMMANDS.items():
        commands.add_parser(name, description=_sentence(text), parents=[shared()], help=text).command = name
    for name, text in HIDDEN.items():
        commands.add_parser(name, description=_sentence(text), parents=[shared()]).command = name
    return parser


def module_of(command: str) -> ModuleType:
    """The module of a command, imported."""
    name = MODULES.get(command) or command.replace("-", "_")
    return import_module(f"gateway.cli.{ROOMS[command]}.{name}" if command in ROOMS else f"gateway.cli.{name}")


def shared() -> Parser:
    """The options that every command knows. Without a default: it would hide what stands before the command."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    options.add_argument("--config", metavar="FILE", help="the configuration (default: /etc/edge-gateway/config.toml)")
    options.add_argument("--socket", metavar="PATH", help="control socket of the gateway to ask")
    return options


def _meant(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
