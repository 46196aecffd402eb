import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import LinkError
from plugins.modbus.address import COILS, HOLDING_REGISTERS, INPUT_REGISTERS
from plugins.modbus.frames import Request, answer_to, split

ASKED = Request(unit=7, area=HOLDING_REGISTERS, start=0x6B, count=3)
GOOD = bytes.fromhex("1501 0000 0009 07 03 06 022B 0000 0064")


def test_a_read_is_encoded_as_the_specification_prints_it() -> None:
    assert ASKED.tail == bytes.fromhex("0000 0006 07 03 006B 0003")
    assert Request(1, COILS, 0x13, 0x25).tail == bytes.fromhex("0000 0006 01 01 0013 0025")
    assert Request(1, COILS, 0x13, 0x25).size == 5


def test_a_right_answer_gives_its_payload() -> None:
    assert answer_to(ASKED, GOOD) == bytes.fromhex("022B 0000 0064")


def test_an_exception_gives_its_code() -> None:
    assert answer_to(ASKED, bytes.fromhex("1501 0000 0003 07 83 02")) == 2


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("1501 0000 0009 08 03 06 022B 0000 0064", "asked unit 7, but unit 8"),
        ("1501 0000 0009 07 04 06 022B 0000 0064", "for function 4"),
        ("1501 0000 0007 07 03 04 022B 0000", "asked for 6 bytes of data, got 4"),
        ("1501 0000 000B 07 03 08 022B 0000 0064 0000", "got 8"),
        ("1501 0000 0009 07 03 04 022B 0000 0064", "the byte count 4"),
        ("1501 0000 0003 07 84 02", "for function 132"),
        ("1501 0000 0004 07 83 02 00", "for function 131"),
        ("1501 0000 0003 07 03 00", "got 0"),
    ],
)
def test_an_answer_that_does_not_fit_the_request_ends_the_line(frame: str, said: str) -> None:
    with pytest.raises(LinkError, match=said):
        answer_to(ASKED, bytes.fromhex(frame))


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request", bytes(6), bytes.fromhex("0001 0000 00FF")])
def test_what_cannot_be_modbus_ends_the_line(data: bytes) -> None:
    with pytest.raises(LinkError, match="no Modbus TCP"):
        split(data)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=3, max_size=254), max_size=6), st.data())
def test_frames_come_out_whole_however_they_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    frames = [struct.pack(">HHH", number, 0, len(body)) + body for number, body in enumerate(bodies)]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found: list[bytes] = []
    rest = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        whole, rest = split(rest + stream[begin:end])
        found += whole
    assert (found, rest) == (frames, b"")


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_give_frames_or_a_link_error(data: bytes) -> None:
    with suppress(LinkError):
        frames, rest = split(data)
        assert b"".join(frames) + rest == data


@settings(deadline=None)
@given(st.binary(min_size=9, max_size=260), st.integers(1, 125), st.sampled_from([INPUT_REGISTERS, COILS]))
def test_no_frame_is_taken_for_good_unless_it_is_what_was_asked_for(frame: bytes, count: int, area: object) -> None:
    request = Request(1, area, 0, count)  # type: ignore[arg-type]
    with suppress(LinkError):
        answer = answer_to(request, frame)
        if isinstance(answer, bytes):
            assert frame[2:9] == request.expected
            assert len(answer) == request.size == frame[8]
        else:
            assert frame[6:8] == bytes([1, area.function | 0x80])  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.integers(2, 8), st.integers(1, 255))
def test_a_flipped_header_byte_is_never_good(at: int, flip: int) -> None:
    broken = bytearray(GOOD)
    broken[at] ^= flip
    with pytest.raises(LinkError):
        frames, rest = split(bytes(broken))
        if rest:
            raise LinkError("half a frame")
        for frame in frames:
            answer_to(ASKED, frame)
