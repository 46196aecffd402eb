"""A real log's files, and a thousand ways to make them wild: right checksums over numbers that nobody wrote, and worse."""

import os
import random
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.core.record import Kind
from gateway.outbox.format.frames import DEFINITION, FOOTER, HEAD_SIZE, FrameHeader, scan
from gateway.outbox.format.segment import HEADER_SIZE, TRAILER_MAGIC

Files = dict[str, bytes]

_BODY = struct.Struct("<IIQQqqIIIIIBBBBHH")
_FIELDS = {"seq": 64, "total": 64, "wall_ns": -64, "boot_ns": -64, "rows": 32, "boot": 32, "epoch": 32, "config": 32}
_FIELDS |= {"source": 32, "lane": 8, "kind": 8, "codec": 8, "shape": 8, "flags": 16, "spare": 16}
_SLOT = struct.Struct("<8sQQQQQQQIIqB")
_HEADER = struct.Struct("<8sHBB16sQQ")
_FOOTER = struct.Struct("<QQQQQqq")

TEXTS = [
    b"", b"null", b"[]", b"7", b"{}", b'"x"', b"[" * 100_000, b'{"a":' * 100_000, b"[" * 300 + b"]" * 300, b"\xff\xfe{",
    b'{"device":7}', b'{"device":"\\ud800"}', b'{"n":' + b"9" * 5000 + b"}", b'{"n":1e999}', b"NaN",
    b'{"lane":"x","ranges":3}',
    b'{"lane":"data","ranges":[[1,"2"],null]}', b'{"context":{"nobody":"x"},"device":"a"}', b"\0" * 50, b"{" * 5,
]  # fmt: skip


