"""Options of a device that speaks SNMP, and its tags. Imports no protocol library, so that checking is fast."""

import re
from typing import Any, Literal

from gateway.plugin import DeviceConfig, Field, Host, Secret, Section, TagConfig, field_validator, model_validator

_OID = re.compile(r"\.?\d+(\.\d+)+")
SYS_UP_TIME = "1.3.6.1.2.1.1.3.0"


def oid_of(text: Any) -> str:
    """An object's number, without the dot before it. Raises ValueError."""
    if not isinstance(text, str) or not _OID.fullmatch(text.strip()):
        raise ValueError(f'{text!r} is no object identifier; write its numbers in quotes, such as "1.3.6.1.2.1.1.3.0"')
    said = text.strip().lstrip(".")
    if int(said.split(".")[0]) > 2 or any(int(part) >= 1 << 32 for part in said.split(".")):
        raise ValueError(f"{text!r} is no object identifier: a number in it is too large")
    return said


class SnmpUser(Section):
    """Who asks, by SNMPv3."""

    name: str = Field(min_length=1, max_length=32)
    """The user's name (USM)."""

    auth: Literal["none", "md5", "sha", "sha224", "sha256", "sha384", "sha512"] = "sha"
    """How messages are authenticated."""

    auth_password: Secret | None = None
    """The password for that, of at least eight characters."""

    privacy: Literal["none", "des", "aes", "aes192", "aes256"] = "none"
    """How messages are encrypted."""

    privacy_password: Secret | None = None
    """The password for that."""

    context: str = ""
    """Context name, where the agent has several."""

    @model_validator(mode="after")
    def _passwords(self) -> "SnmpUser":
        if (self.auth == "none") == (self.auth_password is not None):
            raise ValueError('auth_password: give it, or say auth = "none"')
        if (self.privacy == "none") == (self.privacy_password is not None):
            raise ValueError("privacy_password: it belongs with privacy; give both or none")
        if self.privacy != "none" and self.auth == "none":
            raise ValueError("privacy: needs auth")
        return self


class SnmpDevice(DeviceConfig):
    """A device with an SNMP agent: a switch, a UPS, a printer."""

    host: Host
    """Name or address of the agent."""

    port: int = Field(default=161, ge=1, le=65535)
    """UDP port."""

    community: Secret | None = None
    """Community of SNMPv2c, such as { credential = "ups-1" }. Default, without user: "public"."""

    user: SnmpUser | None = None
    """Ask by SNMPv3, as this user."""

    max_oids: int = Field(default=20, ge=1, le=100)
    """Values that are asked for at once, at most; an agent whose answers get too big is asked for fewer."""

    retries: int = Field(default=1, ge=0, le=5)
    """How often a request without an answer is repeated."""

    @model_validator(mode="after")
    def _one(self) -> "SnmpDevice":
        if self.community is not None and self.user is not None:
            raise ValueError("community: with user it is not used; leave one of both out")
        return self


class SnmpRow(Section):
    """Which row of a table: the one whose column says something."""

    column: str = Field(examples=["1.3.6.1.2.1.31.1.1.1.1"])
    """The column that tells rows apart, such as the names of a switch's ports (ifName)."""

    equals: str = Field(examples=["Gi1/0/1"])
    """What stands there in the row that is meant."""

    @field_validator("column", mode="before")
    @classmethod
    def _column(cls, value: Any) -> str:
        return oid_of(value)


class SnmpTag(TagConfig):
    """A value that the agent has."""

    oid: str = Field(examples=["1.3.6.1.2.1.33.1.2.4.0"])
    """Number of the object; with row that of the column, without the row's index."""

    row: SnmpRow | None = None
    """Look the row up in the table, whatever index it has at present."""

    rate: bool = False
    """Of a counter: how fast it grows, per second, over the time between two scans. That it begins anew at 0 when it is full
    is taken into account; where the device was restarted, there is no value for one scan."""

    type: Literal["string", "int64", "uint64", "float64", "bytes"] | None = None
    """Default: as the agent says it. float64 of a text reads the number in it."""

    syntax: Literal["integer", "gauge", "string", "oid", "ip", "ticks"] = "integer"
    """What the object is when it is written."""

    @field_validator("oid", mode="before")
    @classmethod
    def _number(cls, value: Any) -> str:
        return oid_of(value)

    @model_validator(mode="after")
    def _fitting(self) -> "SnmpTag":
        if self.rate and self.type is not None:
            raise ValueError("type: a rate is float64; leave type out")
        return self

    def value_type(self) -> str:
        return "float64" if self.rate else self.type or ""
