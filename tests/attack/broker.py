"""What answers at a broker's port and is no good broker, or stands in for one (MQTT 5, OASIS 2019)."""

import time

from tests.attack.attacks import Link, Site, served


def sink(site: Site, **options: str) -> str:
    said = {"ack_timeout": '"5s"', "topic": '"plant/{device}"', **options}
    lines = "\n".join(f"{key} = {value}" for key, value in said.items())
    return f'\n[[sink]]\nname = "bad"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {site.ports[0]}\n{lines}\n'


def old(site: Site) -> str:
    return sink(site, protocol='"3.1.1"')


def six(site: Site) -> str:
    return "".join(
        f'\n[[sink]]\nname = "bad-{n}"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {port}\ntopic = "plant/{{device}}"\n'
        for n, port in enumerate(site.ports)
    )


def encrypted(site: Site) -> str:
    return sink(site, tls="true")


WELCOME = b"\x20\x03\x00\x00\x00"
WELCOME_3 = b"\x20\x02\x00\x00"


def length(size: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


def greet(link: Link, welcome: bytes = WELCOME) -> None:
    link.some()
    link.send(welcome)


def publish(qos: int, mid: int, size: int, topic: bytes = b"t") -> bytes:
    """A PUBLISH with MQTT 5's empty properties."""
    head = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + b"\0"
    return bytes([0x30 | qos << 1]) + length(len(head) + size) + head + bytes(size)


def packets(link: Link) -> list[tuple[int, bytes]]:
    """What came: whole packets of the gateway, as kind and body."""
    found = []
    data = link.some()
    while data:
        at, size, shift = 1, 0, 0
        while True:
            if at >= len(data):
                data += link.some()
            size |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                break
        while len(data) < at + size:
            data += link.some()
        found.append((data[0], data[at : at + size]))
        data = data[at + size :]
    return found


def mid_of(kind: int, body: bytes) -> bytes:
    """The packet identifier of a PUBLISH."""
    return body[2 + int.from_bytes(body[:2], "big") :][:2]


@served(sink)
def qos_2_unasked(link: Link) -> None:
    """QoS 2 messages that nobody subscribed to, each under an identifier of its own, never released."""
    greet(link)
    for begin in range(1, 10_000_000, 64):
        link.send(b"".join(publish(2, (begin + n) % 65535 + 1, 50_000) for n in range(64)))


@served(sink)
def qos_1_unasked(link: Link) -> None:
    """Small QoS 1 messages that nobody subscribed to, each of which wants an answer that nobody reads."""
    greet(link)
    link.flood(b"".join(publish(1, n, 1) for n in range(1, 5000)))


@served(sink)
def publish_of_256_mib(link: Link) -> None:
    """One PUBLISH of 256 MiB."""
    greet(link)
    link.send(b"\x30" + length(268_435_455) + b"\0\1t\0")
    for _ in range(4095):
        link.send(bytes(65536))
    link.silence()


@served(sink)
def publish_before_welcome(link: Link) -> None:
    """One PUBLISH of 256 MiB in place of the CONNACK."""
    link.some()
    link.send(b"\x30" + length(268_435_455))
    link.flood(bytes(65536))


@served(sink)
def welcome_of_256_mib(link: Link) -> None:
    """A CONNACK that says that it has 256 MiB of properties, and sends them."""
    link.some()
    link.send(b"\x20" + length(268_435_455) + b"\0\0" + length(268_435_440))
    link.flood(b"\x26\0\1a\0\1b" * 9000)


@served(sink)
def puback_of_256_mib(link: Link) -> None:
    """A PUBACK that says that it has 256 MiB of properties."""
    greet(link)
    link.send(b"\x40" + length(268_435_455) + b"\0\1\0" + length(268_435_440))
    link.flood(b"\x26\0\1a\0\1b" * 9000)


@served(sink)
def properties_by_the_hundred_thousand(link: Link) -> None:
    """DISCONNECT with two hundred thousand user properties."""
    greet(link)
    told = b"\x26\0\1a\0\1b" * 200_000
    body = b"\x8b" + length(len(told)) + told
    link.send(b"\xe0" + length(len(body)) + body)
    link.silence()


@served(sink)
def flood_of_pingresp(link: Link) -> None:
    """Answers to pings that were not sent."""
    greet(link)
    link.flood(b"\xd0\x00" * 32768)


@served(sink)
def flood_of_pubacks(link: Link) -> None:
    """Acknowledgements of messages that were not sent, of every identifier."""
    greet(link)
    link.flood(b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in range(1, 65535)))


@served(sink)
def flood_of_refusals(link: Link) -> None:
    """Refusals, each with other words, of messages that were not sent."""
    greet(link)
    words = [b"no %05d" % n for n in range(5000)]
    said = [b"\x1f" + len(each).to_bytes(2, "big") + each for each in words]
    bodies = [b"\0\1\x87" + length(len(each)) + each for each in said]
    link.flood(b"".join(b"\x40" + length(len(each)) + each for each in bodies))


