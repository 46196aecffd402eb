"""What answers at an OPC UA port before there is a session: whoever is there, and no certificate was looked at yet."""

import struct
from typing import Any

from asyncua import ua

from tests.attack.attacks import Link, served
from tests.attack.opcua_wire import (
    CHANNEL,
    Conversation,
    device,
    endpoint,
    secured,
)

HUGE = 0xFFFF_FFF0


@served(device)
def header_of_4_gib(link: Link) -> None:
    """A header that claims 4 GiB, and bytes for it."""
    link.some()
    link.send(b"ACKF" + struct.pack("<I", HUGE))
    link.flood(bytes(1 << 16))


@served(device)
def giant_before_hello(link: Link) -> None:
    """A message of 1 GiB before the gateway has said a word."""
    link.send(b"MSGF" + struct.pack("<I", 1 << 30))
    link.flood(b"\x55" * (1 << 16))


@served(device)
def endless_chunks(link: Link) -> None:
    """The answer to open the channel comes in chunks of which none is the last."""
    talk = Conversation(link)
    talk.greet()
    talk.message()
    policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
    head = struct.pack("<Ii", CHANNEL, len(policy)) + policy + b"\xff" * 8
    for number in range(1, 1_000_000):
        body = head + struct.pack("<II", number, 1) + bytes(60_000)
        link.send(struct.pack("<4sI", b"OPNC", len(body) + 8) + body)


@served(device)
def empty_chunks(link: Link) -> None:
    """In a session, empty chunks of the answer to a request, by thousands a second."""

    def read(talk: Conversation, _: Any) -> None:
        while True:
            talk.link.send(b"".join(talk.chunk(b"MSGC", b"") for _ in range(3000)))

    Conversation(link, Read=read).run()


@served(device)
def chunks_of_many_answers(link: Link) -> None:
    """Chunks for a hundred thousand answers that nobody asked for, none of them complete."""

    def read(talk: Conversation, _: Any) -> None:
        for number in range(1_000_000):
            talk.link.send(b"".join(talk.chunk(b"MSGC", bytes(200), number * 100 + n) for n in range(100)))

    Conversation(link, Read=read).run()


@served(device)
def chunks_in_session(link: Link) -> None:
    """In a session, an answer of chunks without an end."""

    def read(talk: Conversation, _: Any) -> None:
        while True:
            talk.link.send(talk.chunk(b"MSGC", bytes(65000)))

    Conversation(link, Read=read).run()


@served(device)
def answers_unasked(link: Link) -> None:
    """In a session, small whole answers to requests that were never made."""

    def read(talk: Conversation, request: Any) -> None:
        body = talk.encoded(ua.ReadResponse(), 77)
        while True:
            talk.link.send(b"".join(talk.chunk(b"MSGF", body, 1_000_000 + n) for n in range(500)))

    Conversation(link, Read=read).run()


@served(device)
def acknowledges_nothing(link: Link) -> None:
    """Buffer sizes of zero and one in the acknowledgement of hello, then a good server."""
    talk = Conversation(link)
    talk.message()
    link.send(struct.pack("<4sIIIIII", b"ACKF", 28, 0xFFFFFFFF, 0, 1, 1, 1))
    while True:
        talk.step()


@served(device)
def error_of_a_gib(link: Link) -> None:
    """An error message whose reason claims to be 1 GiB, cut off; and a reason of escapes."""
    link.some()
    link.send(struct.pack("<4sIIi", b"ERRF", 60_000, 0x80010000, 1 << 30) + b"\x1b[2J\n" * 12_000)
    link.silence()


@served(device)
def drip(link: Link) -> None:
    """A good server behind a line of 60 bytes a second."""

    class Slow(Link):
        def send(self, data: bytes) -> None:
            self.drip(data, 1 / 60)

    Conversation(Slow(link.sock, link.port)).run()


@served(device)
def hello_of_strangers(link: Link) -> None:
    """Hellos, as a client sends them, without an end."""
    link.flood(struct.pack("<4sIIIIIIi", b"HELF", 36, 0, 65536, 65536, 0, 0, 0 + 0) * 2000)


@served(device)
def certificate_of_60_kb(link: Link) -> None:
    """Opens the channel with a policy and a certificate of 60 kB each that are noise."""
    talk = Conversation(link)
    talk.greet()
    talk.message()
    noise = struct.pack("<i", 29_000) + b"\xfe" * 29_000
    body = struct.pack("<I", CHANNEL) + noise + noise + struct.pack("<iII", -1, 1, 1)
    link.send(struct.pack("<4sI", b"OPNF", len(body) + 8) + body)
    link.silence()


@served(secured)
def odd_certificates(link: Link) -> None:
    """Offers two thousand endpoints whose certificates are no certificates, or nested 20,000 deep."""
    deep = b""
    for _ in range(4000):
        deep = b"\x30\x82" + struct.pack(">H", min(len(deep), 65535)) + deep

    def endpoints(_: Conversation, __: Any) -> Any:
        answer = ua.GetEndpointsResponse()
        said = {
            "SecurityMode": ua.MessageSecurityMode.SignAndEncrypt,
            "SecurityPolicyUri": "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256",
        }
        odd = [b"", b"\x30", deep, b"\x30\x80" * 4000, b"-----BEGIN CERTIFICATE-----\n", None]
        answer.Endpoints = [endpoint(ServerCertificate=odd[n % 6], **said) for n in range(2000)]
        return answer

    Conversation(link, GetEndpoints=endpoints).run()
