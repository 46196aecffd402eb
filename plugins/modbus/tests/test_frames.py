import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU

from gateway.kit.line import MISFIT, DamagedError
from plugins.modbus.address import COILS, HOLDING_REGISTERS, INPUT_REGISTERS
from plugins.modbus.line.framing import AsciiFraming, RtuFraming, TcpFraming
from plugins.modbus.requests import (
    ModbusRequest,
    echo,
    read,
    write_coil,
    write_coils,
    write_mask,
    write_register,
    write_registers,
)
from plugins.modbus.tests.fakes import split

TCP = TcpFraming()
ASKED = read(7, HOLDING_REGISTERS, 0x6B, 3)
GOOD = bytes.fromhex("1501 0000 0009 07 03 06 022B 0000 0064")


def test_a_read_is_encoded_as_the_specification_prints_it() -> None:
    assert ASKED.tail == bytes.fromhex("0000 0006 07 03 006B 0003")
    assert read(1, COILS, 0x13, 0x25).tail == bytes.fromhex("0000 0006 01 01 0013 0025")
    assert read(1, COILS, 0x13, 0x25).size == 5


def test_a_right_answer_gives_its_payload() -> None:
    assert TCP.answer(ASKED, GOOD) == bytes.fromhex("022B 0000 0064")


def test_an_exception_gives_its_code() -> None:
    assert TCP.answer(ASKED, bytes.fromhex("1501 0000 0003 07 83 02")) == 2


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("1501 0000 0009 08 03 06 022B 0000 0064", None),
        ("1501 0000 0009 07 04 06 022B 0000 0064", None),
        ("1501 0000 0003 07 84 02", None),
        ("1501 0000 0007 07 03 04 022B 0000", MISFIT),
        ("1501 0000 000B 07 03 08 022B 0000 0064 0000", MISFIT),
        ("1501 0000 0009 07 03 04 022B 0000 0064", MISFIT),
        ("1501 0000 000A 07 03 06 022B 0000 0064 00", MISFIT),
        ("1501 0000 0004 07 83 02 00", MISFIT),
        ("1501 0000 0003 07 03 00", MISFIT),
    ],
)
def test_what_answers_something_else_is_none_and_another_length_is_no_value(frame: str, answer: int | None) -> None:
    assert TCP.answer(ASKED, bytes.fromhex(frame)) == answer


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad ModbusRequest", bytes(6), bytes.fromhex("0001 0000 00FF")])
def test_what_cannot_be_modbus_ends_the_line(data: bytes) -> None:
    with pytest.raises(ValueError, match="no Modbus TCP"):
        split(TCP, data)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=3, max_size=254), max_size=6), st.data())
def test_frames_come_out_whole_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    frames = [struct.pack(">HHH", number, 0, len(body)) + body for number, body in enumerate(bodies)]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found: list[bytes] = []
    rest = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        whole, rest = split(TCP, rest + stream[begin:end])
        found += whole
    assert (found, rest) == (frames, b"")


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_give_frames_or_a_reason(data: bytes) -> None:
    with suppress(ValueError):
        frames, rest = split(TCP, data)
        assert b"".join(frames) + rest == data


@settings(deadline=None)
@given(st.binary(min_size=9, max_size=260), st.integers(1, 125), st.sampled_from([INPUT_REGISTERS, COILS]))
def test_no_frame_is_taken_for_good_unless_it_is_what_was_asked_for(frame: bytes, count: int, area: object) -> None:
    request = read(1, area, 0, count)  # type: ignore[arg-type]
    answer = TCP.answer(request, frame)
    if isinstance(answer, bytes):
        assert frame[2:9] == request.expected
        assert len(answer) == request.size == frame[8]
    elif answer not in (None, MISFIT):
        assert frame[6:8] == bytes([1, area.function | 0x80])  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.integers(2, 8), st.integers(1, 255))
def test_a_flipped_header_byte_is_never_good(at: int, flip: int) -> None:
    broken = bytearray(GOOD)
    broken[at] ^= flip
    with suppress(ValueError):
        frames, _ = split(TCP, bytes(broken))
        assert not any(isinstance(TCP.answer(ASKED, frame), bytes) for frame in frames)


