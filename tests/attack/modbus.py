"""What answers at a Modbus port and is no good device."""

import os
import socket
import struct
import time
import tty

from tests.attack.attacks import Link, Site, beside, served
from tests.system.plant import modbus


def device(site: Site) -> str:
    return modbus("bad", site.ports[0], scan='"100ms"', timeout='"1s"')


def six(site: Site) -> str:
    return "".join(modbus(f"bad-{n}", port, scan='"50ms"', timeout='"500ms"') for n, port in enumerate(site.ports))


def request(link: Link) -> tuple[int, int, int, int]:
    """The next request: transaction, unit, function, count."""
    transaction, _, length, unit, function = struct.unpack(">HHHBB", link.read(8))
    body = link.read(length - 2)
    return transaction, unit, function, struct.unpack_from(">H", body, 2)[0] if len(body) >= 4 else 1


def answer(transaction: int, unit: int, function: int, count: int) -> bytes:
    """A good one."""
    data = bytes(2 * count)
    return struct.pack(">HHHBBB", transaction, 0, 3 + len(data), unit, function, len(data) & 255) + data


@served(device)
def endless_zeros(link: Link) -> None:
    """Zeros without an end, unasked."""
    link.flood(bytes(1 << 16))


@served(device)
def endless_answer_of_right_begin(link: Link) -> None:
    """An answer that begins rightly and says that 65,535 bytes follow, without an end."""
    while True:
        transaction, unit, function, _ = request(link)
        link.send(struct.pack(">HHHBBB", transaction, 0, 65535, unit, function, 250))
        link.flood(b"\xaa" * 65536)


@served(device)
def whole_answers_unasked(link: Link) -> None:
    """Small right answers to nothing, as many as the line takes."""
    link.flood(b"".join(answer(n, 1, 3, 2) for n in range(5000)))


@served(device)
def empty_frames(link: Link) -> None:
    """Headers that say that one byte follows."""
    link.flood(struct.pack(">HHHB", 1, 0, 1, 1) * 9000)


@served(device)
def headers_of_length_zero(link: Link) -> None:
    """Headers that say that nothing follows."""
    link.flood(struct.pack(">HHH", 1, 0, 0) * 10000)


@served(device)
def thousand_answers_each(link: Link) -> None:
    """Each answer comes a thousand times."""
    while True:
        link.send(answer(*request(link)) * 1000)


@served(device)
def drip(link: Link) -> None:
    """The answer comes byte by byte, each just before patience ends."""
    while True:
        link.drip(answer(*request(link)), 0.4)


@served(device)
def wrong_ids(link: Link) -> None:
    """Each answer carries the number of another request, then of all others in turn."""
    while True:
        _, unit, function, count = request(link)
        link.send(b"".join(answer(n, unit, function, count) for n in range(0, 65536, 97)))


@served(device)
def exceptions_of_every_code(link: Link) -> None:
    """Refusals with codes that do not exist, at once."""
    code = 0
    while True:
        transaction, unit, function, _ = request(link)
        code = (code + 1) & 255
        link.send(struct.pack(">HHHBBB", transaction, 0, 3, unit, function | 128, code))


@served(device)
def accept_and_silence(link: Link) -> None:
    """Takes each connection and says nothing."""
    link.silence()


@served(six)
def accept_and_reset(link: Link) -> None:
    """Six devices that reset each connection at once."""
    link.reset()


@served(six)
def answer_and_reset(link: Link) -> None:
    """Six devices that answer once and reset: each connection seems good."""
    link.send(answer(*request(link)))
    link.reset()


@served(six)
def six_floods(link: Link) -> None:
    """Six devices that send refusals of function 255 without an end."""
    link.flood(struct.pack(">HHHBBB", 7, 0, 3, 255, 255, 255) * 7000)


@served(device)
def not_modbus(link: Link) -> None:
    """An HTTP server with a page that does not end."""
    link.some()
    link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    link.flood(b"10000\r\n" + b"A" * 65536 + b"\r\n")


@served(device)
def shut_half(link: Link) -> None:
    """Answers, then closes its half and keeps the rest open."""
    link.send(answer(*request(link)))
    link.sock.shutdown(socket.SHUT_WR)
    link.silence()


@served(device)
def urgent_bytes(link: Link) -> None:
    """TCP's urgent bytes among answers."""
    while True:
        good = answer(*request(link))
        link.sock.send(b"!", socket.MSG_OOB)
        link.send(good)


def over_udp(site: Site) -> str:
    return modbus("bad", site.ports[0], scan='"100ms"', timeout='"1s"', transport='"udp"')


@beside(over_udp)
def udp_flood(site: Site) -> None:
    """Datagrams of all sizes at the gateway's socket, from the device's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", site.ports[0]))
        _, gateway = sock.recvfrom(65536)
        sizes = [b"", b"\0" * 7, b"\1" * 260, b"\xff" * 1400, answer(1, 1, 3, 8), b"\0" * 60000]
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for each in sizes:
                sock.sendto(each, gateway)


def on_a_serial_line(site: Site) -> str:
    text = modbus("bad", 502, scan='"100ms"', timeout='"1s"', transport='"rtu"', serial='"hostile/line"')
    return text.replace('host = "127.0.0.1"\nport = 502\n', "")


@beside(on_a_serial_line)
def serial_flood(site: Site) -> None:
    """A serial line on which noise comes without an end, as from a wrong baud rate."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    (site.folder / "line").unlink(missing_ok=True)
    (site.folder / "line").symlink_to(os.ttyname(theirs))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        os.write(ours, b"\x01\x03\x55" * 1000)