def number(rng: random.Random, bits: int) -> int:
    """One that fits so many bits (negative: with a sign), of the kind that breaks things."""
    width, low = abs(bits), -(1 << (-bits - 1)) if bits < 0 else 0
    high = (1 << (width - 1 if bits < 0 else width)) - 1
    picks = [0, 1, 2, high, high - 1, low, high // 2, 1 << (width // 2), rng.randint(low, high), rng.randint(0, 300)]
    return min(max(rng.choice(picks), low), high)


def value(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value that does not belong there."""
    simple = [
        None, True, False, 0, -1, 1 << 31, 1 << 53, 1 << 62, 1 << 63, -(1 << 63), 1.5, 1e308, "", "x", "é\U0001f600",
        "9" * 5000, [], {}, [[1, 2], [5, 3]], [[0, 1], [0, 1]], "..", "../../x", {"a": None}, [None], [[-5, 1 << 62]],
    ]  # fmt: skip
    if depth < 3 and rng.random() < 0.2:
        return [value(rng, depth + 1) for _ in range(rng.randint(1, 4))]
    return rng.choice(simple)


def reframed(
    data: bytes, offset: int, head: FrameHeader, changes: dict[str, int], payload: bytes | None = None
) -> bytes:
    """The file with one frame changed, its checksum right."""
    if payload is None:
        payload = data[offset + HEAD_SIZE : offset + head.size]
    fields = {**head._asdict(), **changes, "length": len(payload)}
    body = _BODY.pack(*[fields[name] for name in FrameHeader._fields[:-1]])
    frame = body + struct.pack("<I", zlib.crc32(payload, zlib.crc32(body))) + payload
    return data[:offset] + frame + data[offset + head.size :]


def without_footer(data: bytes) -> bytes:
    """As if the file had been open when the power failed."""
    footers = [offset for offset, head in scan(data, HEADER_SIZE) if head.kind == FOOTER]
    return data[: footers[-1]] if footers else data


# The kinds of wildness; each changes some file of the log.


def _segment(rng: random.Random, files: Files) -> tuple[str, bytes]:
    name = rng.choice([name for name in files if name.endswith(".seg")])
    return name, without_footer(files[name]) if rng.random() < 0.7 else files[name]


def wild_heads(rng: random.Random, files: Files) -> None:
    name, data = _segment(rng, files)
    for _ in range(rng.randint(1, 3)):
        offset, head = rng.choice([*scan(data, HEADER_SIZE)])
        changes = {field: number(rng, _FIELDS[field]) for field in rng.sample([*_FIELDS], rng.randint(1, 3))}
        data = reframed(data, offset, head, changes)
    files[name] = data


def wild_payloads(rng: random.Random, files: Files) -> None:
    name, data = _segment(rng, files)
    offset, head = rng.choice([*scan(data, HEADER_SIZE)])
    payload = bytearray(data[offset + HEAD_SIZE : offset + head.size])
    if head.kind == DEFINITION:
        new = zlib.compress(rng.choice([*TEXTS, wild_json(rng, zlib.decompress(payload))]))
        if rng.random() < 0.1:
            new = zlib.compress(bytes(200 * 1024 * 1024))
    elif head.kind == Kind.READINGS or head.kind == FOOTER:
        for _ in range(rng.randint(1, 8)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        cut = rng.choice([None, None, rng.randrange(len(payload)), 0])
        new = bytes(payload[:cut]) + rng.choice([b"", b"", rng.randbytes(9), exact_values(rng)])
    else:
        new = rng.choice([*TEXTS, wild_json(rng, bytes(payload))])
    changes = {"shape": rng.randrange(256)} if rng.random() < 0.3 else {}
    files[name] = reframed(data, offset, head, changes, new)


def exact_values(rng: random.Random) -> bytes:
    """What stands behind the columns where there are exact values: wild ones."""
    deep = b"l\x01\x00\x00\x00" * 5000
    wide = b"i" + struct.pack("<I", 60_000) + b"\x7f" * 60_000
    parts = [deep, wide, b"l\xff\xff\xff\xff", b"s\x03\x00\x00\x00\xed\xa0\x80", b"i\x00\x00\x00\x00", b"?", b"N"]
    return struct.pack("<II", rng.choice([1, 2, 0xFFFF_FFFF]), rng.choice([0, 1, 1 << 31])) + rng.choice(parts)


def wild_json(rng: random.Random, data: bytes) -> bytes:
    """The same object with one or two of its values replaced, left out, or put in."""
    body = orjson.loads(data)
    for _ in range(rng.randint(1, 2)):
        at = body
        while isinstance(at, dict | list) and at:
            key = rng.choice([*at]) if isinstance(at, dict) else rng.randrange(len(at))
            if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
                at = at[key]
                continue
            if rng.random() < 0.15:
                del at[key]
            else:
                at[key] = value(rng)
            break
    return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS, default=lambda _: 1 << 63)


def wild_small_files(rng: random.Random, files: Files) -> None:
    name = rng.choice([name for name in files if name.endswith((".json", ".pending", ".final", ".dead", "tags"))])
    data = files[name]
    if name.endswith(".dead"):
        content = wild_json(rng, data.rstrip(b"\n").rpartition(b"\n")[0])
        files[name] = content + b"\n%08x\n" % zlib.crc32(content)
    elif name == "tags":
        lines = data.splitlines()
        at = rng.randrange(len(lines))
        content = rng.choice([wild_json(rng, lines[at][9:]), *TEXTS])
        lines[at] = b"%08x %b" % (zlib.crc32(content), content)
        files[name] = b"\n".join(lines) + b"\n"
    elif name.startswith("receipts"):
        content = wild_json(rng, data[9:-1])
        files[name] = b"%08x %b\n" % (zlib.crc32(content), content)
    else:
        files[name] = _checked(name, rng.choice([wild_json(rng, data), *TEXTS]))


def _checked(name: str, data: bytes) -> bytes:
    """With the checksum of log.json and synced.json right."""
    try:
        body = orjson.loads(data)
        if name == "log.json":
            body["check"] = f"{zlib.crc32(orjson.dumps([body['log'], body['place']])):08x}"
        elif name == "synced.json":
            body["check"] = f"{zlib.crc32(orjson.dumps(body['boots'])):08x}"
        return orjson.dumps(body)
    except (ValueError, TypeError, KeyError):
        return data


def wild_numbers(rng: random.Random, files: Files) -> None:
    slots = b""
    for _ in range(2):
        sizes = [64] * 7 + [32, 32, -64, 1]
        body = _SLOT.pack(b"EGWNUMB1", *[number(rng, bits) if rng.random() < 0.5 else 1 for bits in sizes])
        slots += (body + zlib.crc32(body).to_bytes(4, "little")).ljust(128, b"\0")
    files["numbers"] = slots


def wild_ends(rng: random.Random, files: Files) -> None:
    """Headers and footers."""
    name = rng.choice([name for name in files if name.endswith(".seg")])
    data = files[name]
    if rng.random() < 0.4:
        magic, version, lane, spare, log, first, start = _HEADER.unpack_from(data)
        first, start = number(rng, 64), rng.choice([start, number(rng, 64)])
        log = rng.choice([log, b"\xff" * 16])
        head = _HEADER.pack(magic, version, rng.choice([lane, 7]), spare, log, first, start)
        files[name] = head + zlib.crc32(head).to_bytes(4, "little") + data[HEADER_SIZE:]
        return
    found = [(offset, head) for offset, head in scan(data, HEADER_SIZE) if head.kind == FOOTER]
    if found:
        offset, head = found[-1]
        payload = data[offset + HEAD_SIZE : offset + head.size]
        told = list(_FOOTER.unpack_from(payload))
        told[rng.randrange(7)] = number(rng, 63)
        index = rng.choice([payload[_FOOTER.size :], rng.randbytes(24), b"", rng.randbytes(7), rng.randbytes(240)])
        new = rng.choice([_FOOTER.pack(*told) + index, payload[:9]])
        at = rng.choice([offset, number(rng, 64)])
        trailer = struct.pack("<QQ8s", at, zlib.crc32(at.to_bytes(8, "little")), TRAILER_MAGIC)
        files[name] = reframed(data, offset, head, {}, new)[: offset + HEAD_SIZE + len(new)] + trailer


def wild_bytes(rng: random.Random, files: Files) -> None:
    name = rng.choice([*files])
    data = bytearray(files[name])
    for _ in range(rng.randint(1, 20)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    cut = rng.randrange(len(data) + 1)
    files[name] = bytes(rng.choice([data, data[:cut], data[:cut] + rng.randbytes(500), data + data, b"\0" * len(data)]))


CHANGES: list[Callable[[random.Random, Files], None]] = [
    wild_heads, wild_heads, wild_payloads, wild_payloads, wild_small_files, wild_small_files, wild_numbers, wild_ends,
    wild_bytes,
]  # fmt: skip


# What is no file at all.


def a_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        short = Path(f"/proc/self/fd/{os.open(path.parent, os.O_RDONLY)}")
        bound.bind(str(short / path.name))
        os.close(int(short.name))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


ODD: list[Callable[[Path], None]] = [
    a_folder,
    a_socket,
    sparse,
    os.mkfifo,
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to(path.name),
]

STRAYS = [
    "receipts/zz.index", "receipts/x-y-z.index", "receipts/0000000000000001-zz.index", "receipts/a.pending", "cursors/%.json",
    "cursors/%ff%00.json", "cursors/....json", "dead/x.dead", "data/zz.seg", "data/.seg", "alarm/\udcff\udcfe.seg",
    "quarantine/x", "set-aside/x", "log.json.part", "numbers.part", "dead/\udcff.dead", "cursors/\udcff.json",
]  # fmt: skip


def lay(directory: Path, files: Files) -> None:
    """Have these, and only these, in the directory, which stays the same."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def odd_things(rng: random.Random, directory: Path, files: Files) -> None:
    """Put what is no file in the place of a file or folder, or beside them."""
    names = [
        *files,
        *STRAYS,
        "data",
        "alarm",
        "cursors",
        "receipts",
        "dead",
        "quarantine",
        "set-aside",
        "ballast",
        "tags.part",
    ]
    path = directory / rng.choice(names)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng.choice([*ODD, lambda path: path.write_bytes(rng.choice(TEXTS))])(path)
