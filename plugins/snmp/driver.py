"""The driver, over pysnmp: many values in a request, rows of tables by what stands in them, rates of counters."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.kit import find_devices, readings_of
from gateway.plugin import (
    Device,
    DeviceError,
    Discovered,
    Driver,
    Exact,
    Found,
    LinkError,
    Readings,
    RefusedError,
    Search,
    Tag,
    Tags,
    cleaned,
    quality,
    resolve,
)

from .config import SYS_UP_TIME, SnmpDevice, SnmpRow, SnmpTag

SYS_DESCRIPTION, SYS_NAME = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.5.0"
TOO_BIG, NO_SUCH_NAME = 1, 2
"""Error statuses of RFC 3416."""

_PERSON_MUST_ACT = {
    "unknownUserName": "the agent does not know this user",
    "wrongDigest": "auth or auth_password is another one at the agent",
    "decryptionError": "privacy or privacy_password is another one at the agent",
    "unsupportedSecurityLevel": "the agent wants another auth or privacy of this user",
    "unknownSecurityName": "the agent does not know this user",
    "authenticationFailure": "auth or auth_password is another one at the agent",
}
_FULL = {"Counter32": 1 << 32, "Counter64": 1 << 64}
"""Where counters begin anew at 0; others do not."""

_LONGEST_WALK = 10_000
"""Rows of a table, at most."""


class Snmp(Driver[SnmpDevice, SnmpTag]):
    @classmethod
    def plan(cls, device: Device) -> list[str]:
        count, most = len(device.tags), device.config.max_oids
        return [f"{count} values in {-(-count // most)} requests of {most} at most"]

    async def connect(self) -> None:
        from pysnmp.error import PySnmpError
        from pysnmp.hlapi.v3arch import asyncio as hlapi

        config = self.config
        self._hlapi = hlapi
        self._engine = hlapi.SnmpEngine()
        self._rows: dict[tuple[str, str], str] = {}
        """Column and what stands there → the row's index."""
        self._seen: dict[str, tuple[int, float, float]] = {}
        """Counter → its value, and when: by the agent's clock and by ours, in seconds."""
        self._at_once = config.max_oids
        try:
            self._who = _who(config, hlapi)
            self._context = hlapi.ContextData(contextName=(config.user.context if config.user else "").encode())
            make = hlapi.Udp6TransportTarget if ":" in config.host else hlapi.UdpTransportTarget
            each = config.timeout / (2 * (config.retries + 1))
            self._target = await make.create((config.host, config.port), timeout=each, retries=config.retries)
            await self._get([SYS_UP_TIME])
        except BaseException as error:
            await self.close()
            if isinstance(error, PySnmpError):
                raise LinkError(f"cannot reach {config.host}: {cleaned(str(error))}") from error
            raise

    async def read(self, tags: Tags) -> Readings:
        await self._look_rows_up(tags)
        places = [self._place(tag.config) for tag in tags]
        rates = any(tag.config.rate for tag in tags)
        rows = {tag.config.row: self._told_by(tag.config.row) for tag in tags if tag.config.row is not None}
        wanted = list(dict.fromkeys(place for place in (*places, *rows.values()) if place))
        found = await self._get(([SYS_UP_TIME] if rates else []) + wanted)
        moved = {row for row, place in rows.items() if place and _shown(found.get(place)) != row.equals}
        for row in moved:  # a device that was restarted may have given the index to another row
            self._rows.pop((row.column, row.equals), None)
        now = _number(found.get(SYS_UP_TIME)) / 100 if rates else 0.0
        values: list[tuple[Exact | float | None, int]] = []
        for tag, place in zip(tags, places, strict=True):
            value = found.get(place)
            if tag.config.row in moved:
                values.append((None, quality.BAD_DATA_UNAVAILABLE))
            elif value is None:
                values.append((None, quality.BAD_NODE_ID_UNKNOWN))
            else:
                values.append(self._rate(place, value, now) if tag.config.rate else _meant(value, tag.config.type))
        return readings_of(self.devices[0], dict(zip(tags, values, strict=True)))

    def _place(self, tag: SnmpTag) -> str:
        """The object that is asked for; empty for a row that is not there."""
        if tag.row is None:
            return tag.oid
        index = self._rows.get((tag.row.column, tag.row.equals))
        return f"{tag.oid}.{index}" if index is not None else ""

    def _told_by(self, row: SnmpRow) -> str:
        """The object that says which row it is; empty where it is not there."""
        index = self._rows.get((row.column, row.equals))
        return f"{row.column}.{index}" if index is not None else ""

    async def _look_rows_up(self, tags: Tags) -> None:
        """Find rows whose index is not known, or no more."""
        missing = {tag.config.row.column for tag in tags if tag.config.row is not None and not self._place(tag.config)}
        for column in missing:
            async for oid, value in self._walk(column):
                self._rows[column, _shown(value)] = oid.removeprefix(f"{column}.")

    def _rate(self, place: str, value: Any, now: float) -> tuple[float | None, int]:
        full = _FULL.get(type(value).__name__)
        if full is None:
            return None, quality.BAD_CONFIGURATION
        count, here = int(value), time.monotonic()
        before = self._seen.get(place)
        self._seen[place] = count, now, here
        if before is None:
            return None, quality.BAD_DATA_UNAVAILABLE
        was, then, there = before
        # Its clock has gone on less than ours: it was restarted, and its counters have begun anew.
        if now <= then or now - then < 0.9 * (here - there) - 1:
            return None, quality.BAD_DATA_UNAVAILABLE
        return (count - was) % full / (now - then), quality.GOOD

    async def _get(self, oids: Sequence[str]) -> dict[str, Any]:
        """What the agent has of these, by OID."""
        found: dict[str, Any] = {}
        rest = list(oids)
        while rest:
            part, rest = rest[: self._at_once], rest[self._at_once :]
            status, bound = await self._ask("get_cmd", part)
            if status == TOO_BIG and len(part) > 1:
                self._at_once = len(part) // 2
                rest = part + rest
                continue
            if status not in (0, TOO_BIG, NO_SUCH_NAME):
                raise DeviceError(f"the agent refuses the request: error status {status}")
            found |= {oid: value for oid, value in bound if status == 0 and not _is_nothing(value)}
        return found

    async def _walk(self, column: str) -> AsyncIterator[tuple[str, Any]]:
        """All below an OID."""
        at = column
        for _ in range(_LONGEST_WALK):
            status, bound = await self._ask("bulk_cmd", [at], 0, min(25, self._at_once))
            if status or not bound:
                return
            for oid, value in bound:
                if not oid.startswith(f"{column}.") or _is_nothing(value) or _order(oid) <= _order(at):
                    return
                at = oid
                yield oid, value

    async def _ask(self, command: str, oids: Sequence[str], *options: int) -> tuple[int, list[tuple[str, Any]]]:
        """Error status, and OIDs with their values. Raises TimeoutError, LinkError or RefusedError."""
        hlapi = self._hlapi
        objects = [hlapi.ObjectType(hlapi.ObjectIdentity(oid)) for oid in oids]
        indication, status, _, bound = await getattr(hlapi, command)(
            self._engine, self._who, self._target, self._context, *options, *objects, lookupMib=False
        )
        if indication is None:
            return int(status), [(str(name), value) for name, value in bound]
        self._raise(type(indication).__name__, str(indication))
        raise AssertionError

    def _raise(self, kind: str, said: str) -> None:
        config = self.config
        if kind == "RequestTimedOut":
            what = "is this user known there" if config.user else "is the community right"
            raise TimeoutError(f"no answer from {config.host}: is SNMP on, {what}, and may this computer ask?")
        if why := _PERSON_MUST_ACT.get(kind[0].lower() + kind[1:]):
            raise RefusedError(f"{config.host}: {why}")
        raise LinkError(f"{config.host}: {cleaned(said)}")

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        hlapi = self._hlapi
        await self._look_rows_up(Tags(tag.device, [tag]))
        place = self._place(tag.config)
        if not place:
            raise DeviceError(f"{tag}: there is no such row")
        kinds = {
            "integer": hlapi.Integer32, "gauge": hlapi.Gauge32, "string": hlapi.OctetString,
            "oid": hlapi.ObjectIdentifier, "ip": hlapi.IpAddress, "ticks": hlapi.TimeTicks,
        }  # fmt: skip
        try:
            syntax = kinds[tag.config.syntax]
            plain = value if isinstance(value, str) else int(value)
            bound = hlapi.ObjectType(hlapi.ObjectIdentity(place), syntax(plain))
        except Exception as error:
            raise DeviceError(f"{tag}: {value!r} is no {tag.config.syntax}") from error
        indication, status, _, _ = await hlapi.set_cmd(
            self._engine, self._who, self._target, self._context, bound, lookupMib=False
        )
        if indication is not None:
            self._raise(type(indication).__name__, str(indication))
        if status:
            raise DeviceError(f"{tag}: the agent refuses: {status.prettyPrint()}")

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        count = 0
        async for oid, value in self._walk("1.3.6.1"):
            kind = "int64" if _text(value) is None else "string"
            yield oid, Found(kind, description=cleaned(_shown(value), 80), option="oid")
            count += 1
        if count >= _LONGEST_WALK:
            yield "", Found("", description=f"more than {_LONGEST_WALK} objects")

    async def identify(self, device: Device) -> str:
        found = await self._get([SYS_NAME, SYS_DESCRIPTION])
        return cleaned(", ".join(filter(None, map(_shown, map(found.get, (SYS_NAME, SYS_DESCRIPTION))))), 80)

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        """Who answers to the community "public", by version 2c."""
        return find_devices(cls, search, [{}], {"oid": SYS_UP_TIME})

    async def close(self) -> None:
        self._engine.close_dispatcher()
        await asyncio.sleep(0)


