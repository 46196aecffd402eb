"""A small TwinCAT PLC of our own, judged by clients that are not ours (test_judges.py)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

NET_ID = bytes((5, 80, 201, 232, 1, 1))
PORT = 851
INT, DINT, REAL, LREAL, SINT, USINT, UINT, UDINT, LINT, ULINT = 2, 3, 4, 5, 16, 17, 18, 19, 20, 21
STRING, WSTRING, BOOL, BIG = 30, 31, 33, 65
EPOCH = 116_444_736_000_000_000


@dataclass
class Symbol:
    name: str
    type: str
    ads_id: int
    size: int
    offset: int
    comment: str = ""
    listed: bool = True

    def entry(self) -> bytes:
        names = [part.encode() for part in (self.name, self.type, self.comment)]
        body = struct.pack("<4IHH3H", 0x4040, self.offset, self.size, self.ads_id, 8, 0, *map(len, names))
        body += b"".join(part + b"\0" for part in names)
        return struct.pack("<I", 4 + len(body)) + body


@dataclass
class Member:
    name: str
    type: str
    ads_id: int
    size: int
    offset: int
    flags: int = 2


def declaration(
    name: str,
    size: int,
    members: Sequence[Member] = (),
    *,
    type_: str = "",
    ads_id: int = BIG,
    offset: int = 0,
    flags: int = 1,
    ranges: Sequence[tuple[int, int]] = (),
    choices: Mapping[str, int] | None = None,
) -> bytes:
    """An AdsDatatypeEntry."""
    flags |= 0x2000 if choices else 0
    names = [name.encode(), type_.encode(), b""]
    body = struct.pack(
        "<7I5H", 1, 0, 0, size, offset, ads_id, flags, *map(len, names), len(ranges), len(members)
    ) + b"".join(part + b"\0" for part in names)
    body += b"".join(struct.pack("<iI", *each) for each in ranges)
    for each in members:
        body += declaration(
            each.name, each.size, type_=each.type, ads_id=each.ads_id, offset=each.offset, flags=each.flags
        )
    if choices:
        body += struct.pack("<H", len(choices))
        for label, number in choices.items():
            body += bytes([len(label)]) + label.encode() + b"\0" + number.to_bytes(size, "little", signed=True)
    return struct.pack("<I", 4 + len(body)) + body


@dataclass
class Note:
    number: int
    place: tuple[int, int, int]
    cyclic: bool
    writer: asyncio.StreamWriter
    to: bytes
    last: bytes = b""


@dataclass
class AdsPlc:
    """What is set here holds for the next request."""

    symbols: dict[str, Symbol] = field(default_factory=dict)
    types: dict[str, bytes] = field(default_factory=dict)
    memory: bytearray = field(default_factory=lambda: bytearray(1 << 16))
    state: int = 5
    version: int = 1
    sums: bool = True
    route: bool = True
    """Whether the connection is not closed at once."""

    ports: tuple[int, ...] = (PORT,)
    asked: list[tuple[int, int]] = field(default_factory=list)
    """Command and index group of each request."""

    handles: dict[int, str] = field(default_factory=dict)
    notes: dict[int, Note] = field(default_factory=dict)
    connections: int = 0
    _next: int = 0x1000
    _end: int = 64

    def add(self, name: str, type_: str, ads_id: int, data: bytes, comment: str = "", *, listed: bool = True) -> Symbol:
        """A variable with this value."""
        self._end = -(-self._end // 8) * 8
        symbol = Symbol(name, type_, ads_id, len(data), self._end, comment, listed)
        self.symbols[name.upper()] = symbol
        self.memory[self._end : self._end + len(data)] = data
        self._end += len(data)
        return symbol

    def part(self, name: str, type_: str, ads_id: int, size: int, of: str, at: int) -> None:
        """An element or member of a variable, under its own path."""
        self.symbols[name.upper()] = Symbol(
            name, type_, ads_id, size, self.symbols[of.upper()].offset + at, listed=False
        )

    def put(self, name: str, data: bytes) -> None:
        """The variable's new value."""
        symbol = self.symbols[name.upper()]
        self.memory[symbol.offset : symbol.offset + len(data)] = data
        self.report()

    def value(self, name: str) -> bytes:
        symbol = self.symbols[name.upper()]
        return bytes(self.memory[symbol.offset : symbol.offset + symbol.size])

    def download(self, *names: str) -> None:
        """Another program, without these variables: old handles and notifications are no longer valid."""
        for name in names:
            del self.symbols[name.upper()]
        self.version = self.version % 255 + 1
        self.handles.clear()
        self.notes.clear()

    # What is asked

    def read(self, group: int, offset: int, size: int) -> bytes | int:
        if group == 0xF005:
            if offset not in self.handles:
                return 0x711
            symbol = self.symbols.get(self.handles[offset])
            if symbol is None:
                return 0x710
            return self.value(symbol.name) if size == symbol.size else 0x705
        if group == 0xF008:
            return bytes([self.version])
        if group == 0xF100:
            return struct.pack("<HH", self.state, 0)[:size]
        if group == 0x4040:
            return bytes(self.memory[offset : offset + size]) if offset + size <= len(self.memory) else 0x703
        listed = [symbol.entry() for symbol in self.symbols.values() if symbol.listed]
        if group == 0xF00F:
            tables = b"".join(listed), b"".join(self.types.values())
            return struct.pack("<6I", len(listed), len(tables[0]), len(self.types), len(tables[1]), 0, 0)[:size]
        if group == 0xF00B:
            return b"".join(listed)[:size]
        return b"".join(self.types.values())[:size] if group == 0xF00E else 0x702

    def write(self, group: int, offset: int, data: bytes) -> int:
        if group == 0xF006:
            return 0 if self.handles.pop(int.from_bytes(data, "little"), None) else 0x703
        if group == 0xF005:
            if offset not in self.handles:
                return 0x711
            symbol = self.symbols[self.handles[offset]]
            if len(data) > symbol.size:
                return 0x705
            self.put(symbol.name, data)
            return 0
        if group == 0x4040:
            self.memory[offset : offset + len(data)] = data
            self.report()
            return 0
        return 0x702

    def read_write(self, group: int, offset: int, most: int, data: bytes) -> bytes | int:
        if group in (0xF003, 0xF009, 0xF011):
            return self.named(group, data.rstrip(b"\0").decode().upper())
        if not self.sums:
            return 0x701
        if group == 0xF080:
            parts = [self.read(*place) for place in struct.iter_unpack("<III", data[: 12 * offset])]
            sizes = [size for _, _, size in struct.iter_unpack("<III", data[: 12 * offset])]
            codes = [part if isinstance(part, int) else 0 for part in parts]
            return struct.pack(f"<{offset}I", *codes) + b"".join(
                bytes(size) if isinstance(part, int) else part for part, size in zip(parts, sizes, strict=True)
            )
        if group == 0xF081:
            at, codes = 12 * offset, []
            for place, start, size in struct.iter_unpack("<III", data[: 12 * offset]):
                codes.append(self.write(place, start, data[at : at + size]))
                at += size
            return struct.pack(f"<{offset}I", *codes)
        if group == 0xF082:
            at, heads, bodies = 16 * offset, b"", b""
            for place, start, room, size in struct.iter_unpack("<IIII", data[: 16 * offset]):
                answer = self.read_write(place, start, room, data[at : at + size])
                at += size
                heads += struct.pack("<II", *((answer, 0) if isinstance(answer, int) else (0, len(answer))))
                bodies += b"" if isinstance(answer, int) else answer
            return heads + bodies
        return 0x702

    def named(self, group: int, name: str) -> bytes | int:
        if group == 0xF011:
            return self.types.get(name, 0x710)
        if name not in self.symbols:
            return 0x710
        if group == 0xF009:
            return self.symbols[name].entry()
        self._next += 1
        self.handles[self._next] = name
        return struct.pack("<I", self._next)

    def answer(self, command: int, data: bytes, writer: asyncio.StreamWriter, to: bytes) -> bytes:
        """Result and data."""
        group = int.from_bytes(data[:4], "little") if len(data) >= 12 else 0
        self.asked.append((command, group))
        if command == 1:
            return struct.pack("<IBBH16s", 0, 3, 1, 4024, b"Plc30 App")
        if command == 4:
            return struct.pack("<IHH", 0, self.state, 0)
        if command == 2:
            return _sized(self.read(*struct.unpack("<III", data)))
        if command == 3:
            return struct.pack("<I", self.write(*struct.unpack("<II", data[:8]), data[12:]))
        if command == 9:
            return _sized(self.read_write(*struct.unpack("<III", data[:12]), data[16:]))
        if command == 6:
            return self.add_note(data, writer, to)
        if command == 7:
            return struct.pack("<I", 0 if self.notes.pop(int.from_bytes(data, "little"), None) else 0x714)
        return struct.pack("<I", 0x701)

    def add_note(self, data: bytes, writer: asyncio.StreamWriter, to: bytes) -> bytes:
        group, offset, size, how, _, _ = struct.unpack("<6I", data[:24])
        if isinstance(code := self.read(group, offset, size), int):
            return struct.pack("<I", code)
        self._next += 1
        note = self.notes[self._next] = Note(self._next, (group, offset, size), how == 3, writer, to)
        asyncio.get_running_loop().call_later(0.02, self.report, note)  # as a PLC does: in its next cycle
        return struct.pack("<II", 0, note.number)

    def report(self, only: Note | None = None, t_ns: int = 1_800_000_000_000_000_000) -> None:
        """Notify what has changed."""
        for note in [only] if only else list(self.notes.values()):
            data = self.read(*note.place)
            if note.writer.is_closing():
                continue
            if isinstance(data, int) or (data == note.last and not note.cyclic) or note.number not in self.notes:
                continue
            note.last = data
            sample = struct.pack("<QIII", t_ns // 100 + EPOCH, 1, note.number, len(data)) + data
            body = struct.pack("<II", 4 + len(sample), 1) + sample
            note.writer.write(_packet(note.to, NET_ID + struct.pack("<H", PORT), 8, 4, body, 0))

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.route:
                head = await reader.readexactly(6)
                packet = await reader.readexactly(int.from_bytes(head[2:], "little"))
                target, source, command, _, _, _, number = struct.unpack("<8s8sHHIII", packet[:32])
                if int.from_bytes(target[6:], "little") not in self.ports or target[:6] != NET_ID:
                    error = 6 if target[:6] == NET_ID else 7
                    writer.write(_packet(source, target, command, 5, b"", number, error))
                    continue
                writer.write(
                    _packet(source, target, command, 5, self.answer(command, packet[32:], writer, source), number)
                )
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            self.notes = {number: note for number, note in self.notes.items() if note.writer is not writer}
            writer.close()

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self.serve_one, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()


def _sized(answer: bytes | int) -> bytes:
    if isinstance(answer, int):
        return struct.pack("<II", answer, 0)
    return struct.pack("<II", 0, len(answer)) + answer


def _packet(target: bytes, source: bytes, command: int, flags: int, body: bytes, number: int, error: int = 0) -> bytes:
    head = target + source + struct.pack("<HHIII", command, flags, len(body), error, number)
    return struct.pack("<HI", 0, len(head) + len(body)) + head + body


def furnished() -> AdsPlc:
    """A PLC with something of everything."""
    plc = AdsPlc()
    plc.add("MAIN.nCount", "INT", INT, struct.pack("<h", -7), "how many")
    plc.add("MAIN.bRun", "BOOL", BOOL, b"\1")
    plc.add("MAIN.fSpeed", "REAL", REAL, struct.pack("<f", 1.5))
    plc.add("MAIN.fExact", "LREAL", LREAL, struct.pack("<d", -2.25))
    plc.add("MAIN.wStatus", "WORD", UINT, b"\x10\x80")
    plc.add("MAIN.nLong", "LINT", LINT, struct.pack("<q", -(1 << 60) - 1))
    plc.add("MAIN.nHuge", "ULINT", ULINT, struct.pack("<Q", (1 << 63) + 1))
    plc.add("MAIN.sLot", "STRING(10)", STRING, b"LOT-7\0xxxxx")
    plc.add("MAIN.wsName", "WSTRING(6)", WSTRING, "µ°C".encode("utf-16-le") + bytes(8))
    plc.add("MAIN.tCycle", "TIME", UDINT, struct.pack("<I", 90_500))
    plc.add("MAIN.ltCycle", "LTIME", ULINT, struct.pack("<Q", 1_000_000_001))
    plc.add("MAIN.dDay", "DATE", UDINT, struct.pack("<I", 1_796_083_200))
    plc.add("MAIN.dtThen", "DATE_AND_TIME", UDINT, struct.pack("<I", 1_796_091_316))
    plc.add("MAIN.todNow", "TIME_OF_DAY", UDINT, struct.pack("<I", 45_296_789))
    plc.add("MAIN.ldtThen", "LDT", ULINT, struct.pack("<Q", 1_796_000_000_000_000_001))
    plc.types["E_STATE"] = declaration("E_State", 2, type_="INT", ads_id=INT, choices={"Off": 0, "On": 1, "Fault": -1})
    plc.add("MAIN.eState", "E_State", INT, struct.pack("<h", -1))
    plc.types["T_SHORT"] = declaration("T_Short", 11, type_="STRING(10)", ads_id=STRING)
    plc.add("MAIN.sAlias", "T_Short", STRING, b"alias\0\0\0\0\0\0")
    plc.types["BIT"] = declaration("BIT", 1, ads_id=BOOL, flags=0x21)
    plc.types["POINTER TO ST_MOTOR"] = declaration("POINTER TO ST_Motor", 4, ads_id=BIG, flags=0x800001)
    for name, of, ads_id, size, ranges in (
        ("ARRAY [1..4] OF REAL", "REAL", REAL, 16, [(1, 4)]),
        ("ARRAY [0..1,0..2] OF INT", "INT", INT, 12, [(0, 2), (0, 3)]),
    ):
        plc.types[name.upper()] = declaration(name, size, type_=of, ads_id=ads_id, ranges=ranges)
    plc.add("GVL.Temps", "ARRAY [1..4] OF REAL", REAL, struct.pack("<4f", 1, 2, 3, 4))
    for index in range(4):
        plc.part(f"GVL.Temps[{index + 1}]", "REAL", REAL, 4, "GVL.Temps", 4 * index)
    plc.add("GVL.Grid", "ARRAY [0..1,0..2] OF INT", INT, struct.pack("<6h", *range(6)))
    plc.types["ST_MOTOR"] = declaration(
        "ST_Motor",
        32,
        [
            Member("bOn", "BOOL", BOOL, 1, 0),
            Member("fSpeed", "LREAL", LREAL, 8, 8),
            Member("sName", "STRING(7)", STRING, 8, 16),
            Member("eState", "E_State", INT, 2, 24),
            Member("bLow", "BIT", BOOL, 1, 8 * 26, 0x22),
            Member("bHigh", "BIT", BOOL, 1, 8 * 26 + 1),
            Member("pNext", "POINTER TO ST_Motor", BIG, 4, 28),
        ],
    )
    motor = struct.pack("<B7xd8shBxI", 1, 2.5, b"M1\0", 1, 2, 0)
    plc.add("GVL.Motor", "ST_Motor", BIG, motor, "the drive")
    plc.part("GVL.Motor.fSpeed", "LREAL", LREAL, 8, "GVL.Motor", 8)
    plc.types["ARRAY [0..1] OF ST_MOTOR"] = declaration(
        "ARRAY [0..1] OF ST_Motor", 64, type_="ST_Motor", ranges=[(0, 2)]
    )
    plc.add("GVL.Motors", "ARRAY [0..1] OF ST_Motor", BIG, motor + motor)
    return plc
