"""A state folder that was damaged between two runs, by a power cut, a bad card, or somebody."""

import os
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.attack import attacks
from tests.attack.attacks import Site, wait
from tests.attack.model import DEEP

TABLES = """
[[device]]
name = "oven"
driver = "simulated"
scan = "100ms"
[device.tags]
temp = { mean = 50.0, unit = "°C", noise = 1.0 }

[[alarm]]
name = "too hot"
devices = ["oven"]
tag = "temp"
high = 10.0

[[sink]]
name = "away"
plugin = "mqtt"
host = "127.0.0.1"
port = %d
topic = "plant/{device}"
"""
"""What leaves something of everything in the state folder: an alarm that is raised, and data that nobody takes."""


def waiting(site: Site) -> str:
    return TABLES % site.ports[0]


def _files(state: Path) -> list[Path]:
    return sorted(path for path in state.rglob("*") if path.is_file() and not path.is_symlink())


def damaged(name: str, says: str, damage: Callable[[Site], None]) -> None:
    """An attack by a state folder that this has damaged."""
    full = f"state.{name}"
    attacks.ALL[full] = attacks.Attack(full, says, wait, waiting, damage, seconds=2.0, used_state=True, soak=False)


def _each(change: Callable[[Path, bytes], bytes | None], wanted: str = "") -> Callable[[Site], None]:
    """Change each file whose path holds this."""

    def damage(site: Site) -> None:
        for path in _files(site.state):
            if wanted in str(path.relative_to(site.state)) and (new := change(path, path.read_bytes())) is not None:
                path.write_bytes(new)

    return damage


def _json(text: bytes) -> Callable[[Path, bytes], bytes | None]:
    """Files of JSON become this; those of lines get it as a further line."""

    def change(path: Path, data: bytes) -> bytes | None:
        if path.suffix == ".jsonl":
            return data + text + b"\n"
        return text if data[:1] in (b"{", b"[") else None

    return change


def _values(new: bytes) -> Callable[[Path, bytes], bytes | None]:
    """Every number in a file of JSON becomes this one."""

    def change(path: Path, data: bytes) -> bytes | None:
        return re.sub(rb"(?<=[:,\[ ])-?\d+(\.\d+)?", new, data) if data[:1] in (b"{", b"[") else None

    return change


_ALARM = b'{"format": 1, "alarms": [%s]}'
damaged("json-deep", "Each file of JSON is nested 100,000 deep.", _each(_json(b'{"a":' * DEEP + b"1" + b"}" * DEEP)))
damaged(
    "json-lists-deep", "Each file of JSON is lists in lists, 100,000 deep.", _each(_json(b"[" * DEEP + b"]" * DEEP))
)
damaged("json-empty", "Each file of JSON is an empty table.", _each(_json(b"{}")))
damaged(
    "json-null", "Each file of JSON says null.", _each(lambda path, data: b"null" if data[:1] in (b"{", b"[") else None)
)
damaged("json-numbers-huge", "Each number in a file of JSON has 5,000 digits.", _each(_values(b"9" * 5000)))
damaged("json-numbers-negative", "Each number in a file of JSON is -1.", _each(_values(b"-1")))
damaged("json-numbers-texts", "Each number in a file of JSON is a text.", _each(_values(b'"x"')))
damaged("json-numbers-2-to-63", "Each number in a file of JSON is 2^63.", _each(_values(str(2**63).encode())))
damaged("json-numbers-1e308", "Each number in a file of JSON is 1e308.", _each(_values(b"1e308")))
damaged("files-empty", "Each file is empty.", _each(lambda *_: b""))
damaged(
    "files-zeros", "Each file is zeros of the same size, as after a power cut.", _each(lambda _, data: bytes(len(data)))
)
damaged(
    "files-doubled",
    "Each file holds its content twice.",
    _each(lambda _, data: data * 2 if len(data) < 1 << 20 else None),
)
damaged("files-cut", "Each file lost its second half.", _each(lambda _, data: data[: len(data) // 2]))
damaged("alarms-odd", "The file of alarms holds odd entries.", lambda site: _alarms(site))


def _alarms(site: Site) -> None:
    odd = [b"null", b"1", b'"x"', b"[]", b"{}", b'{"id": {"a": [1]}}', b"[" * 500 + b"]" * 500]
    (site.state / "alarms.json").write_bytes(_ALARM % b", ".join(odd))


for _seed in range(2):
    damaged(
        f"bits-flipped-{_seed}",
        "In each file some bits are flipped.",
        _each(lambda _, data, seed=_seed: _flipped(data, seed)),
    )
    damaged(
        f"frames-wild-{_seed}",
        "Records with a right checksum and wild numbers.",
        _each(lambda _, data, seed=_seed: _wild(data, seed), ".seg"),
    )
    damaged(
        f"links-{_seed}", "Some files are links, FIFOs or folders.", lambda site, seed=_seed: _not_files(site, seed)
    )


def _flipped(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(1 + len(data) // 300):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


_HEAD = struct.Struct("<IIQQqqIIIIIBBBBHH")
_MAGIC = 0x31574745


def _wild(data: bytes, seed: int) -> bytes:
    """Some numbers of each frame become extreme ones; its checksum is right."""
    chance = random.Random(seed)
    out = bytearray(data)
    at = out.find(_MAGIC.to_bytes(4, "little"))
    while 0 <= at <= len(out) - _HEAD.size - 4:
        head = list(_HEAD.unpack_from(out, at))
        length = head[1]
        if at + _HEAD.size + 4 + length > len(out):
            break
        for _ in range(chance.randrange(4)):
            number = chance.randrange(2, len(head))
            size = {"Q": 64, "q": 63, "I": 32, "B": 8, "H": 16}["IIQQqqIIIIIBBBBHH"[number]]
            head[number] = chance.choice([0, 1, 2**size - 1, 2 ** (size - 1), chance.randrange(2**size)])
        payload = bytearray(out[at + _HEAD.size + 4 : at + _HEAD.size + 4 + length])
        if payload and chance.random() < 0.5:
            payload[chance.randrange(len(payload))] = chance.choice([0, 255, 127, 128])
        body = _HEAD.pack(*head)
        crc = zlib.crc32(payload, zlib.crc32(body))
        out[at : at + _HEAD.size + 4 + length] = body + struct.pack("<I", crc) + payload
        at = out.find(_MAGIC.to_bytes(4, "little"), at + _HEAD.size + 4 + length)
    return bytes(out)


def _not_files(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    for path in _files(site.state):
        if chance.random() < 0.4:
            path.unlink()
            kinds = [
                lambda path=path: os.mkfifo(path),
                lambda path=path: path.symlink_to("/dev/zero"),
                lambda path=path: path.symlink_to("/dev/full"),
                lambda path=path: path.symlink_to(path.name),
                lambda path=path: path.symlink_to("/nowhere/at/all"),
                path.mkdir,
            ]
            chance.choice(kinds)()
