"""What comes from a server, in pieces and in forms that no server sends."""

import asyncio
from typing import Any

import pytest

from gateway.kit import Frames
from gateway.plugin import LinkError, RefusedError
from plugins.nats.proof import public_key, signed
from plugins.nats.protocol import (
    NatsFraming,
    parse_answer,
    parse_denied,
    parse_error,
    parse_info,
    subject_of,
)
from plugins.nats.session import NatsSession, Outgoing, Refusal
from tests.peers.nats_server import Key

STREAM = (
    b'INFO {"max_payload":1048576}\r\nPING\r\n+OK\r\nMSG _I.1 1 5\r\na\r\nbc\r\n'
    b"HMSG _I.22 1 16 18\r\nNATS/1.0 503\r\n\r\nok\r\n-ERR 'Stale Connection'\r\nPONG\r\n"
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_are_the_same_however_they_are_cut(step: int) -> None:
    frames, found = Frames(NatsFraming()), []
    for at in range(0, len(STREAM), step):
        frames.add(STREAM[at : at + step])
        while frame := frames.next():
            found.append(frame)
    assert b"".join(found) == STREAM
    assert [frame[:5] for frame in found] == [b"INFO ", b"PING\r", b"+OK\r\n", b"MSG _", b"HMSG ", b"-ERR ", b"PONG\r"]
    assert parse_answer(found[3], 3).payload == b"a\r\nbc"
    assert parse_answer(found[4], 3) == parse_answer(found[4], 3)
    assert (parse_answer(found[4], 3).number, parse_answer(found[4], 3).status) == (22, b"503")


@pytest.mark.parametrize(
    "said",
    [
        b"MSG a 1 -5\r\n",
        b"MSG a 1 1_0\r\n",
        b"MSG \r\n",
        b"MSG a 1 9999999999\r\n",
        b"MSG a 1 300000\r\n",
        b"A" * 70_000,
    ],
)
def test_what_can_be_no_frame_is_refused_before_it_is_waited_for(said: bytes) -> None:
    frames = Frames(NatsFraming())
    frames.add(said)
    with pytest.raises(ValueError, match=r"."):
        frames.next()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400",
        b"INFO",
        b"INFO []",
        b"INFO {",
        b'INFO {"max_payload":"x"}',
        b'INFO {"max_payload":5}',
        b"INFO {}",
    ],
)
def test_a_greeting_that_makes_no_sense_is_refused(said: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_info(said + b"\r\n")


def test_errors_are_read_as_servers_write_them() -> None:
    assert parse_error(b"-ERR 'Authorization Violation'\r\n") == "Authorization Violation"
    assert parse_denied('Permissions Violation for Publish to "a.b"') == ("publish", "a.b")
    assert parse_denied('Permissions Violation for Subscription to "_INBOX.x.*"') == ("subscription", "_INBOX.x.*")
    assert parse_denied("Authorization Violation") is None


@pytest.mark.parametrize(
    ("topic", "subject"),
    [("a/b", "a.b"), ("a.b/c d", "a_b.c_d"), ("a/*", "a._"), ("a>b", "a_b"), ("a\tb", "a_b"), ("é/ß", "é.ß")],
)
def test_levels_become_tokens(topic: str, subject: str) -> None:
    assert subject_of(topic) == subject


def test_a_seed_is_checked_before_it_is_used() -> None:
    key = Key("U")
    assert public_key(key.seed) == key.public
    for nonce in map(str, range(50)):
        assert set(signed(key.seed, nonce)).isdisjoint("=+/")
    mistyped = key.seed[:30] + ("A" if key.seed[30] != "A" else "B") + key.seed[31:]
    for seed in (key.public, Key("A").seed, mistyped, "", "SU", "x y"):
        with pytest.raises(RefusedError, match="nkey"):
            signed(seed, "nonce")
    with pytest.raises(RefusedError, match="asks for no signature"):
        signed(key.seed, "")


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


def session() -> tuple[NatsSession, Wire, list[Any], list[Any]]:
    taken: list[Any] = []
    refused: list[Any] = []
    made = NatsSession("nats", 4222, "_INBOX", taken.extend, lambda *each: refused.append(each))
    wire = Wire()
    made.connection_made(wire)
    made.data_received(b'INFO {"max_payload":1048576,"headers":true}\r\n')
    made.publish(
        [Outgoing(b"a.b", b"NATS/1.0\r\n\r\n", b"x", "first"), Outgoing(b"c", b"NATS/1.0\r\n\r\n", b"y", "second")]
    )
    return made, wire, taken, refused


def answer(to: NatsSession, number: int, payload: bytes) -> bytes:
    return b"MSG %b%d 1 %d\r\n%b\r\n" % (to._inbox, number, len(payload), payload)


async def test_answers_are_matched_by_number_and_count_once() -> None:
    made, _, taken, refused = session()
    made.data_received(answer(made, 2, b'{"stream":"S","seq":9}') * 2 + answer(made, 77, b'{"stream":"S","seq":10}'))
    assert (taken, refused, made.open) == (["second"], [], 1)
    made.data_received(
        answer(made, 1, b'{"error":{"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S"}')
    )
    assert refused == [("first", Refusal(10077, "maximum bytes exceeded", "S"))]
    assert not made.ended.done()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"seq":1}',
        b'{"stream":"S","seq":0}',
        b'{"stream":"S","seq":"1"}',
        b'{"stream":"S"',
        b"\xff",
    ],
)
async def test_what_is_no_acknowledgement_acknowledges_nothing_and_ends_the_connection(payload: bytes) -> None:
    made, _, taken, refused = session()
    made.data_received(answer(made, 1, payload))
    assert (taken, refused) == ([], [])
    assert isinstance(made.ended.result(), LinkError)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"-ERR 'User Authentication Expired'\r\n", RefusedError),
        (b"-ERR 'Authorization Violation'\r\n", RefusedError),
        (b"-ERR 'Stale Connection'\r\n", LinkError),
        (b"-ERR 'Maximum Payload Violation'\r\n", LinkError),
        (b"-ERR\r\n", LinkError),
        (b"GET / HTTP/1.1\r\n", LinkError),
        (b"MSG other.subject 1 2\r\nok\r\n", LinkError),
    ],
)
async def test_errors_of_the_server_end_the_connection(said: bytes, kind: type[Exception]) -> None:
    made, _, taken, _ = session()
    made.data_received(said)
    assert type(made.ended.result()) is kind
    assert not taken
    made.data_received(answer(made, 1, b'{"stream":"S","seq":9}'))
    assert not taken, "what comes afterwards is not heard"


async def test_a_denied_subject_refuses_what_is_open_under_it_alone() -> None:
    made, _, taken, refused = session()
    made.data_received(b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n" * 3)
    made.data_received(answer(made, 2, b'{"stream":"S","seq":9,"duplicate":true}'))
    assert [token for token, _ in refused] == ["first"]
    assert (taken, made.repeats) == (["second"], 1)


async def test_many_pings_are_answered_once_a_turn() -> None:
    made, wire, _, _ = session()
    before = len(wire.written)
    made.data_received(b"PING\r\n" * 50)
    assert wire.written[before:] == [b"PONG\r\n"]


async def test_words_behind_the_greeting_are_not_taken_for_the_encrypted_servers() -> None:
    made, _, _, _ = session()
    made.data_received(b"-ER")
    with pytest.raises(LinkError, match="more than its greeting"):
        await made._encrypt(True, parse_info(b'INFO {"max_payload":2000,"tls_required":true}'))
