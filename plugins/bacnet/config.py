"""Options of a BACnet device and its tags."""

import re
from typing import Any, Literal

from gateway.plugin import DeviceConfig, Field, Host, Period, Section, TagConfig, field_validator, model_validator

from .address import (
    BINARY,
    MULTI_STATE,
    PRESENT_VALUE,
    PRIORITY_ARRAY,
    RELINQUISH_DEFAULT,
    STATUS_FLAGS,
    parse_address,
    type_of,
)
from .frames import PORT
from .services import Place

VALUES = {
    0: "float32", 1: "float32", 2: "float32", 3: "bool", 4: "bool", 5: "bool", 12: "float32", 13: "uint32", 14: "uint32",
    19: "uint32", 23: "uint32", 24: "float32", 39: "string", 40: "string", 42: "string", 44: "string", 45: "int32",
    46: "float64", 47: "bytes", 48: "uint32", 50: "string",
}  # fmt: skip
"""Of the present values of objects."""


class Bbmd(Section):
    """A broadcast distributor (BBMD) of another subnet."""

    host: Host
    """Its name or address."""

    port: int = Field(default=PORT, ge=1, le=65535)
    """Its UDP port."""

    ttl: Period = Field(default=300.0, ge=30, le=65535)
    """How long a registration holds there; it is renewed when half of it is over."""


class BacnetDevice(DeviceConfig):
    """A device that speaks BACnet/IP, or is reached through a BACnet router. All devices with the same local_host and
    local_port are asked over one UDP port of the gateway, each for itself."""

    device: int | None = Field(default=None, ge=0, le=4194302)
    """Instance of the device object. Without host the device is looked for by it; with host it must be the one that answers
    there. Default: whichever answers at host."""

    host: Host | None = None
    """Name or address of the device, or with network of the router. Default: it is looked for by a broadcast."""

    port: int = Field(default=PORT, ge=1, le=65535)
    """UDP port of the device."""

    network: int | None = Field(default=None, ge=1, le=65534)
    """Number of the network behind a router (MS/TP, LON, another BACnet/IP network)."""

    mac: int | str | None = Field(default=None, examples=[12, "c0:a8:00:05:ba:c0"])
    """Address of the device in that network: its number on MS/TP, else octets in hexadecimal."""

    local_host: Host | None = None
    """Address of the gateway to ask from, where it has several. Default: any."""

    local_port: int = Field(default=PORT, ge=0, le=65535)
    """UDP port of the gateway. Answers to a broadcast come to 47808; with another one, or 0 for any, give each device's
    host."""

    broadcast: Host = "255.255.255.255"
    """Where Who-Is is sent, such as "192.168.10.255"."""

    bbmd: Bbmd | None = None
    """Register as a foreign device, to look for devices of another subnet."""

    cov: Literal["no", "unconfirmed", "confirmed"] = "no"
    """Have the device tell changes of present values (SubscribeCOV) between two scans: by unconfirmed notifications, or by
    such as are repeated until they arrive. Each scan reads all the same."""

    cov_lifetime: Period = Field(default=300.0, ge=10, le=86400)
    """How long a subscription is asked for; it is renewed when half of it is over."""

    priority: int = Field(default=16, ge=1, le=16)
    """Priority at which is written, 1 to 16. 16, the lowest, is what anybody else may override; see the README."""

    max_values: int = Field(default=200, ge=1, le=1000)
    """Properties that are asked for at once, at most. Fewer go where the device takes or gives less."""

    request_timeout: Period | None = None
    """How long one try may take. Default: half of `timeout` at most, and 1.5 s."""

    retries: int = Field(default=1, ge=0, le=5)
    """How often a request without an answer is repeated."""

    @field_validator("mac")
    @classmethod
    def _octets(cls, value: int | str | None) -> int | str | None:
        _mac(value)
        return value

    @model_validator(mode="after")
    def _somewhere(self) -> "BacnetDevice":
        if self.host is None and self.device is None:
            raise ValueError("host: say where the device is, or by `device` which one to look for")
        if (self.mac is not None) and (self.network is None or self.host is None):
            raise ValueError("mac: it goes with network, and with the router's address as host")
        if self.network is not None and self.host is not None and self.mac is None:
            raise ValueError("network: say by mac who is meant there")
        if self.bbmd is not None and self.bbmd.ttl / 2 < self.scan:
            raise ValueError("bbmd: its ttl must be twice the scan at least, since a scan renews it")
        if self.cov != "no" and self.cov_lifetime / 2 < self.scan:
            raise ValueError("cov_lifetime: it must be twice the scan at least, since a scan renews it")
        return self

    @property
    def mac_octets(self) -> bytes:
        """Of the device behind a router; empty for others."""
        return _mac(self.mac)


