"""A Logix controller of our own, with what cpppo's has not: structures, programs, lists of tags, data files, connections of
every size, and faults. pylogix and pycomm3, which are not ours, are asked whether it is one (test_judges.py)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.kit import Frames, Sized

ASKED = Sized(24, lambda head: 24 + int.from_bytes(head[2:4], "little"))
SIZES = {0xC1: 1, 0xC2: 1, 0xC3: 2, 0xC4: 4, 0xC5: 8, 0xC6: 1, 0xC7: 2, 0xC8: 4, 0xC9: 8, 0xCA: 4, 0xCB: 8, 0xD3: 4}


class RefusedError(Exception):
    """A service is not carried out."""

    def __init__(self, status: int, more: int | None = None, data: bytes = b"") -> None:
        super().__init__(status)
        self.status, self.more, self.data = status, more, data


@dataclass(frozen=True)
class FakeStructure:
    number: int
    name: str
    handle: int
    size: int
    members: Sequence[tuple[str, "int | FakeStructure", int | None, int, int | None]]
    """Name, type, how many, offset, bit."""


STRING = FakeStructure(0xFCE, "ASCIISTRING82", 0x0FCE, 88, (("LEN", 0xC4, None, 0, None), ("DATA", 0xC2, 82, 4, None)))
SHORT = FakeStructure(0x333, "STRING20", 0x4711, 24, (("LEN", 0xC4, None, 0, None), ("DATA", 0xC2, 20, 4, None)))
STEP = FakeStructure(
    0x123,
    "Step",
    0xBEEF,
    40,
    (
        ("ZZZZZZZZZZStep0", 0xC2, None, 0, None),
        ("Done", 0xC1, None, 0, 0),
        ("Hold", 0xC1, None, 0, 1),
        ("Temp", 0xCA, None, 4, None),
        ("Counts", 0xC3, 3, 8, None),
        ("Name", SHORT, None, 16, None),
    ),
)
RECIPE = FakeStructure(
    0x124,
    "Recipe",
    0xF00D,
    144,
    (
        ("Number", 0xC4, None, 0, None),
        ("Speed", 0xCA, None, 4, None),
        ("Flags", 0xD3, 2, 8, None),
        ("Steps", STEP, 3, 16, None),
        ("Last", 0xC5, None, 136, None),
    ),
)


@dataclass
class FakeTag:
    type: int | FakeStructure
    data: bytearray
    many: int | None = None
    access: str = "read/write"

    @property
    def size(self) -> int:
        return self.type.size if isinstance(self.type, FakeStructure) else SIZES[self.type]


def tag(type_: int | FakeStructure, data: bytes = b"", many: int | None = None) -> FakeTag:
    """One, with zeros behind what is given."""
    size = type_.size if isinstance(type_, FakeStructure) else SIZES[type_]
    return FakeTag(type_, bytearray(data.ljust(size * (many or 1), b"\0")), many)


@dataclass
class FakePlc:
    tags: dict[str, FakeTag] = field(default_factory=dict)
    """By name; those of a program as Program:Main.Name."""

    files: dict[tuple[int, int], bytearray] = field(default_factory=dict)
    """Data files by kind and number."""

    attributes: dict[tuple[int, int, int], bytearray] = field(default_factory=dict)
    name: str = "1756-L85E/B"
    device_type: int = 0x0E
    largest: int = 4000
    """Bytes of a connection, at most; 0 for none at all."""

    left: int = 100
    """Connections that it has."""

    most: int = 4000
    """Bytes of an answer, at most, whatever the connection bears."""

    route: bytes | None = b"\1\0"
    """The only one by which it is reached; None for any."""

    multiple: bool = True
    refuse: Callable[[int], tuple[int, int | None] | None] = lambda _: None
    """Of a service: status and extended status, where it is refused."""

    asked: list[bytes] = field(default_factory=list)
    """Messages of CIP, without those in a Multiple Service Packet."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Gives the port."""
        serving: set[asyncio.Task[Any]] = set()

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                await _Session(self, reader, writer).run()
            except (OSError, EOFError, ValueError, asyncio.CancelledError):
                pass
            finally:
                serving.discard(task)
                writer.close()

        server = await asyncio.start_server(one, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(serving):
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await server.wait_closed()

    def identity(self) -> bytes:
        name = self.name.encode()
        return struct.pack("<HHHBBHIB", 1, self.device_type, 0xA6, 33, 11, 0x60, 0x12345678, len(name)) + name

    # Services

    def answer(self, message: bytes, room: int) -> bytes:
        """The answer to a message of CIP."""
        number, words = message[0], message[1]
        path, data = message[2 : 2 + 2 * words], message[2 + 2 * words :]
        try:
            if refused := self.refuse(number):
                raise RefusedError(*refused)
            if number == 0x01:  # of the program's name, and of the identity
                return b"\x81\0\0\0" + (b"\5\0Plant" if path.startswith(b"\x20\x64") else self.identity())
            return bytes([number | 0x80, 0, 0, 0]) + self._do(number, path, data, room)
        except RefusedError as error:
            more = b"" if error.more is None else error.more.to_bytes(2, "little")
            return bytes([number | 0x80, 0, error.status, len(more) // 2]) + more + error.data

    def _do(self, number: int, path: bytes, data: bytes, room: int) -> bytes:
        steps = _steps(path)
        classes = {kind: value for kind, value in steps if kind in (0x20, 0x24, 0x30)}
        match number, classes.get(0x20):
            case 0x0A, 2:
                return self._multiple(data, room)
            case 0x55, 0x6B:
                return self._list(steps, classes[0x24], data, room)
            case 0x03, 0x6C:
                return self._template_attributes(classes[0x24], data)
            case 0x4C, 0x6C:
                return self._template(classes[0x24], data, room)
            case ((0x0E | 0x10), _):
                return self._attribute(number, classes, data)
            case 0x4B, 0x67:
                return self._pccc(data)
            case ((0x4C | 0x52 | 0x4D | 0x53 | 0x4E), (None | 0x6B)):
                if steps[0] == (0x20, 0x6B):  # by the instance in the list of tags, as pycomm3 does
                    steps[:2] = [(0x91, self._names("")[steps[1][1] - 1])]
                return self._tag(number, steps, data, room)
        raise RefusedError(0x08)

    def _multiple(self, data: bytes, room: int) -> bytes:
        if not self.multiple:
            raise RefusedError(0x08)
        count, *offsets = struct.unpack_from(f"<{1 + data[0]}H", data)
        parts = [data[begin:end] for begin, end in zip(offsets, [*offsets[1:], len(data)], strict=True)]
        left = room - 6 - 2 * count
        answers = []
        for part in parts:
            answer = self.answer(part, left)
            if len(answer) > left:
                answer = bytes([part[0] | 0x80, 0, 0x06, 0])
            left -= len(answer)
            answers.append(answer)
        at, where = 2 + 2 * count, []
        for answer in answers:
            where.append(at)
            at += len(answer)
        body = struct.pack(f"<{1 + count}H", count, *where) + b"".join(answers)
        if any(answer[2] for answer in answers):
            raise RefusedError(0x1E, None, body)
        return body

    def _found(self, steps: Sequence[tuple[int, Any]]) -> tuple[FakeTag, "int | FakeStructure", int, int, int | None]:
        """Tag, type, where its bytes begin and end, and a bit."""
        names = list(steps)
        if not names or names[0][0] != 0x91:
            raise RefusedError(0x04)
        name = names.pop(0)[1]
        if name.lower().startswith("program:") and names and names[0][0] == 0x91:
            name += "." + names.pop(0)[1]
        tag = {key.lower(): value for key, value in self.tags.items()}.get(name.lower())
        if tag is None:
            raise RefusedError(0x05, 0)
        if tag.access == "none":
            raise RefusedError(0x0F)
        type_, begin, end, bit = tag.type, 0, len(tag.data), None
        many = tag.many
        for kind, value in names:
            size = type_.size if isinstance(type_, FakeStructure) else SIZES[type_]
            if kind == 0x28:
                if many is None or value >= many:
                    raise RefusedError(0xFF, 0x2105)
                begin, many = begin + value * size, None
            elif isinstance(type_, FakeStructure):
                member = {each[0].lower(): each for each in type_.members}.get(value.lower())
                if member is None:
                    raise RefusedError(0x05, 0)
                _, type_, many, offset, bit = member
                begin += offset
                size = type_.size if isinstance(type_, FakeStructure) else SIZES[type_]
                end = begin + size * (many or 1)
            else:
                raise RefusedError(0x05, 0)
        return tag, type_, begin, end, bit

    def _tag(self, number: int, steps: Sequence[tuple[int, Any]], data: bytes, room: int) -> bytes:
        tag, type_, begin, end, bit = self._found(steps)
        size = type_.size if isinstance(type_, FakeStructure) else SIZES[type_]
        named = (
            b"\xa0\x02" + type_.handle.to_bytes(2, "little")
            if isinstance(type_, FakeStructure)
            else type_.to_bytes(2, "little")
        )
        if number in (0x4D, 0x4E):
            return self._write(number, tag, begin, bit, named, data)
        count = int.from_bytes(data[:2], "little")
        if begin + count * size > end:
            raise RefusedError(0xFF, 0x2105)
        wire = bytes(tag.data[begin : begin + count * size])
        if bit is not None:
            wire = bytes([wire[0] >> bit & 1])
        if number == 0x52:
            wire = wire[int.from_bytes(data[2:6], "little") :]
        if len(wire) > (most := (room - 4 - len(named)) // 4 * 4):
            raise RefusedError(0x06, None, named + wire[:most])
        return named + wire

    def _write(self, number: int, tag: FakeTag, begin: int, bit: int | None, named: bytes, data: bytes) -> bytes:
        if tag.access != "read/write":
            raise RefusedError(0x0F)
        if number == 0x4E:
            width = int.from_bytes(data[:2], "little")
            ors, ands = data[2 : 2 + width], data[2 + width :]
            for n in range(width):
                tag.data[begin + n] = (tag.data[begin + n] | ors[n]) & ands[n]
            return b""
        if not data.startswith(named):
            raise RefusedError(0xFF, 0x2107)
        wire = data[len(named) + 2 :]
        if bit is None:
            tag.data[begin : begin + len(wire)] = wire
        else:
            tag.data[begin] = tag.data[begin] & ~(1 << bit) | (bool(wire[0]) << bit)
        return b""

    def _list(self, steps: Sequence[tuple[int, Any]], first: int, data: bytes, room: int) -> bytes:
        program = next((value + "." for kind, value in steps if kind == 0x91), "")
        wanted = struct.unpack_from(f"<{data[0]}H", data, 2)
        body = b""
        for instance, name in enumerate(self._names(program), 1):
            if instance < first:
                continue
            entry = struct.pack("<I", instance)
            for attribute in wanted:
                entry += self._symbol(program, name, attribute)
            if len(body) + len(entry) > room - 4:
                raise RefusedError(0x06, None, body)
            body += entry
        return body

    def _names(self, program: str) -> list[str]:
        if program:
            return [name.removeprefix(program) for name in self.tags if name.startswith(program)]
        programs = dict.fromkeys(name.partition(".")[0] for name in self.tags if name.startswith("Program:"))
        return ["__hidden", *programs, *(name for name in self.tags if not name.startswith("Program:"))]

    def _symbol(self, program: str, name: str, attribute: int) -> bytes:
        found = self.tags.get(program + name)
        if attribute == 1:
            return len(name).to_bytes(2, "little") + name.encode()
        if attribute == 2:
            if found is None:
                return struct.pack("<H", 0x1068)
            of = found.type
            code = 0x8000 | of.number if isinstance(of, FakeStructure) else of
            return struct.pack("<H", code | (0x2000 if found.many else 0))
        if attribute == 8:
            return struct.pack("<III", found.many or 0 if found else 0, 0, 0)
        return b"\0" if attribute == 10 else bytes(4)

    def _structure(self, number: int) -> FakeStructure:
        known: dict[int, FakeStructure] = {}

        def note(of: int | FakeStructure) -> None:
            if isinstance(of, FakeStructure):
                known[of.number] = of
                for member in of.members:
                    note(member[1])

        for each in self.tags.values():
            note(each.type)
        if number not in known:
            raise RefusedError(0x05)
        return known[number]

    @staticmethod
    def definition(of: FakeStructure) -> bytes:
        """Members, then names."""
        body = b""
        for _, type_, many, offset, bit in of.members:
            code = 0x8000 | type_.number if isinstance(type_, FakeStructure) else type_
            body += struct.pack("<HHI", many or bit or 0, code | (0x2000 if many else 0), offset)
        return (
            body
            + b"\0".join(
                name.encode() for name in [f"{of.name};n{'EC' * len(of.members)}", *(each[0] for each in of.members)]
            )
            + b"\0"
        )

    def _template_attributes(self, number: int, data: bytes) -> bytes:
        of = self._structure(number)
        words = (len(self.definition(of)) + 23 + 3) // 4
        wanted = struct.unpack_from(f"<{data[0]}H", data, 2)
        body = struct.pack("<H", len(wanted))
        for attribute in wanted:
            form, value = {
                1: ("H", of.handle),
                2: ("H", len(of.members)),
                3: ("H", 0),
                4: ("I", words),
                5: ("I", of.size),
            }[attribute]
            body += struct.pack(f"<HH{form}", attribute, 0, value)
        return body

    def _template(self, number: int, data: bytes, room: int) -> bytes:
        offset, size = struct.unpack("<IH", data)
        wire = self.definition(self._structure(number)).ljust(offset + size, b"\0")[offset : offset + size]
        if len(wire) > room - 4:
            raise RefusedError(0x06, None, wire[: room - 4])
        return wire

    def _attribute(self, number: int, classes: Mapping[int, int], data: bytes) -> bytes:
        at = classes.get(0x20, 0), classes.get(0x24, 0), classes.get(0x30, 0)
        if at == (1, 1, 7) and number == 0x0E:
            return bytes([len(self.name)]) + self.name.encode()
        if at not in self.attributes:
            raise RefusedError(0x14 if any(each[:2] == at[:2] for each in self.attributes) else 0x16)
        if number == 0x10:
            self.attributes[at][:] = data
            return b""
        return bytes(self.attributes[at])

    def _pccc(self, data: bytes) -> bytes:
        who, data = data[: data[0]], data[data[0] :]
        command, _, number, function, size = struct.unpack_from("<BBHBB", data)
        assert command == 0x0F
        fields, at = [], 6
        for width in (0, 1, 0, 0):  # file, its kind, element, word
            if not width and data[at] == 0xFF:
                fields.append(int.from_bytes(data[at + 1 : at + 3], "little"))
                at += 3
            else:
                fields.append(data[at])
                at += 1
        file, kind, element, word = fields
        held = self.files.get((kind, file))
        width = {0x86: 6, 0x87: 6, 0x88: 6, 0x8A: 4, 0x8D: 84, 0x91: 4}.get(kind, 2)
        begin = element * width + 2 * word
        head = who + struct.pack("<BBH", 0x4F, 0, number)
        if held is None or begin + size > len(held):
            return who + struct.pack("<BBH", 0x4F, 0x10, number)
        if function == 0xA2:
            return head + held[begin : begin + size]
        if function == 0xAA:
            held[begin : begin + size] = data[at:]
        elif function == 0xAB:
            mask, value = struct.unpack_from("<HH", data, at)
            (old,) = struct.unpack_from("<H", held, begin)
            struct.pack_into("<H", held, begin, old & ~mask | value & mask)
        return head


def _steps(path: bytes) -> list[tuple[int, Any]]:
    steps: list[tuple[int, Any]] = []
    at = 0
    while at < len(path):
        kind = path[at]
        if kind == 0x91:
            length = path[at + 1]
            steps.append((kind, path[at + 2 : at + 2 + length].decode()))
            at += 2 + length + length % 2
        else:
            width = {0: 1, 1: 2, 2: 4}[kind & 3]
            begin = at + (1 if width == 1 else 2)
            steps.append((kind & 0xFC, int.from_bytes(path[begin : begin + width], "little")))
            at = begin + width
    return steps


class _Session:
    def __init__(self, plc: FakePlc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._plc, self._reader, self._writer = plc, reader, writer
        self._connections: dict[int, tuple[int, int]] = {}
        """By our own number: theirs, and bytes of a message."""

    async def run(self) -> None:
        frames = Frames(ASKED)
        try:
            while data := await self._reader.read(65536):
                frames.add(data)
                while (frame := frames.next()) is not None:
                    self._take(frame)
                await self._writer.drain()
        finally:
            self._plc.left += len(self._connections)

    def _take(self, frame: bytes) -> None:
        command, _, session, _, context, _ = struct.unpack_from("<HHII8sI", frame)
        body = frame[24:]
        if command == 0x65:
            session = 0x77
        elif command == 0x63:
            item = struct.pack("<H16s", 1, b"") + self._plc.identity() + b"\3"
            body = struct.pack("<HHH", 1, 0x0C, len(item)) + item
        elif command == 0x6F:
            message = self._unconnected(body[16:])
            body = body[:6] + struct.pack("<HHHHH", 2, 0, 0, 0xB2, len(message)) + message
        elif command == 0x70:
            ours = int.from_bytes(body[12:16], "little")
            if ours not in self._connections:
                return
            theirs, size = self._connections[ours]
            self._plc.asked.append(body[22:])
            message = body[20:22] + self._plc.answer(body[22:], min(size - 2, self._plc.most))
            body = bytes(6) + struct.pack("<HHHIHH", 2, 0xA1, 4, theirs, 0xB1, len(message)) + message
        else:
            raise EOFError
        self._writer.write(struct.pack("<HHII8sI", command, len(body), session, 0, context, 0) + body)

    def _unconnected(self, message: bytes) -> bytes:
        number, path = message[0], message[2 : 2 + 2 * message[1]]
        plc = self._plc
        if path != b"\x20\x06\x24\x01":
            plc.asked.append(message)
            if plc.route not in (None, b""):
                return bytes([number | 0x80, 0, 0x08, 0])  # a communication module has no tags
            return plc.answer(message, 504)
        data = message[2 + len(path) :]
        if number == 0x52:
            length = int.from_bytes(data[2:4], "little")
            inner, behind = data[4 : 4 + length], data[4 + length + length % 2 :]
            if plc.route is not None and behind[2:] != plc.route:
                return bytes([0xD2, 0, 1, 1]) + (0x0312).to_bytes(2, "little") + b"\1"
            plc.asked.append(inner)
            return plc.answer(inner, 504 - len(plc.route or b""))
        if number in (0x54, 0x5B):
            return self._open(number, data)
        if number == 0x4E and self._connections:
            plc.left += 1
            self._connections.popitem()
            return bytes([0xCE, 0, 0, 0]) + data[2:10] + bytes(2)
        return bytes([number | 0x80, 0, 0x08, 0])

    def _open(self, number: int, data: bytes) -> bytes:
        plc, wide = self._plc, number == 0x5B
        _, theirs, serial, vendor, originator = struct.unpack_from("<IIHHI", data, 2)
        size = int.from_bytes(data[26:28], "little") if wide else int.from_bytes(data[26:28], "little") & 0x1FF
        path = data[38 if wide else 34 :][2:]

        def refused(status: int, more: int | None = None) -> bytes:
            extra = b"" if more is None else more.to_bytes(2, "little")
            return bytes([number | 0x80, 0, status, len(extra) // 2]) + extra + data[10:18] + bytes(2)

        if not plc.largest or (wide and plc.largest <= 511):
            return refused(0x08)
        if plc.route is not None and path[:-4] != plc.route:
            return refused(1, 0x0312)
        if size > plc.largest:
            return refused(1, 0x0109)
        if not plc.left:
            return refused(1, 0x0113)
        plc.left -= 1
        ours = 0x1000 + len(self._connections)
        self._connections[ours] = theirs, size
        head = struct.pack("<IIHHIIIBx", ours, theirs, serial, vendor, originator, 1, 1, 0)
        return bytes([number | 0x80, 0, 0, 0]) + head
