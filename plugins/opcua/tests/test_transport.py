"""What is received is bounded before it is believed, and a cancellation is neither lost nor made up."""

import asyncio
import struct
from contextlib import suppress

import pytest
from asyncua import ua
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_to_binary, uatcp_to_binary
from asyncua.ua.uaerrors import BadRequestTooLarge

from gateway.plugin import contained
from plugins.opcua.session.transport import STRANGER, TRUSTED, BoundedProtocol
from plugins.opcua.values.bounds import Measured, NotUnderstoodError, decoded
from plugins.opcua.values.extent import data_value_end


class Wire(asyncio.Transport):
    """What is written is kept; reading can be paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.paused = False
        self.aborted = False

    def write(self, data):
        self.written.append(data)

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True


@pytest.fixture
async def protocol():
    made = BoundedProtocol(5.0, SecurityPolicyNone())
    made.connection_made(Wire())
    return made


def chunk(body: bytes, number: int, *, kind: bytes = b"F", request: int = 1) -> bytes:
    head = struct.pack("<IIII", 0, 0, number, request)
    return struct.pack("<3scI", b"MSG", kind, 8 + len(head) + len(body)) + head + body


def asked(protocol: BoundedProtocol) -> asyncio.Future:
    return protocol._send_request(ua.ReadRequest())


ANSWER = struct_to_binary(ua.ReadResponse())


async def test_an_answer_in_many_pieces_arrives_whole(protocol):
    future = asked(protocol)
    data = chunk(ANSWER[:10], 1, kind=b"C") + chunk(ANSWER[10:], 2)
    for byte in data:
        protocol.data_received(bytes([byte]))
    assert bytes(await future)[: len(ANSWER)] == ANSWER


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (struct.pack("<3scI", b"MSG", b"F", 0xFFFF_FFFF), "begins a chunk of 4294967295 bytes"),
        (struct.pack("<3scI", b"MSG", b"F", 8), "begins a chunk of 8 bytes"),
        (struct.pack("<3scI", b"ACK", b"F", 60_000), "begins a chunk of 60000 bytes"),
        (b"HTTP/1.1 400 Bad Request", "BadTcpMessageTypeInvalid"),
        (chunk(b"", 1, request=9), "never made"),
        (uatcp_to_binary(ua.MessageType.Hello, ua.Hello()), "BadTcpMessageTypeInvalid"),
    ],
)
async def test_what_no_server_sends_ends_the_connection_at_its_header(protocol, data, told):
    future = asked(protocol)
    protocol.data_received(data)
    assert protocol.transport.aborted
    assert told in f"{future.exception()!r} {type(future.exception()).__name__}"


@pytest.mark.parametrize("body", [b"", bytes(60_000)])
async def test_chunks_without_end_are_cut_off(protocol, body):
    future = asked(protocol)
    sent = 0
    while not protocol.transport.aborted:
        sent += 1
        protocol.data_received(chunk(body, sent, kind=b"C"))
        await asyncio.sleep(0)
        assert sent <= STRANGER.chunks + 1
    assert "the server sends a message of more than" in str(future.exception())
    assert not protocol._received


@pytest.mark.parametrize("end", ["beyond bounds", "lost"])
async def test_what_came_of_an_answer_is_free_when_the_connection_ends(protocol, end):
    protocol.trust()
    future = asked(protocol)
    for number in range(1, 9):
        protocol.data_received(chunk(bytes(60_000), number, kind=b"C"))
    if end == "lost":
        protocol.connection_lost(None)
    else:
        protocol.data_received(struct.pack("<3scI", b"MSG", b"F", 0xFFFF_FFFF))
        assert protocol.reason.__traceback__ is None, (
            "its frames hold the chunk, and this object, which holds the reason"
        )
    assert future.exception() is not None
    assert not protocol._received
    assert not protocol._connection._incoming_parts


async def test_a_trusted_server_may_send_more_than_a_stranger(protocol):
    protocol.trust()
    future = asked(protocol)
    for number in range(40):
        protocol.data_received(chunk(bytes(60_000), number + 1, kind=b"C"))
        await asyncio.sleep(0)
    protocol.data_received(chunk(b"", 41))
    while not future.done():
        await asyncio.sleep(0)
    assert len(await future) == 40 * 60_000 < TRUSTED.message


async def test_while_much_is_worked_on_reading_pauses_and_others_have_their_turn(protocol):
    futures = [asked(protocol) for _ in range(400)]
    protocol.data_received(b"".join(chunk(ANSWER, each + 1, request=each + 1) for each in range(400)))
    assert protocol.transport.paused
    assert 0 < sum(future.done() for future in futures) < 400
    while protocol.transport.paused:
        await asyncio.sleep(0)
    assert all(future.done() for future in futures)


async def test_a_message_that_the_server_gives_up_is_that_requests_trouble(protocol):
    first, second = asked(protocol), asked(protocol)
    reason = struct_to_binary(ua.ErrorMessage(ua.StatusCode(ua.StatusCodes.BadResponseTooLarge), "too large"))
    protocol.data_received(chunk(ANSWER, 1, kind=b"C") + chunk(reason, 2, kind=b"A") + chunk(ANSWER, 3, request=2))
    assert first.exception().code == ua.StatusCodes.BadResponseTooLarge
    assert not second.exception()


async def test_an_answer_that_comes_twice_is_counted_and_passed_over(protocol):
    future = asked(protocol)
    protocol.data_received(chunk(ANSWER, 1) + chunk(ANSWER, 2))
    assert await future
    assert (protocol.surplus, protocol.reason) == (1, None)


@pytest.mark.parametrize(("told", "size"), [(0, 1024), (1, 1024), (2**32 - 1, 65536), (8192, 8192)])
async def test_sizes_in_an_acknowledgement_that_make_no_sense_are_not_believed(protocol, told, size):
    protocol.limits.update_client_limits(ua.Acknowledge(ReceiveBufferSize=told, SendBufferSize=told))
    assert protocol.limits.max_send_buffer == size


async def test_a_request_larger_than_the_server_takes_is_not_sent(protocol):
    protocol.limits.update_client_limits(ua.Acknowledge(MaxMessageSize=1000))
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId("x" * 900, 2))] * 2
    with pytest.raises(BadRequestTooLarge):
        protocol._send_request(request)
    assert not protocol.transport.written


@pytest.mark.parametrize("seconds_first", [True, False])
async def test_a_time_out_that_comes_with_the_answer_is_a_time_out(protocol, seconds_first):
    """asyncua's own wait raises a subclass of CancelledError then, which asyncio.timeout lets through."""
    loop = asyncio.get_running_loop()

    async def ask(begun: asyncio.Event) -> Buffer:
        async with asyncio.timeout(None) as limit:
            begun.limit = limit
            loop.call_soon(begun.set)
            return await contained(protocol.send_request(ua.ReadRequest()))

    begun = asyncio.Event()
    task = asyncio.create_task(ask(begun))
    await begun.wait()
    steps = [lambda: begun.limit.reschedule(loop.time() - 1), lambda: protocol.data_received(chunk(ANSWER, 1))]
    for step in steps if seconds_first else steps[::-1]:
        step()
    with suppress(TimeoutError):
        await task
    assert not task.cancelled()