RTU, ASCII = RtuFraming(), AsciiFraming()
WIRE = bytes.fromhex("0001 FFFF")
REQUESTS = [
    ASKED, read(1, COILS, 0x13, 0x25), write_coil(1, 7, True), write_coils(1, 7, False),
    write_register(3, 9, WIRE[:2]), write_registers(4, 9, WIRE), write_mask(5, 2, 0xF0, 0x30), echo(6, 0x1234),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "pdu"),
    [
        (write_coil(1, 0xAC, True), "05 00AC FF00"),
        (write_register(1, 1, bytes((0, 3))), "06 0001 0003"),
        (write_coils(1, 0x13, True), "0F 0013 0001 01 01"),
        (write_registers(1, 1, bytes.fromhex("000A 0102")), "10 0001 0002 04 000A 0102"),
        (write_mask(1, 4, 0x000D, 0x0005), "16 0004 FFF2 0005"),
        (echo(1, 0xA537), "08 0000 A537"),
    ],
)
def test_writes_are_encoded_as_the_specification_prints_them(request_: ModbusRequest, pdu: str) -> None:
    assert request_.pdu == bytes.fromhex(pdu)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.pdu.hex())
def test_serial_frames_are_those_of_pymodbus(request_: ModbusRequest) -> None:
    rtu, ascii_ = RTU.wrap(request_, 0), ASCII.wrap(request_, 0)
    assert rtu == FramerRTU(None).encode(request_.pdu, request_.unit, 0)  # type: ignore[arg-type]
    assert ascii_ == FramerAscii(None).encode(request_.pdu, request_.unit, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("framing", [RTU, ASCII], ids=["rtu", "ascii"])
@settings(deadline=None)
@given(st.data())
def test_serial_frames_come_out_whole_however_they_are_cut(framing: RtuFraming, data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.sampled_from(BODIES), max_size=5))
    stream = b"".join(_framed(framing, body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found: list[bytes] = []
    rest = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        whole, rest = split(framing, rest + stream[begin:end])
        found += whole
    assert (found, rest) == (bodies, b"")


@pytest.mark.parametrize("framing", [RTU, ASCII], ids=["rtu", "ascii"])
@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_serial_frame_is_never_a_frame(framing: RtuFraming, data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    frame = bytearray(_framed(framing, body))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with suppress(DamagedError, ValueError):
        frames, _ = split(framing, bytes(frame))
        assert [whole for whole in frames if whole != body] == []


@pytest.mark.parametrize("framing", [RTU, ASCII], ids=["rtu", "ascii"])
@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_on_a_serial_line_give_frames_or_damage(framing: RtuFraming, data: bytes) -> None:
    with suppress(DamagedError, ValueError):
        frames, _ = split(framing, data)
        assert all(len(frame) >= 3 for frame in frames)


@pytest.mark.parametrize("request_", REQUESTS[2:], ids=lambda request: request.pdu.hex())
def test_a_write_is_confirmed_only_by_its_own_echo(request_: ModbusRequest) -> None:
    right = bytes((request_.unit,)) + request_.head
    assert RTU.answer(request_, right) == b""
    assert RTU.answer(request_, right[:1] + bytes((right[1] | 0x80, 3))) == 3
    for at in range(len(right)):
        wrong = bytearray(right)
        wrong[at] ^= 1
        assert RTU.answer(request_, bytes(wrong)) in (None, MISFIT)


BODIES = [
    bytes.fromhex("07 03 06 022B 0000 0064"), bytes.fromhex("01 01 01 05"), bytes.fromhex("09 83 02"),
    bytes.fromhex("01 06 0001 0003"), bytes.fromhex("01 16 0004 FFF2 0005"), bytes.fromhex("06 08 0000 1234"),
]  # fmt: skip


def _framed(framing: RtuFraming, body: bytes) -> bytes:
    return framing.wrap(ModbusRequest(body[0], body[1:], b""), 0)
