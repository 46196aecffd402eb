"""Finding devices: what answers to List Identity at a host."""

import struct
from collections.abc import AsyncIterator

from gateway.kit.line import AskingPace, LineManners, RequestLine, open_line
from gateway.plugin import Discovered, LinkError, Search

from .frames import LIST_IDENTITY, CipRequest, EthernetIpFraming, identity

PORT = 44818
_KINDS = {
    0x00: "device",
    0x02: "drive",
    0x0C: "communication module",
    0x0E: "controller",
    0x18: "panel",
    0x2B: "device",
}


async def found_at(search: Search) -> AsyncIterator[Discovered]:
    """The device at the host of a search, if it speaks EtherNet/IP."""
    for port in search.ports or (PORT,):
        await search.turn()
        line = RequestLine(f"{search.host}:{port}", EthernetIpFraming(), LineManners(protocol="EtherNet/IP"))
        try:
            await open_line(line, search.host, port)
        except (LinkError, OSError, TimeoutError):
            continue
        try:
            await search.turn()
            pace = AskingPace(search.timeout, search.timeout)
            (answer,) = await line.exchange([CipRequest(b"", LIST_IDENTITY)], pace)
            who = identity(answer) if isinstance(answer, bytes) else None
        except (LinkError, ValueError, struct.error):
            who = None
        finally:
            await line.close()
        if who is None:
            continue
        options = {"host": search.host} | ({} if port == PORT else {"port": port})
        about = [f"{_KINDS.get(who.device_type, 'device')} of vendor {who.vendor}, firmware {who.revision}"]
        tags = {"product": {"address": "@1/1/7", "type": "SHORT_STRING"}}
        yield Discovered(options, tags, who.name, about)