def _who(config: SnmpDevice, hlapi: Any) -> Any:
    if config.user is None:
        community = "public" if config.community is None else resolve(config.community)
        return hlapi.CommunityData(community, mpModel=1)
    user = config.user
    auth = {
        "none": hlapi.USM_AUTH_NONE, "md5": hlapi.USM_AUTH_HMAC96_MD5, "sha": hlapi.USM_AUTH_HMAC96_SHA,
        "sha224": hlapi.USM_AUTH_HMAC128_SHA224, "sha256": hlapi.USM_AUTH_HMAC192_SHA256,
        "sha384": hlapi.USM_AUTH_HMAC256_SHA384, "sha512": hlapi.USM_AUTH_HMAC384_SHA512,
    }[user.auth]  # fmt: skip
    privacy = {
        "none": hlapi.USM_PRIV_NONE, "des": hlapi.USM_PRIV_CBC56_DES, "aes": hlapi.USM_PRIV_CFB128_AES,
        "aes192": hlapi.USM_PRIV_CFB192_AES, "aes256": hlapi.USM_PRIV_CFB256_AES,
    }[user.privacy]  # fmt: skip
    return hlapi.UsmUserData(
        user.name,
        None if user.auth_password is None else resolve(user.auth_password),
        None if user.privacy_password is None else resolve(user.privacy_password),
        authProtocol=auth,
        privProtocol=privacy,
    )


