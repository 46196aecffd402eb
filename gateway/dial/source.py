"""Has a socket leave by one interface, on machines that stand in two networks."""

import errno
import fcntl
import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path

_SIOCGIFADDR = 0x8915
_IF_INET6 = Path("/proc/net/if_inet6")
_LINK_LOCAL = "20"
"""Scope of an address, as that file writes it (net/ipv6.h)."""
_UNUSABLE, _DEPRECATED = 0x40 | 0x08, 0x20
"""Its flags (linux/if_addr.h): tentative, or found to be another machine's too; and one that is not to be begun with."""


class SourceError(OSError):
    """The far side's address cannot be reached from `source`."""


def leave_by(sock: socket.socket, source: str, target: str) -> None:
    """Bind a socket of AF_INET or AF_INET6, before it connects to the address `target`. Raises SourceError."""
    try:
        ipaddress.ip_address(source.partition("%")[0])
        address = source
    except ValueError:
        address = _address_of(source, sock.family, target)
        with suppress(PermissionError):  # before Linux 5.7; the address then says which interface
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.encode())
    if (":" in address) != (sock.family == socket.AF_INET6):
        raise SourceError(f"source {source} is IPv{6 if ':' in address else 4}, and the far side's address is not")
    try:
        sock.bind(socket.getaddrinfo(address, 0, sock.family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise SourceError(f"source {source} is no address of this machine (ip address shows them)") from error
        raise


def _address_of(interface: str, family: int, target: str) -> str:
    if interface not in {name for _, name in socket.if_nameindex()}:
        there = ", ".join(name for _, name in socket.if_nameindex())
        raise SourceError(f'source: this machine has no network interface "{interface}", but {there}')
    found = _ipv4(interface) if family == socket.AF_INET else _ipv6(interface, target.lower().startswith("fe80"))
    if not found:
        raise SourceError(
            f"source: {interface} has no IPv{4 if family == socket.AF_INET else 6} address: is its cable in?"
        )
    return found


def _ipv4(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("256s", interface.encode()[:15])
        with suppress(OSError):
            return socket.inet_ntoa(fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, asked)[20:24])
    return ""


def _ipv6(interface: str, link_local: bool) -> str:
    """An address that can be bound to now: one that just came is looked at by the kernel first, for a second or two."""
    found: list[tuple[int, str]] = []
    with suppress(OSError):
        for line in _IF_INET6.read_text().splitlines():
            digits, _, _, scope, flags, name = line.split()
            if name == interface and (scope == _LINK_LOCAL) == link_local and not int(flags, 16) & _UNUSABLE:
                found.append((int(flags, 16) & _DEPRECATED, str(ipaddress.IPv6Address(bytes.fromhex(digits)))))
    if not found:
        return ""
    _, address = min(found, key=lambda each: each[0])
    return f"{address}%{interface}" if link_local else address
