"""A broker that attacks whoever connects to it, over plain sockets, in a process of its own.

    with hostile_broker("giant-message") as port:
        ...

As a program: `python hostile_broker.py giant-message --port 1884` prints `listening PORT` and a line for each connection.
`python hostile_broker.py` lists the modes. What is in AFTER follows an honest CONNACK and is sent for as long as it is taken,
while messages are read and, unless the mode says otherwise, acknowledged.
"""

import argparse
import itertools
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

Stream = Callable[[], Iterator[bytes]]


def packet(first: int, body: bytes = b"") -> bytes:
    """One MQTT packet."""
    length, left = b"", len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length += bytes((byte | 0x80 if left else byte,))
        if not left:
            return bytes((first,)) + length + body


def welcome(properties: bytes = b"", five: bool = True) -> bytes:
    """A CONNACK that says yes."""
    return packet(0x20, b"\0\0" + (bytes((len(properties),)) + properties if five else b""))


def again(block: bytes, size: int = 1 << 16) -> Stream:
    """The same packet without end, many in one write."""
    many = block * max(1, size // len(block))
    return lambda: itertools.repeat(many)


def once(*blocks: bytes) -> Stream:
    """These, and then nothing."""
    return lambda: iter(blocks)


def endless(start: bytes) -> Stream:
    """A packet that begins like this, and has no end."""
    return lambda: itertools.chain([start], itertools.repeat(bytes(1 << 16)))


def drip(block: bytes, pause: float) -> Stream:
    """One byte after the other, for ever."""

    def stream() -> Iterator[bytes]:
        for byte in itertools.cycle(block):
            yield bytes((byte,))
            time.sleep(pause)

    return stream


def _storm(qos: int, size: int = 1) -> Stream:
    def stream() -> Iterator[bytes]:
        for start in itertools.count(0, 1000):
            yield b"".join(_message(qos, (start + n) % 65535 + 1, bytes(size)) for n in range(1000))

    return stream


def _message(qos: int, mid: int, payload: bytes) -> bytes:
    number = mid.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, b"\0\1a" + number + b"\0" + payload)


def _acknowledgements() -> Iterator[bytes]:
    for start in itertools.count(0, 1000):
        yield b"".join(packet(0x40, ((start + n) % 65535 + 1).to_bytes(2, "big")) for n in range(1000))


_HUGE = b"\xff\xff\xff\x7f"  # 256 MiB
_ESCAPES = b"\x1b[2J\r\nall is well \xe2\x80\xae" * 500
_TEXT = b"\x1f" + len(_ESCAPES).to_bytes(2, "big") + _ESCAPES
_BEFORE_NUMBER = b"\x40\x80\xa0\x01"  # a PUBACK of 20,480 bytes

INSTEAD: dict[str, Stream] = {
    "silence": once(),
    "close": once(b""),
    "giant-welcome": endless(b"\x20" + _HUGE),
    "welcome-of-five-length-bytes": endless(b"\x20\xff\xff\xff\xff\xff\x01"),
    "dripping-welcome": drip(b"\x20\x80\x80\x01" + bytes(16384), 0.2),
    "flood-before-welcome": again(packet(0xD0)),
    "messages-before-welcome": _storm(0),
    "authentication-before-welcome": again(packet(0xF0, b"\x18\0")),
    "noise": again(bytes(range(256))),
    "receive-maximum-0": once(welcome(b"\x21\0\0")),
    "packet-size-0": once(welcome(b"\x27\0\0\0\0")),
    "packet-size-5": once(welcome(b"\x27\0\0\0\5")),
    "welcome-with-half-a-property": once(packet(0x20, b"\0\0\x05\x21\0")),
    "welcome-with-unknown-property": once(welcome(b"\x7e\0\0")),
    "welcome-with-properties-beyond-its-end": once(packet(0x20, b"\0\0\xff\xff\xff\x7f")),
    "welcome-with-text-that-is-none": once(welcome(b"\x1f\0\4\xff\xfe\0\x1b")),
    "refusal-with-escapes": once(packet(0x20, b"\0\x87\x0e\x1f\0\x0b\x1b[2J\r\nroot#")),
}
"""What is said in place of a proper CONNACK."""

AFTER: dict[str, Stream] = {
    "giant-message": endless(b"\x30" + _HUGE),
    "message-storm": _storm(0),
    "qos-1-storm": _storm(1),
    "qos-2-storm": _storm(2, 1000),
    "pings": again(packet(0xC0)),
    "ping-answers": again(packet(0xD0)),
    "giant-ping-answer": endless(b"\xd0" + _HUGE),
    "acknowledgements": lambda: _acknowledgements(),
    "giant-acknowledgement": endless(b"\x40" + _HUGE),
    "long-acknowledgements": again(_BEFORE_NUMBER + bytes(20_480)),
    "acknowledgement-of-nothing": again(packet(0x40)),
    "acknowledgement-of-five-length-bytes": endless(b"\x40\xff\xff\xff\xff\xff\x01"),
    "receipts": again(packet(0x50, b"\0\1")),
    "releases": again(packet(0x62, b"\0\1")),
    "completions": again(packet(0x70, b"\0\1")),
    "subscription-answers": again(packet(0x90, b"\0\1\0\0")),
    "unsubscription-answers": again(packet(0xB0, b"\0\1\0\0")),
    "subscriptions": again(packet(0x82, b"\0\1\0\0\1#\0")),
    "welcomes": again(welcome()),
    "authentication": again(packet(0xF0, b"\x18\0")),
    "type-0": again(packet(0x00)),
    "giant-good-bye": endless(b"\xe0" + _HUGE),
    "good-bye-with-escapes": once(packet(0xE0, b"\x98" + packet(0, _TEXT)[1:])),
    "good-bye-with-broken-properties": once(packet(0xE0, b"\x98\x05\x1f\xff\xff")),
    "dripping-message": drip(b"\x40\x80\x7f" + bytes(16256), 0.2),
    "noise-later": again(bytes(range(255, -1, -1))),
}

