"""Two drivers and a sink, by their options only: what configuration needs of plugins."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import field_validator

from gateway.config.base import DeviceConfig, Secret, Section, ServiceConfig, SinkConfig, TagConfig, WatchConfig
from gateway.config.fields import Duration, Field, FilePath
from gateway.config.kinds import DRIVER, SERVICE, SINK, WATCH, PluginKind
from gateway.config.model import GatewaySection
from gateway.core.errors import PluginError


class PlcDevice(DeviceConfig):
    """A PLC."""

    host: str
    """Its address."""

    port: int = Field(default=502, ge=1, le=65535)
    """TCP port."""

    max_gap: int = Field(default=0, ge=0)
    """Unused registers that may be read over."""


class PlcTag(TagConfig):
    address: str
    """As the manual prints it."""

    type: Literal["bool", "int16", "uint16", "int32", "float32", "float64"] | None = None
    """How to read it."""

    signed: bool = False
    """Whether the highest bit is a sign."""

    cell: int = Field(default=1, ge=1, le=4)
    """Load cell."""

    @field_validator("address", mode="before")
    @classmethod
    def _quoted(cls, value: Any) -> Any:
        if isinstance(value, int):
            raise ValueError(f'write "{value}" in quotes')
        return value

    def value_type(self) -> str:
        return self.type or ""


class ServerDevice(DeviceConfig):
    url: str
    password: Secret | None = None
    certificate: FilePath | None = None


class NodeTag(TagConfig):
    address: str


class Tls(Section):
    ca: FilePath | None = None
    """Authority's certificate."""

    server_name: str = ""
    """Name in the certificate."""


class BrokerSink(SinkConfig):
    host: str
    """The broker."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port."""

    password: Secret | None = None
    """The user's password."""

    tls: bool | Tls = False
    """Whether to encrypt."""

    keep_alive: Duration = Field(default=15.0, gt=0)
    """Silence."""


TYPES: dict[PluginKind, dict[str, tuple[type[Any], ...]]] = {
    DRIVER: {"plc": (PlcDevice, PlcTag), "server": (ServerDevice, NodeTag)},
    SINK: {"broker": (BrokerSink,)},
    SERVICE: {"page": (ServiceConfig,)},
    WATCH: {"noisy": (WatchConfig,)},
}


class SamplePlugins:
    """A `PluginTypes` with the drivers plc, server and broken, and the sink broker."""

    def names(self, kind: PluginKind) -> Sequence[str]:
        return [*TYPES[kind]]

    def options(self, kind: PluginKind, name: str) -> tuple[type[Any], ...]:
        if (kind, name) == (DRIVER, "broken"):
            raise PluginError('plugin "broken": broken.py:3: name "oops" is not defined')
        return TYPES[kind][name]


def look_up(section: GatewaySection) -> SamplePlugins:
    return SamplePlugins()


GOOD = """
[gateway]
name = "g1"
site = "north"

[outbox]
max_size = "1 GiB"

[[sink]]
name = "central"
plugin = "broker"
host = "broker.plant.local"
password = { credential = "mqtt-password" }
tls = { ca = "ca.pem" }

[[device]]
name = "press-1"
driver = "plc"
host = "192.168.10.21"
scan = "500ms"
[device.tags]
oil_temp = { address = "40001", type = "float32", unit = "°C", deadband = 0.1 }
running = { address = "10001" }
"""