@pytest.mark.parametrize("order", [0, 1])
async def test_a_cancellation_that_comes_with_the_answer_is_heeded(protocol, order):
    task = asyncio.create_task(contained(protocol.send_request(ua.ReadRequest())))
    await asyncio.sleep(0)
    steps = [task.cancel, lambda: protocol.data_received(chunk(ANSWER, 1))]
    for step in steps if order else steps[::-1]:
        step()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert type(caught.value) is asyncio.CancelledError


@pytest.mark.parametrize("length", [-7, -2, 2**31 - 1])
def test_lengths_that_go_backwards_or_beyond_are_refused(length):
    with pytest.raises(NotUnderstoodError):
        decoded(ua.LocalizedText, Measured(b"\2" + struct.pack("<i", length) + b"abc"))


@pytest.mark.parametrize("body", [b"\x18" * 100_000, b"\x17\x01" * 100_000])
def test_what_is_nested_without_end_is_refused(body):
    with pytest.raises(NotUnderstoodError, match="nested too deep"):
        decoded(ua.DataValue, Measured(b"\1" + body))
    with pytest.raises(NotUnderstoodError, match="nested too deep"):
        data_value_end(b"\1" + body, 0, 100_001)


def test_no_more_is_made_of_an_answer_than_its_account_allows():
    values = struct.pack("<i", 100_000) + bytes(100_000)
    with pytest.raises(NotUnderstoodError, match="too many parts"):
        decoded(ua.DataChangeNotification, Measured(values, account=[1000]))


def test_a_matrix_of_the_wrong_size_is_a_list():
    flat = b"\1\xc6" + struct.pack("<iiiii", 1, 5, 2, 1000, 1000)
    assert decoded(ua.DataValue, Measured(flat)).Value.Value == [5]


def test_the_library_is_as_it_was_when_its_inside_was_made_use_of():
    """Each name is one that transport.py, bounds.py or session.py overrides or calls."""
    assert {"_process_received_data", "_call_callback", "_send_request", "_fail_all_pending", "_setup_request_header",
            "send_hello", "open_secure_channel", "send_request", "check_answer", "revolve_security_token"} <= vars(
        UASocketProtocol
    ).keys()  # fmt: skip
    assert {"_receive", "_check_incoming_chunk", "_drop_incoming_parts", "message_to_binary", "set_channel",
            "receive_from_header_and_body"} <= vars(SecureConnection).keys()  # fmt: skip
    assert {"update_client_limits", "is_msg_size_within_limit", "is_chunk_count_within_limit"} <= vars(
        TransportLimits
    ).keys()
    assert {"_make_protocol", "_on_transport_lost"} <= vars(UaClient).keys()
    assert {"read", "skip", "copy"} <= vars(Buffer).keys()
    assert ua_binary._reshape.__module__ == ua_binary.unpack_uatype_array.__module__ == "plugins.opcua.values.bounds"
