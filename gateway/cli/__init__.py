"""The `edge-gateway` command. Each command is a module here, imported only when it is called."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from gateway import __version__

COMMANDS = {
    "run": "run the gateway in the foreground, as the service does",
    "check": "find every mistake in the configuration; --connect dials devices and brokers",
    "demo": "see it work: simulated devices, a broker, a fault and its explained event",
    "status": "how the running gateway is doing",
    "tags": "last values of all tags, or of one device",
    "read": "read tags from a device now",
    "reload": "apply the changed configuration file without stopping",
    "audit": "show the audit trail, or verify its chain",
    "plugin": "list the plugins, or start a new one",
    "schema": "print the JSON Schema of the configuration, for editors",
}
HIDDEN = {"docs": "write config.example.toml and the reference pages"}

EPILOG = """exit codes: 0 ok, 1 problems found, 2 wrong usage, 3 no gateway answers, 78 `run` with a bad configuration
first steps: edge-gateway demo --keep DIR, then edge-gateway check --config DIR/config.toml"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = _frame()
    chosen = next((word for word in given if word in commands), None)
    if chosen is not None:
        import_module(f"gateway.cli.{chosen}").arguments(commands[chosen])
    args = parser.parse_args(given)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        code = import_module(f"gateway.cli.{args.command}").run(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return int(code)


def _frame() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="answer in JSON, for scripts", default=argparse.SUPPRESS)
    shared.add_argument("--config", metavar="FILE", help="configuration (default: /etc/edge-gateway/config.toml)",
                        default=argparse.SUPPRESS)  # fmt: skip
    shared.add_argument(
        "--socket", metavar="PATH", help="control socket of the gateway to ask", default=argparse.SUPPRESS
    )
    parser = argparse.ArgumentParser(
        "edge-gateway",
        description="Edge gateway for plant-floor devices.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"edge-gateway {__version__}")
    parser.set_defaults(json=False, config=None, socket=None)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands = {}
    for name, text in (COMMANDS | HIDDEN).items():
        about = text[0].upper() + text[1:] + "."
        if name in COMMANDS:
            commands[name] = subparsers.add_parser(name, description=about, parents=[shared], help=text)
        else:
            commands[name] = subparsers.add_parser(name, description=about, parents=[shared])
    return parser, commands
