"""What setup has to know, and how it becomes a configuration."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli

from gateway.cli.discover import find_on
from gateway.cli.frame import toml_text
from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting, parse_json
from gateway.places.regular import read_regular

_LONGEST = 1024 * 1024
_TABLES = {"gateway", "broker", "device", "devices", "find"}
_PASSWORD = 4096


class AnswersError(GatewayError):
    """The answers cannot be used; says which, and what to write."""


@dataclass(slots=True)
class Answers:
    """The options of the gateway, its broker and its devices, as the configuration writes them."""

    gateway: dict[str, Any] = field(default_factory=lambda: {"name": default_name()})
    broker: dict[str, Any] = field(default_factory=lambda: {"name": "central", "plugin": "mqtt"})
    devices: list[dict[str, Any]] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    """What a found device says of itself."""
    password: str = ""
    """The broker's."""


def default_name() -> str:
    """A name for the gateway: the machine's."""
    name = "".join(char if char.isalnum() or char in "-_" else "-" for char in socket.gethostname().split(".")[0])
    return name.strip("-") or "gateway"


def read_answers(path: Path) -> Answers:
    """From a file. Raises AnswersError."""
    try:
        data = read_regular(path, _LONGEST)
    except OSError as error:
        raise AnswersError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    with doubting(lambda reason: AnswersError(f"{path} is neither TOML nor JSON: {reason}")):
        told = parse_json(data) if data.lstrip()[:1] == b"{" else tomli.loads(data.decode("utf-8-sig"))
    return _answers(told, path.absolute().parent)


def _answers(told: Any, base: Path) -> Answers:
    if not isinstance(told, Mapping) or not told.keys() <= _TABLES or not isinstance(told.get("broker"), Mapping):
        odd = sorted(set(told) - _TABLES) if isinstance(told, Mapping) else []
        raise AnswersError(
            (f'"{odd[0]}" is not known: ' if odd else "")
            + 'write a table [broker] with host = …, and [[device]] as in the configuration, or find = "192.168.10.0/28"; '
            "[gateway] may stand there too (docs/setup.md)"
        )
    made = Answers()
    made.gateway |= dict(told.get("gateway", {}))
    broker = dict(told["broker"])
    if "password" in broker and isinstance(broker["password"], str):
        raise AnswersError('broker.password: put the password into a file, and name that: password_file = "…"')
    if (file := broker.pop("password_file", None)) is not None:
        made.password = _password(base / str(file))
    made.broker |= broker
    devices = told.get("device", told.get("devices", []))
    made.devices = [dict(each) for each in (devices if isinstance(devices, list) else [devices])]
    if (places := told.get("find")) is not None:
        texts = [places] if isinstance(places, str) else [str(each) for each in places]
        found = find_on(texts)
        if not found:
            raise AnswersError(f"find: no device answers at {', '.join(texts)}")
        made.devices += [device for device, _ in found]
    return made


def _password(path: Path) -> str:
    try:
        return read_regular(path, _PASSWORD).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise AnswersError(f"broker.password_file: {path} cannot be read: {error}") from None


def toml_of(answers: Answers, password: Mapping[str, str] | None) -> str:
    """The configuration, short, and commented for whoever goes on with it. `password`: where the broker's is kept."""
    broker = dict(answers.broker)
    if password is not None:
        broker["password"] = dict(password)
    lines = [
        "# Written by edge-gateway setup. Every option: config.example.toml, docs/configuration.md.",
        "# After a change:  edge-gateway check --connect  and  edge-gateway reload",
        "",
        "[gateway]",
        *(f"{toml_text.key(key)} = {toml_text.written(value)}" for key, value in answers.gateway.items()),
        "",
        "# Where the values go.",
        "[[sink]]",
        *(f"{toml_text.key(key)} = {toml_text.written(value)}" for key, value in broker.items()),
        "",
        "# Where they come from: one table for each device, with its tags.",
    ]
    for device in answers.devices:
        options = {key: value for key, value in device.items() if key not in ("name", "driver", "tags")}
        name, driver, tags = str(device.get("name", "")), str(device.get("driver", "")), device.get("tags", {})
        lines += toml_text.device(name, driver, options, tags, answers.about)
    return "\n".join(lines)
