"""The library's own server, in a process of its own, with what it lacks: types, values by symbol, an access level and a
program that changes. Arguments: certificate or "-", key; it prints "ready" and its port, and obeys lines (see `obey`)."""

import hashlib
import struct
import sys
from typing import Any

from s7commplus.codec import encode_pvalue_typed, encode_typed_value
from s7commplus.protocol import DataType, FunctionCode, Ids, LegitimationId, ProtocolVersion
from s7commplus.server import S7CommPlusServer
from s7commplus.vlq import decode_uint32_vlq, encode_uint32_vlq, encode_uint64_vlq

BOOL, BYTE, CHAR, WORD, INT, DWORD, DINT, REAL, DATE, TOD, TIME, S5TIME = range(1, 13)
DT, STRUCT, STRING, LREAL, ULINT, LINT, LWORD, USINT, UINT, UDINT, SINT = 14, 17, 19, 48, 49, 50, 51, 52, 53, 54, 55
WCHAR, WSTRING, LTIME, LTOD, LDT, DTL, BBOOL = 61, 62, 64, 65, 66, 67, 40
NO_SUCH = 0x8F00_0000_0000_FFEA
CHALLENGE = bytes(range(20))
PASSWORD = "secret"


def array(type_: int, data: bytes, width: int = 1) -> bytes:
    return bytes([0x10, type_]) + encode_uint32_vlq(len(data) // width) + data


def plain(type_: DataType, data: bytes) -> bytes:
    return encode_pvalue_typed(type_, data)


def packed(data: bytes) -> bytes:
    """A structure of the system, such as a DTL."""
    return b"\x00\x17" + struct.pack(">I", 0x02000043) + bytes(8) + b"\x02" + encode_uint32_vlq(len(data)) + data


def number(form: str, value: float) -> bytes:
    return struct.pack(f">{form}", value)


TYPES: dict[int, list[tuple[str, int, Any]]] = {
    # name, type, and of a text its length, of an array (first index, elements) of each dimension, of a structure its type
    0x92000001: [
        ("temperature", REAL, None), ("count", DINT, None), ("on", BOOL, None), ("wide", LINT, None),
        ("lot", STRING, 10), ("recipe", WSTRING, 6), ("started", DTL, None), ("zone", STRUCT, (0x92000100, [(1, 3)])),
        ("limits", REAL, [(0, 4)]), ("grid", INT, [(0, 2), (1, 3)]), ("bits", BBOOL, [(0, 2), (0, 3)]),
        ("inner", STRUCT, (0x92000100, None)), ("odd name.1", INT, None), ("stamp", LDT, None), ("last", DT, None),
    ],
    0x92000100: [("X", INT, None), ("Y", REAL, None)],
    0x92000002: [(f"w{n}", INT, None) for n in range(1000)],
    0x90030000: [("Motor_on", BOOL, None)],
}  # fmt: skip
BLOCKS = {"Mixer 1": (0x8A0E0001, 0x92000001), "Many": (0x8A0E0002, 0x92000002)}
CHANGED = dict.fromkeys(TYPES, 1)
ONE = 0x8A0E0001
VALUES: dict[tuple[int, ...], bytes] = {
    (ONE, 9): plain(DataType.REAL, number("f", 21.5)),
    (ONE, 10): plain(DataType.DINT, number("i", -70000)),
    (ONE, 11): plain(DataType.BOOL, b"\1"),
    (ONE, 12): plain(DataType.LINT, number("q", -(1 << 60) - 1)),
    (ONE, 13): array(0x02, b"\x0a\x05LOT-7" + bytes(5)),
    (ONE, 14): array(0x03, struct.pack(">HH", 6, 3) + "µ°C".encode("utf-16-be") + bytes(6), 2),
    (ONE, 15): packed(struct.pack(">HBBBBBBI", 2026, 11, 30, 2, 14, 15, 16, 123456789)),
    **{(ONE, 16, n, 1, 9): plain(DataType.INT, number("h", 10 + n)) for n in range(3)},
    **{(ONE, 16, n, 1, 10): plain(DataType.REAL, number("f", n / 2)) for n in range(3)},
    **{(ONE, 17, n): plain(DataType.REAL, number("f", n)) for n in range(4)},
    **{(ONE, 18, n): plain(DataType.INT, number("h", 100 + n)) for n in range(6)},
    **{(ONE, 19, n): plain(DataType.BOOL, bytes([n == 9])) for n in range(16)},
    (ONE, 20, 9): plain(DataType.INT, number("h", 7)),
    (ONE, 20, 10): plain(DataType.REAL, number("f", 0.25)),
    (ONE, 21): plain(DataType.INT, number("h", -3)),
    (ONE, 22): plain(DataType.TIMESTAMP, number("Q", 1_796_000_000_000_000_001)),
    (ONE, 23): array(0x02, bytes.fromhex("2611301415161233")),
    **{(0x8A0E0002, n + 9): plain(DataType.INT, number("h", n)) for n in range(1000)},
    (82, 9): plain(DataType.BOOL, b"\1"),
}


def offset_info(what: Any, type_: int) -> tuple[int, bytes]:
    if type_ == STRUCT:
        relation, bounds = what
        if bounds is None:
            return 12, struct.pack("<HHIII4I", 0, 0, 0, 0, relation, 0, 0, 0, 0)
        ((lower, count),) = bounds
        return 13, struct.pack("<HHIIiIIII4I", 0, 0, 0, 0, lower, count, 0, 0, relation, 0, 0, 0, 0)
    if isinstance(what, int):
        return 9, struct.pack("<HHII", what, 0, 0, 0)
    if what is None:
        return 8, struct.pack("<HH", 0, 0)
    if len(what) == 1:
        return 10, struct.pack("<HHIIiI", 0, 0, 0, 0, *what[0])
    total = 1
    for _, count in what:
        total *= count
    backwards = [*reversed(what), *[(0, 0)] * (6 - len(what))]
    bounds = [lower for lower, _ in backwards], [count for _, count in backwards]
    return 11, struct.pack("<HHIIiI6i6I", 0, 0, 0, 0, 0, total, *bounds[0], *bounds[1])


def described(relation: int) -> bytes:
    """A type, with when it was changed."""
    elements, names = b"", b""
    for lid, (name, type_, what) in enumerate(TYPES[relation], 9):
        code, info = offset_info(what, type_)
        elements += struct.pack("<II", lid, 0) + bytes([type_]) + struct.pack(">H", code << 12) + b"\0" + info
        names += bytes([len(name.encode())]) + name.encode() + b"\0"
    return (
        b"\xa1" + struct.pack(">I", relation) + encode_uint32_vlq(511) + b"\0\0"
        + b"\xa3" + encode_uint32_vlq(529) + b"\x00\x05" + encode_uint64_vlq(CHANGED[relation])
        + b"\xab" + struct.pack(">HI", len(elements) + 4, 0) + elements + b"\0\0"
        + b"\xac" + struct.pack(">H", len(names)) + names + b"\0\0" + b"\xa2"
    )  # fmt: skip


def blocks() -> bytes:
    said = b""
    for name, (area, _) in BLOCKS.items():
        wide = name.encode("utf-16-be")
        said += b"\xa1" + struct.pack(">I", area) + encode_uint32_vlq(Ids.DB_CLASS_RID) + b"\0\0"
        said += b"\xa3" + encode_uint32_vlq(233) + b"\x00\x15" + encode_uint32_vlq(len(wide)) + wide + b"\xa2"
    return said


def places(request: bytes) -> tuple[list[tuple[int, ...]], int]:
    """Area and path of each item, and where they end."""
    at = 4
    count, size = decode_uint32_vlq(request, at)
    at += size
    at += decode_uint32_vlq(request, at)[1]
    found = []
    for _ in range(count):
        words = []
        for _ in range(3):
            word, size = decode_uint32_vlq(request, at)
            at += size
            words.append(word)
        path = []
        for _ in range(words[2]):
            lid, size = decode_uint32_vlq(request, at)
            at += size
            path.append(lid)
        found.append((words[1], *path[1:]))
    return found, at


class Server(S7CommPlusServer):
    def __init__(self, version: int) -> None:
        super().__init__(version, session_challenge=CHALLENGE)
        self.level = 1

    def _handle_explore(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:
        (wanted,) = struct.unpack_from(">I", request_data)
        body = b"\0" + struct.pack(">I", wanted)
        if wanted == Ids.NATIVE_THE_PLC_PROGRAM_RID:
            body += blocks()
        elif wanted == Ids.OBJECT_OMS_TYPE_INFO_CONTAINER:
            types = b"".join(map(described, TYPES))
            body += b"\xa1" + struct.pack(">I", wanted) + encode_uint32_vlq(534) + b"\0\0" + types + b"\xa2"
        elif wanted in TYPES:
            body += described(wanted)
        else:
            body = encode_uint64_vlq(NO_SUCH) + bytes(4)
        return self._build_response_header(FunctionCode.EXPLORE, seq_num) + body + bytes(4)

    def _value(self, place: tuple[int, ...]) -> bytes | None:
        types = {(area, 1): type_ for area, type_ in BLOCKS.values()}
        if place in types:  # where a block says which type describes it; members begin with 9
            return b"\x00\x12" + struct.pack(">I", types[place])
        return VALUES.get(place)

    def _handle_get_multi_variables(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:
        given, lacking = b"", b""
        for item, place in enumerate(places(request_data)[0], 1):
            value = self._value(place)
            if value is None:
                lacking += encode_uint32_vlq(item) + encode_uint64_vlq(NO_SUCH)
            else:
                given += encode_uint32_vlq(item) + value
        header = self._build_response_header(FunctionCode.GET_MULTI_VARIABLES, seq_num)
        return header + b"\0" + given + b"\0" + lacking + b"\0"

    def _handle_set_multi_variables(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:
        if self._is_session_setup_write(request_data):
            return super()._handle_set_multi_variables(seq_num, session_id, request_data)
        (place,), at = places(request_data)
        value = request_data[at + 1 :]
        refused = b""
        old = VALUES.get(place)
        if old is None or self.level > 1:
            refused = encode_uint32_vlq(1) + encode_uint64_vlq(NO_SUCH)
        elif value[1] == DataType.S7STRING:
            size = 12
            VALUES[place] = array(0x02, value[3 : 3 + size])
        else:
            VALUES[place] = value
        header = self._build_response_header(FunctionCode.SET_MULTI_VARIABLES, seq_num)
        return header + b"\0" + refused + b"\0"

    def _handle_get_var_substreamed(self, seq_num: int, session_id: int, request_data: bytes) -> bytes:
        if encode_uint32_vlq(Ids.EFFECTIVE_PROTECTION_LEVEL) in request_data[:12]:
            header = self._build_response_header(FunctionCode.GET_VAR_SUBSTREAMED, seq_num)
            return header + b"\0\0" + b"\x00\x04" + encode_uint32_vlq(self.level)
        return super()._handle_get_var_substreamed(seq_num, session_id, request_data)

    def _build_error_response(self, seq_num: int, session_id: int, function_code: int) -> bytes:
        return self._build_response_header(function_code, seq_num) + b"\0" + bytes(4)

    def _process_request(self, data: bytes, *args: Any) -> Any:
        proof = bytes(a ^ b for a, b in zip(hashlib.sha1(PASSWORD.encode()).digest(), CHALLENGE, strict=True))
        if encode_uint32_vlq(LegitimationId.SERVER_SESSION_RESPONSE) in data and proof in data:
            self.level = 1
        return super()._process_request(data, *args)

    def _handle_create_object(self, seq_num: int, request_data: bytes) -> bytes:
        """Which CPU it is, as real ones tell it: by that the library knows how a password is shown."""
        paom = b"1;6ES7 512-1CK01-0AB0;V2.9"
        struct_ = (
            b"\x00\x17" + struct.pack(">I", 314) + encode_uint32_vlq(315) + b"\x00\x04\x01"
            + encode_uint32_vlq(319) + b"\x00\x15" + encode_uint32_vlq(len(paom)) + paom + b"\0"
        )  # fmt: skip
        attribute = encode_uint32_vlq(306)
        plain_ = attribute + b"\x00" + encode_typed_value(DataType.UDINT, self._protocol_version)
        return super()._handle_create_object(seq_num, request_data).replace(plain_, attribute + struct_)


def obey(server: Server, words: list[str]) -> str:
    match words:
        case ["put", place, wire]:
            VALUES[tuple(int(step, 0) for step in place.split("."))] = bytes.fromhex(wire)
        case ["drop", place]:
            del VALUES[tuple(int(step, 0) for step in place.split("."))]
        case ["level", level]:
            server.level = int(level)
        case ["retype", relation, name, type_]:  # by a download: the member's number goes to another type
            key = int(relation, 0)
            TYPES[key] = [(n, int(type_) if n == name else t, w) for n, t, w in TYPES[key]]
            CHANGED[key] += 1
        case ["rename", relation, name, new]:
            key = int(relation, 0)
            TYPES[key] = [(new if n == name else n, t, w) for n, t, w in TYPES[key]]
            CHANGED[key] += 1
        case ["swap", relation, one, other]:  # two members of a type change places, and so their numbers
            key = int(relation, 0)
            names = {one: other, other: one}
            TYPES[key] = [(names.get(n, n), t, w) for n, t, w in TYPES[key]]
            CHANGED[key] += 1
        case _:
            return f"cannot {' '.join(words)}"
    return "done"


def main(certificate: str, key: str) -> None:
    encrypted = certificate != "-"
    server = Server(ProtocolVersion.V2 if encrypted else ProtocolVersion.V1)
    server.start("127.0.0.1", 0, encrypted, certificate if encrypted else None, key if encrypted else None)
    assert server._server_socket is not None
    print("ready", server._server_socket.getsockname()[1], flush=True)
    for line in sys.stdin:
        print(obey(server, line.split()), flush=True)
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
