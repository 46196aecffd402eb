"""The questions, each with a default and an explanation."""

import getpass
import sys
from collections.abc import Callable
from typing import Any

from gateway.cli.discover import find_on
from gateway.cli.discover.ranges import RangeError
from gateway.cli.frame.terminal import joined
from gateway.cli.setup.answers import Answers
from gateway.core.errors import GatewayError


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
    broker.pop("tls", None)
    if tls:
        explained = "A PEM file with the authority that signed the broker's certificate; none: those of this machine."
        ca = ask("  Certificate authority (file, - for none)", "", explained)
        broker["tls"] = {"ca": ca} if ca else True
    user = ask("  User (- for none)", str(broker.get("user", "")), "As the broker knows this gateway; none: anonymous.")
    broker.pop("user", None)
    answers.password = ""
    if user:
        broker["user"] = user
        answers.password = (
            getpass.getpass("  Password (not shown): ") if sys.stdin.isatty() else read_line("  Password: ")
        )
        if answers.password and not tls:
            say("  Without TLS everybody on the network can read this password.")
            broker["allow_plain_password"] = yes("  Send it all the same", False, "n: it is refused by check.")


def _device(answers: Answers) -> None:
    answers.devices, answers.about = [], []
    say("The first device:")
    explained = "find looks at addresses for Modbus and OPC UA; modbus and opcua ask where it is; none: later."
    kinds = ("find", "modbus", "opcua", "none")
    kind = ask(
        f"  Which ({', '.join(kinds)})", "find", explained, lambda text: "" if text in kinds else f"one of {kinds}"
    )
    if kind == "find":
        _found(answers)
    elif kind == "modbus":
        answers.devices = [_modbus()]
    elif kind == "opcua":
        answers.devices = [_opcua()]


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


def _modbus() -> dict[str, Any]:
    name = ask("  Name", "device-1", "Part of its topic.", _named)
    host = ask("  Host", "", "Its address, such as 192.168.10.21.", _needed)
    port = ask("  Port", "502", "502 unless its manual says otherwise.", _port)
    unit = ask("  Unit id", "1", "Its number behind a gateway; devices with a plug of their own: 1 or 255.", _unit)
    address = ask(
        "  Address of a first value", "40001", 'As the manual prints it ("40001"), or from 0 ("hr:0").', _needed
    )
    kind = ask("  Type of it", "uint16", "uint16, int16, float32, int32, …; coils and discrete inputs: bool.", _needed)
    device = {"name": name, "driver": "modbus", "host": host, "port": int(port), "unit": int(unit)}
    return {**device, "tags": {"first_value": {"address": address, "type": kind}}}


def _opcua() -> dict[str, Any]:
    name = ask("  Name", "device-1", "Part of its topic.", _named)
    url = ask("  Address", "", "Such as opc.tcp://192.168.10.30:4840.", _needed)
    explained = "auto takes the best that it offers, and asks you to accept its certificate; none is not protected."
    security = ask(
        "  Security (auto, none)", "auto", explained, lambda text: "" if text in ("auto", "none") else "auto or none"
    )
    node = ask(
        "  Node id of a first value", "i=2258", "Such as ns=2;s=Line.Temp; i=2258 is the server's clock.", _needed
    )
    device: dict[str, Any] = {"name": name, "driver": "opcua", "url": url}
    if security == "none":
        device["security"] = "none"
    return {**device, "tags": {"first_value": {"address": node}}}


def _needed(text: str) -> str:
    return "" if text else "this is needed"


def _named(text: str) -> str:
    return "" if text and not set(text) & set(" /+#$") else 'a name without blanks, "/", "+", "#" and "$"'


def _port(text: str) -> str:
    return "" if text.isdigit() and 1 <= int(text) <= 65535 else "a number from 1 to 65535"


def _unit(text: str) -> str:
    return "" if text.isdigit() and int(text) <= 255 else "a number from 0 to 255"
