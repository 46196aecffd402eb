"""Which addresses are meant by what a person writes: "192.168.10.0/28", "192.168.10.5-40", one address, or a host's name."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence

MOST = 1024
"""Addresses that are looked at in one go, a /22: a slip such as /8 is refused."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RangeError(ValueError):
    """What was written is no range, or too large a one; says what to write."""


def addresses(texts: Sequence[str]) -> list[str]:
    """All of them, each once, in the order in which they were written. Raises RangeError."""
    found: dict[str, None] = {}
    for text in texts:
        for address in _range(text.strip()):
            found[str(address)] = None
            if len(found) > MOST:
                raise RangeError(_too_many(text))
    return list(found)


def beyond_the_plant(found: Sequence[str]) -> list[str]:
    """Those that lie on the public internet."""
    return [each for each in found if ipaddress.ip_address(each).is_global]


def _range(text: str) -> Iterator[Address]:
    if "/" in text:
        yield from _network(text)
        return
    first, dash, last = text.rpartition("-")
    if dash and (begin := _address(first)) is not None:
        yield from _span(text, begin, last)
    elif (one := _address(text)) is not None:
        yield one
    else:
        yield from _named(text)


def _network(text: str) -> Iterator[Address]:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise RangeError(f'{text!r} is no range of addresses: write it as "192.168.10.0/28"') from None
    if network.num_addresses > MOST + 2:
        raise RangeError(_too_many(text))
    yield from network.hosts()


def _span(text: str, begin: Address, last: str) -> Iterator[Address]:
    """From an address to another, or to another last number, as in "192.168.10.5-40"."""
    end = _address(last)
    if end is None and last.isdigit() and isinstance(begin, ipaddress.IPv4Address):
        end = _address(f"{str(begin).rpartition('.')[0]}.{last}")
    if end is None or end.version != begin.version or int(end) < int(begin):
        raise RangeError(f'{text!r} is no range of addresses: write it as "192.168.10.5-40", the lower one first')
    if int(end) - int(begin) >= MOST:
        raise RangeError(_too_many(text))
    for number in range(int(begin), int(end) + 1):
        yield type(begin)(number)


def _named(text: str) -> Iterator[Address]:
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RangeError(
            f'{text!r} is no address, and no host of this name is known: write "192.168.10.0/28", "192.168.10.5-40" or '
            '"192.168.10.21"'
        ) from None
    yield ipaddress.ip_address(found[0][4][0])


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _too_many(text: str) -> str:
    return (
        f"{text!r} means more than {MOST} addresses: look at a part of the network at a time, such as 192.168.10.0/24, so "
        "that nobody's network is searched by a slip"
    )