class BacnetTag(TagConfig):
    """A property of an object."""

    address: str = Field(examples=["AI:3", "analog-value,12", "AV:7/priority-array[8]"])
    """Type and instance of the object, and after "/" the property where it is not the present value: "AI:3", "BV:2",
    "MSV:1", "analog-input,3", "device:1234/system-status", "128:5/512" by numbers."""

    status: bool = True
    """With a present value, read the object's status flags: a fault makes it bad, out of service uncertain and forced."""

    cov: bool | None = None
    """false: this tag is not subscribed. Default: as the device's cov says."""

    text: bool = False
    """Of a multi-state or binary object the text of the state in place of its number."""

    bit: int | None = Field(default=None, ge=0, le=1023)
    """Of a bit string one bit, the first being 0."""

    commanded: bool = False
    """In place of the value: whether the object's priority array holds a command at our priority. Writing false takes it
    back (relinquishes it)."""

    priority: int | None = Field(default=None, ge=1, le=16)
    """Priority at which this tag is written, if another than its device's."""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "AI:3"')
        parse_address(value)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "BacnetTag":
        at = self.at
        if (self.text or self.commanded) and (at.property, at.item) != (PRESENT_VALUE, -1):
            raise ValueError(f"{'text' if self.text else 'commanded'}: only of an object's present value")
        if self.text and type_of(at.object) not in (*MULTI_STATE, *BINARY):
            raise ValueError("text: only multi-state and binary objects have texts for their states")
        if self.commanded and (self.text or self.scaled):
            raise ValueError("commanded: it is true or false; leave text, scale and offset out")
        if self.cov and (at.property not in (PRESENT_VALUE, STATUS_FLAGS) or at.item >= 0):
            raise ValueError("cov: devices tell of present values and status flags alone")
        return self

    @property
    def at(self) -> Place:
        """The parsed address."""
        return parse_address(self.address)

    def value_type(self) -> str:
        if self.commanded or self.bit is not None:
            return "bool"
        if self.text:
            return "string"
        at = self.at
        of_the_object = (PRESENT_VALUE, -1), (RELINQUISH_DEFAULT, -1)
        if (at.property, at.item) in of_the_object or (at.property == PRIORITY_ARRAY and at.item > 0):
            return VALUES.get(type_of(at.object), "")
        return ""


def subscribed(device: BacnetDevice, tag: BacnetTag) -> bool:
    """Whether the device is to tell changes of this tag."""
    at = tag.at
    if device.cov == "no" or tag.cov is False or tag.commanded:
        return False
    return at.property in (PRESENT_VALUE, STATUS_FLAGS) and at.item < 0


def _mac(value: int | str | None) -> bytes:
    if value is None:
        return b""
    if isinstance(value, int):
        if not 0 <= value <= 255:
            raise ValueError(f"{value} is no number of one octet")
        return bytes((value,))
    digits = re.sub(r"[:\-. ]", "", value)
    if not re.fullmatch(r"([0-9A-Fa-f]{2}){1,18}", digits):
        raise ValueError(f'"{value}" is neither a number nor octets in hexadecimal')
    return bytes.fromhex(digits)
