"""Who a log is, and which numbers it has promised never to give out again."""

import hashlib
import os
import struct
import uuid
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

log = structlog.get_logger()

FORMAT = 1


def log_id(directory: Path) -> str:
    """The id of the log in this directory, 16 hex digits; a new one for an empty directory, and for one that was copied.

    A copy would give out the numbers of its original a second time. So a log is bound to its directory's inode, the
    machine id and, where it can be known, the disk's serial number; if one of them differs, the old files are set aside.
    Raises OSError if the directory cannot be written.
    """
    path = directory / "log.json"
    here = _place(directory)
    try:
        known, was = read_identity(path)
    except FileNotFoundError:
        return _new(path, here)
    except ValueError:
        log.error("the outbox's identity file is damaged; a new log begins", file=str(path))
        return _set_aside(directory, path, here, "unknown")
    differs = [name for name in here if here[name] and was.get(name) and here[name] != was[name]]
    if not differs:
        return known
    log.warning("this outbox was copied from another place; a new log begins", differs=differs, old=known)
    return _set_aside(directory, path, here, known)


def read_identity(path: Path) -> tuple[str, dict[str, str]]:
    """Id and place of the log that this file describes. Raises OSError, and ValueError for a damaged file."""
    try:
        identity = orjson.loads(path.read_bytes())
        name, place = str(identity["log"]), dict(identity["place"])
        if identity.get("check") != _check(name, place):
            raise ValueError("checksum")
    except (KeyError, TypeError) as error:
        raise ValueError(f"no identity: {error!r}") from error
    return name, place


def _check(name: str, place: dict[str, str]) -> str:
    """A wrong id would make every file of the log somebody else's."""
    return f"{zlib.crc32(orjson.dumps([name, place])):08x}"


def _new(path: Path, here: dict[str, str]) -> str:
    name = uuid.uuid4().hex[:16]
    identity = {"format": FORMAT, "log": name, "place": here, "check": _check(name, here)}
    write_whole(path, orjson.dumps(identity, option=orjson.OPT_INDENT_2))
    return name


def _set_aside(directory: Path, path: Path, here: dict[str, str], old: str) -> str:
    aside = directory / "set-aside" / f"{old}-{uuid.uuid4().hex[:8]}"
    aside.mkdir(parents=True)
    for entry in list(directory.iterdir()):
        if entry.name != "set-aside":
            entry.rename(aside / entry.name)
    log.warning("the old outbox was set aside; what it had not delivered stays there", directory=str(aside))
    return _new(path, here)


def _place(directory: Path) -> dict[str, str]:
    return {
        "inode": str(directory.stat().st_ino),
        "machine": _short(_read(Path("/etc/machine-id"))),
        "disk": _short(_disk_serial(directory)),
    }


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""


def _disk_serial(directory: Path) -> str:
    device = directory.stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    for disk in (node, node.parent):
        for name in ("serial", "device/serial", "wwid", "device/wwid", "device/cid"):
            if serial := _read(disk / name):
                return serial
    return ""


def boot_number() -> int:
    """This boot, as the first 32 bits of the kernel's random boot id."""
    return int(_read(Path("/proc/sys/kernel/random/boot_id"))[:8] or "0", 16)


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace a file, so that a reader finds the old or the new one, never half of it."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    part.replace(path)
    if sync:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Where numbering stands, per lane (alarm, data)."""

    reserved: tuple[int, int] = (0, 0)
    """Every number below may have been given out."""
    next: tuple[int, int] = (1, 1)
    """First number not given out; true only when `clean`."""
    total: tuple[int, int] = (0, 0)
    """Readings accepted so far; true only when `clean`."""
    boot: int = 0
    epoch: int = 0
    offset: int = 0
    """Wall clock less boot clock, ns, when this was written."""
    clean: bool = False
    """Written at an orderly end."""


_SLOT = struct.Struct("<8sQQQQQQQIIqB")
_SLOT_MAGIC = b"EGWNUMB1"
_SLOT_SIZE = 128


class NumbersFile:
    """Two slots, written in turn and in place: a torn write spoils one, and a full disk none."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        data = os.pread(self._file, 2 * _SLOT_SIZE, 0)
        slots = _slots(data)
        self._count = max(slots, default=0)
        self.numbers: Numbers | None = slots.get(self._count)
        """What the file said; None for a new or wholly damaged one."""
        self.is_new = not data

    def write(self, numbers: Numbers) -> None:
        """Write and sync. Raises OSError."""
        n, count = numbers, self._count + 1
        body = _SLOT.pack(_SLOT_MAGIC, count, *n.reserved, *n.next, *n.total, n.boot, n.epoch, n.offset, n.clean)
        data = (body + zlib.crc32(body).to_bytes(4, "little")).ljust(_SLOT_SIZE, b"\0")
        os.pwrite(self._file, data, count % 2 * _SLOT_SIZE)
        os.fdatasync(self._file)
        self._count, self.numbers = count, numbers

    def reserve(self, lane: int, up_to: int) -> None:
        """Promise never to give out a number below `up_to` again. Raises OSError."""
        assert self.numbers is not None
        reserved = list(self.numbers.reserved)
        reserved[lane] = up_to
        self.write(replace(self.numbers, reserved=(reserved[0], reserved[1])))

    def note_clock(self, epoch: int, offset: int) -> None:
        """The wall clock was set, or has become trustworthy. Raises OSError."""
        assert self.numbers is not None
        self.write(replace(self.numbers, epoch=epoch, offset=offset))

    def close(self) -> None:
        os.close(self._file)


def read_numbers(path: Path) -> Numbers | None:
    """What the file says, without touching it; None for a new or wholly damaged one. Raises OSError."""
    slots = _slots(path.read_bytes())
    return slots[max(slots)] if slots else None


def _slots(data: bytes) -> dict[int, Numbers]:
    """By the count of writes; the greatest is the one that holds."""
    return dict(slot for i in (0, 1) if (slot := _unpack(data[i * _SLOT_SIZE : (i + 1) * _SLOT_SIZE])))


def _unpack(data: bytes) -> tuple[int, Numbers] | None:
    if len(data) < _SLOT_SIZE:
        return None
    crc = int.from_bytes(data[_SLOT.size : _SLOT.size + 4], "little")
    if zlib.crc32(data[: _SLOT.size]) != crc:
        return None
    magic, count, r0, r1, n0, n1, t0, t1, boot, epoch, offset, clean = _SLOT.unpack_from(data)
    if magic != _SLOT_MAGIC:
        return None
    return count, Numbers((r0, r1), (n0, n1), (t0, t1), boot, epoch, offset, bool(clean))
