"""Finds servers: at the port itself, and those that a discovery server there names (OPC 10000-12 §4)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.plugin import Discovered, LinkError, RefusedError, Search

if TYPE_CHECKING:
    from .session.scouting import Scouted

USUAL_PORT = 4840
MOST_NAMED = 20
"""Servers that a discovery server may name."""
_NO_SERVER = 3
"""ApplicationType of a discovery server (OPC 10000-4 §7.4)."""


async def find(search: Search) -> AsyncIterator[Discovered]:
    """What answers at one address."""
    if not search.host:
        return
    ports = list(search.ports or (USUAL_PORT,))
    seen: set[int] = set()
    while ports:
        port = ports.pop(0)
        seen.add(port)
        found = await _look(search, port)
        if found is None:
            continue
        if any(int(each.ApplicationType) != _NO_SERVER for each in found.applications) or not found.applications:
            yield await _with_types(_described(search.host, port, found), search, found)
        ports += [each for each in _named(found) if each not in seen and each not in ports][: MOST_NAMED - len(seen)]


async def _look(search: Search, port: int) -> "Scouted | None":
    """What a server there tells; None where there is none."""
    from .session.scouting import scout

    await search.turn()
    try:
        return await scout(f"opc.tcp://{_in_url(search.host)}:{port}", search.timeout)
    except (LinkError, RefusedError, OSError):
        return None


def _described(host: str, port: int, found: "Scouted") -> Discovered:
    options: dict[str, Any] = {"url": f"opc.tcp://{_in_url(host)}:{port}{_path(found)}", **found.options()}
    return Discovered(options, {"server_time": {"address": "i=2258"}}, found.name, found.about())


async def _with_types(described: Discovered, search: Search, found: "Scouted") -> Discovered:
    """With what it offers of known types, where a person has named this server, and it tells that to everybody."""
    from .companions.looking import look

    if not search.named:
        return described
    if not found.open_to_all:
        why = "its types are not told without protection and login: edge-gateway browse --types, once it is configured"
        return replace(described, about=[*described.about, why])
    offers, missing = await look(str(described.options["url"]), search)
    return replace(described, offers=offers, about=[*described.about, *missing])


def _path(found: "Scouted") -> str:
    """What stands behind the port in the URLs of its endpoints; some servers listen to that alone."""
    paths = {urlsplit(str(each.EndpointUrl)).path for each in found.endpoints}
    path = paths.pop() if len(paths) == 1 else ""
    return path if path != "/" and path.isascii() and path.isprintable() and len(path) < 200 else ""


def _named(found: "Scouted") -> Sequence[int]:
    """The ports of servers that are told of. Their host is the one that was asked: what name it gives itself need mean
    nothing here."""
    ports = []
    itself = {str(each.ApplicationUri) for each in found.applications}
    for server in found.servers:
        if str(server.ApplicationUri) in itself:
            continue
        for url in server.DiscoveryUrls or ():
            try:
                parts = urlsplit(str(url))
                port = parts.port
            except ValueError:
                continue
            if parts.scheme == "opc.tcp" and port is not None:
                ports.append(port)
    return list(dict.fromkeys(ports))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
