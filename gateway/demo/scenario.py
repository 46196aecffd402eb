"""What the demonstration writes down: a configuration that a plant's could start from, and the model beside it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway.demo import bioreactor, cip, coater, serve_cip

MODELS = Path(__file__).parent / "models"

_HEAD = """\
# The demonstration's configuration, as a starting point. `edge-gateway check --config {file}` explains it.
# Its devices and its broker are simulated; these commands start them again, each in a terminal of its own:
#   {python} -m gateway.demo.serve_coater --port {coater}
#   {python} -m gateway.demo.serve_bioreactor --port {bioreactor}
#   {python} -m gateway.demo.serve_cip --port {cip}
#   {broker}

[gateway]
name = "demo-gw1"
site = "north"
area = "solids"
line = "coating"
state_dir = "state"

[[sink]]
name = "central"
plugin = "mqtt"
host = "127.0.0.1"
port = {mqtt}
protocol = "{protocol}"

[[device]]
name = "coater-1"
driver = "modbus"
host = "127.0.0.1"
port = {coater}
scan = "500ms"
[device.tags]
{coater_tags}

[[device]]
name = "bioreactor-1"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{bioreactor}/"
security = "none"
scan = "500ms"
area = "bio"
line = "fermentation"
[device.tags]
{bioreactor_tags}

[[device]]
name = "cip-1"
driver = "s7"
host = "127.0.0.1"
port = {cip}
scan = "500ms"
area = "bio"
line = "cleaning"
[device.tags]
{cip_tags}

[[model]]
file = "models/coater.onnx"
devices = ["coater-*"]
"""

_PAGE = """
[[service]]
name = "page"
plugin = "web"
port = {page}
"""


@dataclass(frozen=True)
class Ports:
    """Where the demonstration's servers listen, all on 127.0.0.1."""

    mqtt: int
    coater: int
    bioreactor: int
    page: int | None = None
    """None: the gateway has no page."""
    cip: int = 10102


def write(directory: Path, ports: Ports, python: str, broker: str, protocol: str = "auto") -> Path:
    """Write configuration and model; returns the configuration's path. `python` and `broker` are the command lines that
    start them again, `protocol` is the MQTT version that the broker bears."""
    (directory / "models").mkdir(parents=True, exist_ok=True)
    for model in MODELS.glob("*.onnx"):
        shutil.copy(model, directory / "models")
    path = directory / "config.toml"
    path.write_text(
        _HEAD.format(
            file=path,
            python=python,
            broker=broker,
            protocol=protocol,
            mqtt=ports.mqtt,
            coater=ports.coater,
            bioreactor=ports.bioreactor,
            cip=ports.cip,
            coater_tags="\n".join(_modbus_tags()),
            bioreactor_tags="\n".join(_opcua_tags()),
            cip_tags="\n".join(_s7_tags()),
        )
        + ("" if ports.page is None else _PAGE.format(page=ports.page)),
        encoding="utf-8",
    )
    return path


def _modbus_tags() -> list[str]:
    return [
        f'{tag} = {{ address = "{40001 + 2 * row}", type = "float32", unit = "{unit}" }}'
        for row, (tag, unit) in enumerate(coater.TAGS.items())
    ]


def _opcua_tags() -> list[str]:
    return [
        f'{tag} = {{ address = "nsu=urn:edge-gateway:demo;s=Bioreactor.{tag}", unit = "{unit}" }}'
        for tag, unit in bioreactor.TAGS.items()
    ]


def _s7_tags() -> list[str]:
    lines = []
    for tag, unit in cip.TAGS.items():
        options = {"address": serve_cip.PLACES[tag], "type": serve_cip.TYPES.get(tag, "REAL"), "unit": unit}
        said = ", ".join(f'{key} = "{value}"' for key, value in options.items() if value)
        lines.append(f"{tag} = {{ {said} }}")
    return lines
