"""The questions, each with a default and an explanation."""

import getpass
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from gateway.cli.discover import find_on
from gateway.cli.discover.ranges import RangeError
from gateway.cli.frame.terminal import joined
from gateway.cli.setup.answers import Answers
from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.kinds import DRIVER
from gateway.config.options import Option, options
from gateway.core.errors import GatewayError, PluginError
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import option_types

_WHERE = ("host", "port", "unit", "security")
"""Options of a device that are asked for though they have a default, if its driver has them; and of a tag:"""
_WHAT = ("address", "type")


class GaveUpError(GatewayError):
    """The person has ended it; nothing was written."""


def say(text: str) -> None:
    """A line for the person."""
    print(text, flush=True)


def read_line(prompt: str) -> str:
    """What the person types. Raises GaveUpError where nobody types any more."""
    print(prompt, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        say("")
        raise GaveUpError("given up, nothing was written. For scripts: edge-gateway setup --answers FILE")
    return line.strip()


def ask(question: str, default: str, explained: str, wrong: Callable[[str], str] = lambda _: "") -> str:
    """The answer; Enter takes the default, "?" explains, "-" means none. `wrong` says what is not right with an answer."""
    while True:
        answer = read_line(f"{question} [{default}]: " if default else f"{question}: ")
        if answer == "?":
            say(f"  {explained}")
            continue
        answer = "" if answer == "-" else answer or default
        if not (said := wrong(answer)):
            return answer
        say(f"  {said}")


def yes(question: str, default: bool, explained: str) -> bool:
    """Yes or no."""
    word = ask(
        f"{question} (y/n)", "y" if default else "n", explained, lambda text: "" if text[:1] in "yYnN" else "y or n?"
    )
    return word[:1].lower() == "y"


def ask_all(before: Answers) -> Answers:
    """All questions; what was answered before is the default."""
    say('Enter takes what stands in [ ], "?" explains, Ctrl-C ends it. Nothing is written before it was tried.')
    answers = Answers(
        dict(before.gateway), dict(before.broker), list(before.devices), list(before.about), before.password
    )
    answers.gateway["name"] = ask(
        "Name of this gateway",
        str(answers.gateway["name"]),
        "Unique in the plant; it stands in topics and events.",
        _named,
    )
    _broker(answers)
    if answers.devices and yes(
        "Keep the device " + str(answers.devices[0].get("name")), True, "n asks for another one."
    ):
        return answers
    _device(answers)
    return answers


def _broker(answers: Answers) -> None:
    broker = answers.broker
    say("The MQTT broker, to which the values go:")
    broker["host"] = ask("  Host", str(broker.get("host", "")), "Its name or address, such as broker.plant.", _needed)
    tls = yes(
        "  Encrypted (TLS)", broker.get("tls", False) is not False, "Asks the broker for its certificate. Port 8883."
    )
    port = ask(
        "  Port",
        str(broker.get("port", 8883 if tls else 1883)),
        "1883, with TLS 8883, unless it says otherwise.",
        _port,
    )
    broker.pop("port", None)
    if int(port) != (8883 if tls else 1883):
        broker["port"] = int(port)
    before = broker.pop("tls", None)
    if tls:
        explained = "A PEM file with the authority that signed the broker's certificate; none: those of this machine."
        known = before if isinstance(before, dict) else {}
        ca = ask("  Certificate authority (file, - for none)", str(known.get("ca", "")), explained)
        broker["tls"] = {**known, "ca": ca} if ca else True
    user = ask("  User (- for none)", str(broker.get("user", "")), "As the broker knows this gateway; none: anonymous.")
    broker.pop("user", None)
    before, answers.password = answers.password, ""
    if user:
        broker["user"] = user
        keeps = "not shown; Enter takes the one before" if before else "not shown"
        typed = getpass.getpass(f"  Password ({keeps}): ") if sys.stdin.isatty() else read_line("  Password: ")
        answers.password = typed or before
        if answers.password and not tls:
            say("  Without TLS everybody on the network can read this password.")
            broker["allow_plain_password"] = yes("  Send it all the same", False, "n: it is refused by check.")


def _device(answers: Answers) -> None:
    answers.devices, answers.about = [], []
    say("The first device:")
    plugins = Plugins()
    drivers = plugins.names(DRIVER)
    kinds = ("find", *drivers, "none")
    explained = f"find looks at addresses; {', '.join(drivers)}: a device of that driver; none: later."
    kind = ask(
        f"  Which ({', '.join(kinds)})", "find", explained, lambda text: "" if text in kinds else f"one of {kinds}"
    )
    if kind == "find":
        _found(answers)
    elif kind != "none":
        try:
            answers.devices = [_of_driver(kind, plugins)]
        except PluginError as error:
            say(f"  {error}")
            _device(answers)


def _found(answers: Answers) -> None:
    where = ask(
        "  Where to look", "", 'Addresses such as "192.168.10.0/28" or "192.168.10.21"; it reads only.', _needed
    )
    try:
        found = find_on([where])
    except RangeError as error:
        say(f"  {error}")
        _device(answers)
        return
    for number, (device, about) in enumerate(found, 1):
        say(joined([f"  {number}  {device['name']}  {', '.join(about[:2])}".rstrip()]))
    if not found:
        say("  nobody answers there")
        _device(answers)
        return
    numbers = [str(number) for number in range(1, len(found) + 1)]
    chosen = ask("  Which", "1", "The number before it.", lambda text: "" if text in numbers else f"1 to {len(found)}")
    answers.devices, answers.about = [found[int(chosen) - 1][0]], list(found[int(chosen) - 1][1])


def _of_driver(driver: str, plugins: Plugins) -> dict[str, Any]:
    """A device with one tag, by what its driver's options say of themselves. Raises PluginError."""
    device_type, tag_type = option_types(plugins.driver(driver))
    name = ask("  Name", "device-1", "Part of its topic.", _named)
    where = _asked(options(device_type, DeviceConfig), _WHERE)
    say("  A first value of it:")
    tag = _asked(options(tag_type, TagConfig), _WHAT)
    return {"name": name, "driver": driver, **where, "tags": {"first_value": tag}}


def _asked(declared: Sequence[Option], usual: Collection[str]) -> dict[str, Any]:
    """What must be said, and what usually is."""
    answers: dict[str, Any] = {}
    for option in declared:
        if option.required or option.key in usual:
            default = option.default if option.default is not None else option.example
            explained = f"{option.help} {option.words[0].upper()}{option.words[1:]}.".lstrip()
            text = ask(
                f"  {option.key}", "" if default is None else str(default), explained, partial(_wrong_for, option)
            )
            if text and (value := _value(option, text)) != option.default:
                answers[option.key] = value
    return answers


def _wrong_for(option: Option, text: str) -> str:
    if not text:
        return _needed(text) if option.required else ""
    return "" if option.takes(_value(option, text)) else f"write {option.words}"


def _value(option: Option, text: str) -> Any:
    return int(text) if option.words.startswith("whole number") and text.isdigit() else text


def _needed(text: str) -> str:
    return "" if text else "this is needed"


def _named(text: str) -> str:
    return "" if text and not set(text) & set(" /+#$") else 'a name without blanks, "/", "+", "#" and "$"'


def _port(text: str) -> str:
    return "" if text.isdigit() and 1 <= int(text) <= 65535 else "a number from 1 to 65535"
