"""Finds devices: asks an address by Who-Is, and what answers for its name and first objects. Nothing is written."""

import asyncio
from collections.abc import AsyncIterator

from gateway.plugin import DeviceError, Discovered, LinkError, Search

from . import frames, services
from .address import PRESENT_VALUE, shown, type_of
from .config import VALUES
from .encoding import Kind
from .frames import PORT, Bvlc, Station
from .local_port import LocalPort, leave_port, open_port
from .peer import OBJECT_LIST, Asking, Peer
from .services import ANY_DEVICE, IAm, Place

_DEVICES = 1000
"""Behind one address, at most."""
_LOOKED_AT = 10
"""Objects of a device among which one with a value is looked for."""


async def find(search: Search) -> AsyncIterator[Discovered]:
    """What answers at one place, also behind it, where it is a router."""
    if not search.host:
        return
    for port in search.ports or (PORT,):
        try:
            local = await open_port("", 0, "255.255.255.255")
        except LinkError:
            return
        try:
            for station, said in await _who(local, Station(search.host, port), search):
                if found := await _described(local, station, said, search):
                    yield found
        finally:
            leave_port(local)


async def _who(local: LocalPort, there: Station, search: Search) -> list[tuple[Station, IAm]]:
    """All that say that they are there, by that address."""
    heard: dict[Station, IAm] = {}
    came: asyncio.Queue[tuple[Station, IAm]] = asyncio.Queue(_DEVICES)

    def hear(station: Station, said: IAm) -> None:
        if station[:2] == there[:2] and not came.full():
            came.put_nowait((station, said))

    local.present.add(hear)
    try:
        await search.turn()
        # Once for the device itself, and once for whatever is behind it.
        local.send(frames.unicast(there, services.who_is(), reply=False), there)
        local.send(frames.broadcast(services.who_is(), function=Bvlc.UNICAST), there)
        async with asyncio.timeout(search.timeout):
            while len(heard) < _DEVICES:
                station, said = await came.get()
                heard.setdefault(station, said)
    except TimeoutError:
        pass  # all have had their time to answer
    finally:
        local.present.discard(hear)
    if not heard:  # it may answer by broadcasts alone
        peer = Peer(local, there, ANY_DEVICE, Asking(search.timeout / 2, 0, 20))
        await search.turn()
        if (instance := await peer.asked_who()) is not None:
            heard[there] = IAm(instance, 0, 0, 0)
    return sorted(heard.items())


async def _described(local: LocalPort, station: Station, said: IAm, search: Search) -> Discovered | None:
    peer = Peer(local, station, said.instance, Asking(search.timeout, 0, 20))
    options: dict[str, object] = {"host": station.host, "device": said.instance}
    if station.port != PORT:
        options["port"] = station.port
    if station.network:
        mac = station.mac
        options |= {"network": station.network, "mac": mac[0] if len(mac) == 1 else mac.hex(":")}
    tags = {}
    try:
        await search.turn()
        await peer.learn()
        for number in range(1, _LOOKED_AT + 1):
            await search.turn()
            found = await peer.read(Place(peer.object, OBJECT_LIST, number))
            if found and found[0][0] == Kind.OBJECT and type_of(found[0][1]) in VALUES:
                tags["first"] = {"address": shown(Place(found[0][1], PRESENT_VALUE))}
                break
    except (DeviceError, TimeoutError):
        pass  # what it does not tell is left out
    return Discovered(options, tags, peer.about[-1] if peer.about else "", peer.about[:-1])
