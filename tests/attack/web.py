"""Whoever reaches the page's port."""

import contextlib
import itertools
import socket
import time
from collections.abc import Callable

from tests.attack.attacks import Site, beside
from tests.attack.neighbour import ending, open_many, together


def page(site: Site) -> str:
    return f'\n[[service]]\nname = "page"\nplugin = "web"\nport = {site.ports[0]}\n'


def dial(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.ports[0]), timeout=10)


def request(site: Site, path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.ports[0]}\r\n{more}\r\n".encode()


def sending(data: Callable[[Site], bytes], count: int) -> Callable[[Site], None]:
    """So many connections at a time that send this again and again and read nothing."""

    def play(site: Site) -> None:
        def send() -> None:
            with dial(site) as sock:
                going = ending()
                while going():
                    sock.sendall(data(site))

        together(count, send)

    return play


@beside(page, seconds=6.0)
def silent_thousand(site: Site) -> None:
    """A thousand connections that say nothing, made anew when they end."""
    open_many()
    kept: list[socket.socket] = []
    going = ending()
    while going():
        with contextlib.suppress(OSError):
            kept.append(dial(site))
        del kept[:-1000]


@beside(page, seconds=6.0)
def drips(site: Site) -> None:
    """Three hundred requests that come byte by byte and never end."""

    def drip() -> None:
        with dial(site) as sock:
            for byte in request(site, "/metrics", "X: " + "y" * 15_000):
                sock.sendall(bytes([byte]))
                time.sleep(0.3)

    together(300, drip)


@beside(page, seconds=6.0)
def requests_without_end(site: Site) -> None:
    """Twenty connections with a hundred requests for metrics in one write, again and again, whose answers nobody reads."""
    sending(lambda site: request(site, "/metrics") * 100, 20)(site)


@beside(page, seconds=15.0)
def slow_viewers(site: Site) -> None:
    """A hundred viewers of all values, half of whom read nothing, half a byte in 0.2 s; and a hundred who are refused."""

    def watch(each: int) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", site.ports[0]))
            sock.sendall(request(site, "/api/v1/stream/values"))
            going = ending()
            while going():
                time.sleep(0.2)
                if each % 2:
                    sock.recv(1)

    numbers = itertools.count()
    together(200, lambda: watch(next(numbers)))


@beside(page, seconds=6.0)
def heads_without_end(site: Site) -> None:
    """Twenty requests whose head does not end."""
    sending(lambda site: request(site, "/", "X: y\r\n" * 4000)[:-2], 20)(site)


@beside(page, seconds=6.0)
def bodies_without_end(site: Site) -> None:
    """Twenty requests with a body in chunks of a byte each, with extensions, without an end."""
    chunks = b"1;" + b"x" * 1000 + b"\r\ny\r\n"

    def send() -> None:
        with dial(site) as sock:
            head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{site.ports[0]}\r\nTransfer-Encoding: chunked\r\n\r\n"
            sock.sendall(head.encode())
            while True:
                sock.sendall(chunks * 60)

    together(20, send)


@beside(page, seconds=6.0)
def noise(site: Site) -> None:
    """Twenty connections that send what is no HTTP: zeros, TLS, HTTP/2, halves of lines."""
    kinds = (
        b"\0" * 65536,
        b"\x16\x03\x01\x02\x00" * 9000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 2000,
        b"GET / HTTP/9.9\r\n\r\n" * 3000,
    )

    def send() -> None:
        for kind in kinds:
            with contextlib.suppress(OSError), dial(site) as sock:
                sock.sendall(kind)

    together(20, send)