NO_ANSWERS = {"dripping-message"}
"""Modes that leave messages unanswered."""


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._lock = threading.Lock()

    def read(self) -> tuple[int, bytes]:
        """First byte and body of the next packet. Raises EOFError at the end."""
        first, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (block := self.sock.recv(size - len(data))):
                raise EOFError
            data += block
        return bytes(data)

    def say(self, data: bytes) -> None:
        """Whole blocks, from any thread."""
        with self._lock:
            self.sock.sendall(data)

    def answer(self) -> None:
        """Acknowledge messages and answer pings, until the connection ends."""
        with suppress(OSError, EOFError):
            while True:
                first, body = self.read()
                if first & 0xF6 == 0x32:
                    at = 2 + int.from_bytes(body[:2], "big")
                    self.say(packet(0x40, body[at : at + 2]))
                elif first == 0xC0:
                    self.say(packet(0xD0))


def attack(mode: str, sock: socket.socket) -> None:
    """Serve one connection."""
    client = Client(sock)
    with suppress(OSError, EOFError), sock:
        _, body = client.read()
        if mode not in INSTEAD:
            client.say(welcome(five=body[6] == 5))
        if mode not in NO_ANSWERS:
            threading.Thread(target=client.answer, daemon=True).start()
        for block in (INSTEAD.get(mode) or AFTER[mode])():
            if not block:
                return
            client.say(block)
        while sock.fileno() >= 0:
            time.sleep(0.1)


def _hang_up(client: Client, number: bytes) -> None:
    client.sock.shutdown(socket.SHUT_RDWR)


def _reset(client: Client, number: bytes) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def _refuse(client: Client, number: bytes) -> None:
    client.say(packet(0x40, number + b"\x87\0"))


OFFENCE = {"hang-up": _hang_up, "reset": _reset, "refuse": _refuse}
"""How a broker that is honest otherwise answers a message on a topic that begins with `hated`, or that is larger than
`largest`."""


class Taken:
    """Messages that were acknowledged, as topic and size; printed as they come."""

    def __init__(self, hated: str, largest: int, offence: str) -> None:
        self.hated = hated.encode()
        self.largest = largest
        self.offend = OFFENCE[offence]

    def serve(self, sock: socket.socket) -> None:
        """One connection."""
        client = Client(sock)
        with suppress(OSError, EOFError), sock:
            _, body = client.read()
            client.say(welcome(five=body[6] == 5))
            while True:
                first, body = client.read()
                if first == 0xC0:
                    client.say(packet(0xD0))
                elif first & 0xF0 == 0x30:
                    at = 2 + int.from_bytes(body[:2], "big")
                    if (self.hated and body[2:at].startswith(self.hated)) or len(body) > self.largest:
                        self.offend(client, body[at : at + 2])
                        continue
                    print(f"taken {body[2:at].decode()}\t{body[at + 2 :].lstrip(bytes(1)).decode()}", flush=True)
                    client.say(packet(0x40, body[at : at + 2]))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A broker that attacks")
    parser.add_argument("mode", nargs="?", choices=[*INSTEAD, *AFTER, *OFFENCE])
    parser.add_argument("--hated", default="", help="what an offending topic begins with")
    parser.add_argument("--largest", type=int, default=1 << 28, help="bytes of a message that gives no offence")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0 takes a free one")
    options = parser.parse_args()
    if options.mode is None:
        print("\n".join([*INSTEAD, *AFTER, *OFFENCE]))
        return
    if options.mode in OFFENCE:
        serve = Taken(options.hated, options.largest, options.mode).serve
    else:
        serve = partial(attack, options.mode)
    with socket.create_server(("127.0.0.1", options.port)) as server:
        print(f"listening {server.getsockname()[1]}", flush=True)
        while True:
            sock, _ = server.accept()
            print("connection", flush=True)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


@contextmanager
def hostile_broker(mode: str, *arguments: str, log: Path | None = None) -> Iterator[int]:
    """One that runs in a process; its port. `log` gets what it prints after that."""
    command = [sys.executable, str(Path(__file__).resolve()), mode, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        out = log or Path(folder, "out")
        with out.open("w") as file, subprocess.Popen(command, stdout=file) as process:
            try:
                yield _port(out)
            finally:
                process.kill()


def _port(out: Path) -> int:
    deadline = time.monotonic() + 30
    while "\n" not in (text := out.read_text()):
        assert time.monotonic() < deadline, "the hostile broker does not start"
        time.sleep(0.01)
    return int(text.split()[1])


if __name__ == "__main__":
    main()
