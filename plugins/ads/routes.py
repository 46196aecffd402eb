"""What TwinCAT's system service answers by UDP 48899: who it is, and routes that it is to make.

The format is not published; it is that of pyads (`pyads_ex.adsAddRouteToPLC`) and of Beckhoff's own ADS library.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.kit import open_datagrams
from gateway.kit.line import AskingPace
from gateway.plugin import Discovered, LinkError, RefusedError, Search, cleaned, resolve

from .address import net_id_text, parse_net_id
from .config import AdsDevice, AdsRoute
from .frames import INFO, AdsRequest
from .line import opened
from .return_codes import TARGET_PORT

UDP_PORT = 48899
_MAGIC = 0x71146603
_HEAD = struct.Struct("<III6sHI")
"""Magic number, invoke id, service, AMS net id, port, how many fields follow."""
_IDENTIFY, _ADD_ROUTE, _ANSWER = 1, 6, 0x8000_0000
_CODE, _PASSWORD, _VERSION, _NAME, _NET_ID, _ROUTE, _USER = 1, 2, 3, 5, 7, 12, 13
"""Fields. In a request for a route 5 is the address."""
_SYSTEM_SERVICE = 10000
_WITHIN = 1.0
_WRONG_PASSWORD = 0x704


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has answered there."""

    net_id: bytes
    fields: Mapping[int, bytes]

    @property
    def name(self) -> str:
        """Of the computer."""
        return cleaned(self.fields.get(_NAME, b"").split(b"\0")[0].decode("cp1252", errors="replace"), 80)

    @property
    def version(self) -> str:
        """Of TwinCAT; empty where it does not say."""
        raw = self.fields.get(_VERSION, b"")
        return "{}.{}.{}".format(*struct.unpack("<BBH", raw[:4])) if len(raw) >= 4 else ""


def _packet(service: int, net_id: bytes, fields: Sequence[tuple[int, bytes]]) -> bytes:
    head = _HEAD.pack(_MAGIC, 0, service, net_id, _SYSTEM_SERVICE, len(fields))
    return head + b"".join(struct.pack("<HH", tag, len(data)) + data for tag, data in fields)


def parse_packet(data: bytes, service: int) -> Identity | None:
    """What an answer to this service says; None where it is none."""
    if len(data) < _HEAD.size:
        return None
    magic, _, what, net_id, _, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or what != service | _ANSWER:
        return None
    return Identity(net_id, dict(_fields(data, count)))


def _fields(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    at = _HEAD.size
    for _ in range(min(count, 64)):
        if at + 4 > len(data):
            return
        tag, size = struct.unpack_from("<HH", data, at)
        yield tag, data[at + 4 : at + 4 + size]
        at += 4 + size


async def _asked(host: str, service: int, packet: bytes) -> Identity | None:
    """What the system service answers; None where nothing comes in time. Raises LinkError where it cannot be asked."""
    datagrams = await open_datagrams(host, UDP_PORT, longest=4096)
    try:
        async with asyncio.timeout(_WITHIN):
            return parse_packet(
                await datagrams.ask(packet, lambda data: parse_packet(data, service) is not None), service
            )
    except TimeoutError:
        return None
    finally:
        await datagrams.close()


async def identify(host: str) -> Identity | None:
    """Who is there; None where nobody answers."""
    try:
        return await _asked(host, _IDENTIFY, _packet(_IDENTIFY, bytes((1, 1, 1, 1, 1, 1)), []))
    except LinkError:
        return None


async def identified(host: str) -> str:
    """The AMS net id of a controller, which it is asked for. Raises LinkError."""
    found = await identify(host)
    if found is None:
        raise LinkError(
            f"{host} does not tell its AMS net id (UDP {UDP_PORT}): write it in net_id; its TwinCAT icon shows it under"
            " Router, Edit Routes"
        )
    return net_id_text(found.net_id)


async def add_route(host: str, route: AdsRoute, own: bytes, local: str) -> None:
    """Have a controller make a route to us. Raises LinkError, and RefusedError where it does not take the password."""
    texts = {
        _ROUTE: route.name, _USER: route.user, _PASSWORD: resolve(route.password), _NAME: route.address or local,
    }  # fmt: skip
    fields = {tag: text.encode("cp1252", errors="replace") + b"\0" for tag, text in texts.items()} | {_NET_ID: own}
    order = (_ROUTE, _NET_ID, _USER, _PASSWORD, _NAME)
    found = await _asked(host, _ADD_ROUTE, _packet(_ADD_ROUTE, own, [(tag, fields[tag]) for tag in order]))
    if found is None:
        raise LinkError(f"{host} does not answer to a wish for a route (UDP {UDP_PORT}): make it in TwinCAT")
    code = int.from_bytes(found.fields.get(_CODE, b"\xff" * 4), "little")
    if code == _WRONG_PASSWORD:
        raise RefusedError(f"{host} does not make a route: user or password of route is another one there")
    if code:
        raise RefusedError(f"{host} does not make a route (ADS error 0x{code:X}): make it in TwinCAT")


async def find(search: Search) -> AsyncIterator[Discovered]:
    """The controller at one place, if there is one."""
    if not search.host:
        return
    await search.turn()
    who = await identify(search.host)
    net_id = net_id_text(who.net_id) if who is not None else _guessed(search.host)
    for port in search.ports or (48898,):
        await search.turn()
        options: dict[str, object] = {
            "host": search.host,
            "net_id": net_id,
            **({"port": port} if port != 48898 else {}),
        }
        answered = await _answers(options, search.timeout)
        if who is None and not answered:
            continue
        about = [f"TwinCAT {who.version}"] if who is not None and who.version else []
        if not answered:
            about.append("it does not answer by TCP: a route to this computer is missing there")
        elif who is None and not isinstance(answered, bytes):
            options.pop("net_id")
            about.append("it does not tell its AMS net id: write it in net_id")
        elif answered == TARGET_PORT:
            about.append("no PLC answers on AMS port 851: set ams_port, or is TwinCAT in config mode?")
        yield Discovered(options, name=who.name if who is not None else "", about=about)


def _guessed(host: str) -> str:
    try:
        return f"{host}.1.1" if ip_address(host).version == 4 else "127.0.0.1.1.1"
    except ValueError:
        return "127.0.0.1.1.1"


async def _answers(options: Mapping[str, object], timeout: float) -> int | bytes | None:
    """What the PLC answers when it is asked for its name; None for nothing."""
    config = AdsDevice.model_validate({"name": "search", "driver": "ads", "timeout": f"{timeout:g}s", **options})
    try:
        line = await opened(config)
    except LinkError:
        return None
    try:
        unit = parse_net_id(config.net_id or ""), config.ams_port
        (answer,) = await line.exchange([AdsRequest(unit, INFO)], AskingPace(timeout, timeout))
        return answer if isinstance(answer, bytes) or answer > 0 else None
    except LinkError:
        return None
    finally:
        await line.close()