@served(sink)
def flood_of_subacks(link: Link) -> None:
    """Answers to subscriptions that were not made, of every kind that MQTT has."""
    greet(link)
    kinds = (0x50, 0x62, 0x70, 0x90, 0xB0)
    link.flood(b"".join(bytes([kind]) + b"\x04\0\1\0\0" for kind in kinds * 3000))


@served(sink)
def flood_of_connacks(link: Link) -> None:
    """Welcomes without an end."""
    link.some()
    link.flood(WELCOME * 12_000)


@served(old)
def flood_in_3_1_1(link: Link) -> None:
    """MQTT 3.1.1: pings, acknowledgements and small messages that nobody asked for."""
    greet(link, WELCOME_3)
    link.flood((b"\xd0\x00" + b"\x40\x02\x12\x34" + b"\x30\x04\x00\x01t!" + b"\x62\x02\x00\x07") * 4000)


@served(sink)
def length_of_five_bytes(link: Link) -> None:
    """Lengths that do not end, byte by byte and at once."""
    greet(link)
    link.send(b"\x40\xff\xff\xff\xff\xff")
    link.flood(b"\xff" * 65536)


@served(sink)
def drip(link: Link) -> None:
    """The welcome, then right acknowledgements, byte by byte."""
    link.some()
    link.drip(WELCOME, 0.1)
    while True:
        for kind, body in packets(link):
            if kind & 0xF0 == 0x30:
                link.drip(b"\x40\x02" + mid_of(kind, body), 0.02)


@served(six)
def hang_up(link: Link) -> None:
    """Six brokers that hang up once the gateway has said its name."""
    link.some()


@served(six)
def hang_up_after_welcome(link: Link) -> None:
    """Six brokers that welcome the gateway and hang up."""
    greet(link)


@served(six)
def reset_after_first_message(link: Link) -> None:
    """Six brokers that reset the connection at the first message."""
    greet(link)
    link.some()
    link.reset()


@served(sink)
def never_acknowledges(link: Link) -> None:
    """Takes everything and acknowledges nothing."""
    greet(link)
    while True:
        if any(kind == 0xC0 for kind, _ in packets(link)):
            link.send(b"\xd0\x00")


@served(sink)
def never_reads(link: Link) -> None:
    """Welcomes the gateway and reads nothing any more."""
    greet(link)
    time.sleep(60)


@served(sink)
def acknowledges_others(link: Link) -> None:
    """Acknowledges each message under the identifier of another one, twice."""
    greet(link)
    while True:
        for kind, body in packets(link):
            if kind & 0xF0 == 0x30:
                mid = int.from_bytes(mid_of(kind, body), "big")
                link.send((b"\x40\x02" + (mid % 65535 + 1).to_bytes(2, "big")) * 2)


@served(sink)
def refuses_all(link: Link) -> None:
    """Refuses each message at once, with a reason of escapes that is no UTF-8."""
    greet(link)
    words = b"\x1b[2J\xff\r\n" * 40
    said = b"\x1f" + len(words).to_bytes(2, "big") + words
    while True:
        for kind, body in packets(link):
            if kind & 0xF0 == 0x30:
                told = mid_of(kind, body) + b"\x87" + length(len(said)) + said
                link.send(b"\x40" + length(len(told)) + told)


@served(sink)
def welcome_of_odd_limits(link: Link) -> None:
    """Welcomes with a receive maximum of 1, a packet size of 1, no retain, QoS 0, and a keep-alive of nothing."""
    told = b"\x21\0\1" + b"\x27\0\0\0\1" + b"\x25\0" + b"\x24\0" + b"\x13\0\0"
    greet(link, b"\x20" + length(3 + len(told)) + b"\0\0" + length(len(told)) + told)
    while True:
        for kind, body in packets(link):
            if kind & 0xF0 == 0x30:
                link.send(b"\x40\x02" + mid_of(kind, body))


@served(sink)
def welcome_of_zero_limits(link: Link) -> None:
    """Welcomes with limits of zero, which the standard forbids, and each twice."""
    told = (b"\x21\0\0" + b"\x27\0\0\0\0") * 2
    greet(link, b"\x20" + length(3 + len(told)) + b"\0\0" + length(len(told)) + told)
    link.silence()


@served(sink)
def refusal_of_connection_in_a_loop(link: Link) -> None:
    """Refuses the connection at once, each time with another code and a server reference of 60 kB."""
    where = b"x" * 60_000
    told = b"\x1c" + len(where).to_bytes(2, "big") + where
    body = bytes([0, 0x80 + int(time.monotonic() * 10) % 0x20]) + length(len(told)) + told
    link.some()
    link.send(b"\x20" + length(len(body)) + body)
    link.silence()


@served(encrypted)
def handshake_never_answered(link: Link) -> None:
    """Takes the beginning of a TLS handshake and says nothing."""
    link.silence()


@served(encrypted)
def handshake_without_end(link: Link) -> None:
    """TLS records of a handshake whose message says that it has 16 MiB."""
    link.some()
    link.send(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(0x4000 - 4))
    link.flood(b"\x16\x03\x03\x40\x00" + bytes(0x4000))