def _shown(value: Any) -> str:
    """As people compare it; empty for nothing."""
    if value is None:
        return ""
    text = _text(value)
    return text if text is not None else str(int(value))


def _is_nothing(value: Any) -> bool:
    return type(value).__name__ in ("NoSuchObject", "NoSuchInstance", "EndOfMibView", "Null", "UnSpecified")


def _number(value: Any) -> float:
    """0 where there is none."""
    return 0.0 if value is None else float(int(value))


def _text(value: Any) -> str | None:
    """Of what is a text, an address or an identifier; None for a number."""
    kind = type(value).__name__
    if kind in ("ObjectIdentifier", "ObjectIdentity"):
        return str(value)
    if kind == "IpAddress":
        return ".".join(str(byte) for byte in bytes(value))
    if kind in ("OctetString", "Opaque", "Bits"):
        raw = bytes(value)
        try:
            text = raw.decode("utf-8").rstrip("\0")
        except UnicodeDecodeError:
            return raw.hex(":")
        return text if text.isprintable() else raw.hex(":")
    return None


def _meant(value: Any, wanted: str | None) -> tuple[Exact | float | None, int]:
    if wanted == "bytes":
        return (bytes(value), quality.GOOD) if hasattr(value, "asOctets") else (None, quality.BAD_DECODING)
    text = _text(value)
    if text is None:
        return (str(int(value)), quality.GOOD) if wanted == "string" else (int(value), quality.GOOD)
    if wanted in (None, "string"):
        return text, quality.GOOD
    try:
        return (float(text) if wanted == "float64" else int(text)), quality.GOOD
    except ValueError:
        return None, quality.BAD_DECODING


def _order(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))
