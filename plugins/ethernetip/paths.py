"""Paths of CIP: what a request is for, and by which modules it goes there. Segments are those of "CIP Networks Library",
volume 1, appendix C-1, padded."""

import re

_PART = re.compile(r"\s*[,/]\s*")


def symbol(name: str) -> bytes:
    """A tag, or a member of a structure, by its name."""
    raw = name.encode("ascii")
    return bytes([0x91, len(raw)]) + raw + b"\0" * (len(raw) % 2)


def logical(kind: int, number: int) -> bytes:
    """A class (0x20), instance (0x24), element (0x28) or attribute (0x30) by its number."""
    if number < 0x100:
        return bytes([kind, number])
    if number < 0x10000:
        return bytes([kind | 1, 0]) + number.to_bytes(2, "little")
    return bytes([kind | 2, 0]) + number.to_bytes(4, "little")


def to_class(number: int, instance: int) -> bytes:
    """An instance of a class."""
    return logical(0x20, number) + logical(0x24, instance)


def parse_route(text: str) -> bytes:
    """The way from the module that is dialled to the device that is meant: pairs of a port and an address behind it, such as
    "1,0" (slot 0 of the backplane) or "1,3,2,192.168.1.10,1,0"; "direct" for the module itself. Raises ValueError."""
    if text.strip().lower() in ("direct", ""):
        return b""
    parts = _PART.split(text.strip())
    if len(parts) % 2:
        raise ValueError(f'{text!r} is no route: write pairs of a port and an address, such as "1,0", or "direct"')
    return b"".join(_hop(text, port, link) for port, link in zip(parts[::2], parts[1::2], strict=True))


def _hop(text: str, port: str, link: str) -> bytes:
    if not port.isdecimal() or not port.isascii() or not 1 <= int(port) <= 14:
        raise ValueError(f"{text!r} is no route: {port!r} is no port; 1 is the backplane, 2 mostly a module's network")
    if link.isdecimal() and link.isascii():
        if int(link) > 255:
            raise ValueError(f"{text!r} is no route: addresses behind a port go from 0 to 255, or are an IP address")
        return bytes([int(port), int(link)])
    if not re.fullmatch(r"[A-Za-z0-9.:-]{1,60}", link):
        raise ValueError(f"{text!r} is no route: {link!r} is neither a number nor an IP address")
    raw = link.encode()
    return bytes([0x10 | int(port), len(raw)]) + raw + b"\0" * (len(raw) % 2)
