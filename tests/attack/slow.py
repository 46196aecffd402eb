"""Nobody hostile: peers that are honest, and slow or sloppy."""

import socket
import threading
import time

from tests.attack.attacks import Link, Site, served
from tests.attack.broker import WELCOME, mid_of, packets, sink
from tests.attack.modbus import answer, request
from tests.attack.opcua import device as opcua
from tests.attack.opcua_wire import Conversation
from tests.system.plant import modbus


def slow_device(site: Site) -> str:
    return modbus("slow", site.ports[0], floats=60, scan='"1s"', timeout='"2s"')


def many_slow(site: Site) -> str:
    return "".join(modbus(f"slow-{n}", port, scan='"100ms"', timeout='"2s"') for n, port in enumerate(site.ports))


@served(sink)
def link_of_2_kb(link: Link) -> None:
    """A good broker behind a line of 2 kB/s."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    data = b""
    while True:
        more = link.sock.recv(400)
        if not more:
            return
        data += more
        time.sleep(len(more) / 2000)
        while len(data) > 4 and len(data) >= (whole := _size(data)):
            if data[0] & 0xF0 == 0x30:
                link.send(b"\x40\x02" + mid_of(data[0], data[1 + _digits(data) : whole]))
            elif data[0] == 0xC0:
                link.send(b"\xd0\x00")
            elif data[0] == 0x10:
                link.send(WELCOME)
            data = data[whole:]


def _digits(data: bytes) -> int:
    return next(n for n in range(1, 5) if data[n] < 128)


def _size(data: bytes) -> int:
    digits = _digits(data)
    return 1 + digits + sum((data[1 + n] & 127) << 7 * n for n in range(digits))


@served(sink)
def broker_of_800_ms(link: Link) -> None:
    """A good broker that takes 800 ms for each acknowledgement, as over a satellite."""
    link.some()
    link.send(WELCOME)
    while True:
        for kind, body in packets(link):
            if kind & 0xF0 == 0x30:
                threading.Timer(0.8, link.send, [b"\x40\x02" + mid_of(kind, body)]).start()
            elif kind == 0xC0:
                link.send(b"\xd0\x00")


@served(slow_device)
def device_of_300_ms(link: Link) -> None:
    """A good Modbus device that takes 300 ms for each answer."""
    while True:
        asked = request(link)
        time.sleep(0.3)
        link.send(answer(*asked))


@served(many_slow)
def devices_that_close_when_idle(link: Link) -> None:
    """Six good devices that close each connection after one answer."""
    link.send(answer(*request(link)))


@served(opcua)
def server_of_500_ms(link: Link) -> None:
    """A good OPC UA server that takes half a second for each answer."""

    class Far(Link):
        def send(self, data: bytes) -> None:
            time.sleep(0.5)
            self.sock.sendall(data)

    Conversation(Far(link.sock, link.port)).run()
