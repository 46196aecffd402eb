"""Who a log is, and which numbers it has promised never to give out again."""

import errno
import hashlib
import os
import re
import struct
import uuid
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

from gateway.core.parsing import doubting, parse_json
from gateway.outbox.format.frames import FARTHEST
from gateway.places.durable import write_whole
from gateway.places.regular import is_still, open_regular, read_regular

log = structlog.get_logger()

FORMAT = 1
_SMALL_FILE = 64 * 1024
LOG_ID = re.compile("[0-9a-f]{16}")

MACHINE_ID = Path("/etc/machine-id")

_WHY = {
    "inode": "the directory was copied, or restored from a backup",
    "machine": "the machine id is another one: this PC is a clone of another, or its system was installed anew",
    "disk": "the directory stands on another disk",
}


@dataclass(frozen=True, slots=True)
class SetAside:
    """An old log that this place may not go on with."""

    log: str
    """Its id; "unknown" where that cannot be read."""
    directory: Path
    """Where its files stand now; it is a log that all commands can look at."""
    why: str

    @property
    def message(self) -> str:
        """For people: what has happened, and what to do."""
        return (
            f"A new log begins, because {self.why}. The old one ({self.log}) was set aside and is not sent: if its original "
            f"still runs, that one delivers it; if not, see  edge-gateway outbox export --dir {self.directory}"
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the log of a directory is."""

    log: str
    """16 hex digits."""
    set_aside: SetAside | None = None
    """The log that stood here before, where a new one had to begin."""


def identify(directory: Path) -> Identity:
    """The log in this directory; a new one for an empty directory, and for one that was copied.

    A copy would give out the numbers of its original a second time. So a log is bound to its directory's inode, the
    machine id and, where it can be known, the disk's serial number; if one of them differs, the old files are set aside.
    Raises OSError if the directory cannot be written.
    """
    path = directory / "log.json"
    here = _place(directory)
    try:
        known, was = read_identity(path)
    except FileNotFoundError:
        if not ((directory / "numbers").exists() or any(directory.glob("*/*.seg"))):
            return Identity(_new(path, here))
        known, why = "unknown", "log.json, which says who the log is, is missing"
    except ValueError:
        known, why = "unknown", "log.json, which says who the log is, is damaged"
    else:
        differs = [name for name in here if here[name] and was.get(name) and here[name] != was[name]]
        if not differs:
            return Identity(known)
        why = "; and ".join(_WHY[name] for name in differs)
    set_aside = SetAside(known, _move_aside(directory, known), why)
    log.warning(set_aside.message)
    return Identity(_new(path, here), set_aside)


def all_set_aside(directory: Path) -> list[Path]:
    """Every log that was ever set aside here and is still there, oldest first."""
    found = (directory / "set-aside").glob("*")
    return sorted((path for path in found if path.is_dir()), key=lambda path: path.stat().st_mtime_ns)


def read_identity(path: Path) -> tuple[str, dict[str, str]]:
    """Id and place of the log that this file describes. Raises OSError, and ValueError for a damaged file."""
    data = _read_small(path)
    with doubting(ValueError):
        identity = parse_json(data)
        name, place = str(identity["log"]), {str(key): str(value) for key, value in identity["place"].items()}
        if not LOG_ID.fullmatch(name) or identity.get("check") != _check(name, place):
            raise ValueError("checksum")
    return name, place


def _read_small(path: Path) -> bytes:
    """Raises OSError, and ValueError for what is too long to be one of the log's small files."""
    try:
        return read_regular(path, _SMALL_FILE)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ValueError(error.strerror) from error
        raise


def _check(name: str, place: dict[str, str]) -> str:
    """A wrong id would make every file of the log somebody else's."""
    return f"{zlib.crc32(orjson.dumps([name, place])):08x}"


def _new(path: Path, here: dict[str, str]) -> str:
    name = uuid.uuid4().hex[:16]
    identity = {"format": FORMAT, "log": name, "place": here, "check": _check(name, here)}
    write_whole(path, orjson.dumps(identity, option=orjson.OPT_INDENT_2))
    return name


def _move_aside(directory: Path, old: str) -> Path:
    """The identity goes last: a start that is interrupted here is begun anew."""
    aside = directory / "set-aside" / f"{old}-{uuid.uuid4().hex[:8]}"
    aside.mkdir(parents=True)
    entries = [entry for entry in directory.iterdir() if entry.name != "set-aside"]
    for entry in sorted(entries, key=lambda entry: entry.name == "log.json"):
        entry.rename(aside / entry.name)
    (aside / "ballast").unlink(missing_ok=True)
    return aside


def _place(directory: Path) -> dict[str, str]:
    return {
        "inode": str(directory.stat().st_ino),
        "machine": _short(_read(MACHINE_ID)),
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
SLOT_SIZE = 128
_LAST_EPOCH = 1 << 31


class NumbersFile:
    """Two slots, written in turn and in place: a torn write spoils one, and a full disk none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_regular(path, os.O_RDWR | os.O_CREAT)
        data = os.pread(self._file, 2 * SLOT_SIZE, 0)
        slots = _slots(data)
        self._count = max(slots, default=0)
        self.numbers: Numbers | None = slots.get(self._count)
        """What the file said; None for a new or wholly damaged one."""
        self.is_new = not data

    def write(self, numbers: Numbers) -> None:
        """Write and sync. Raises OSError."""
        n, count = numbers, self._count + 1
        body = _SLOT.pack(_SLOT_MAGIC, count, *n.reserved, *n.next, *n.total, n.boot, n.epoch, n.offset, n.clean)
        data = (body + zlib.crc32(body).to_bytes(4, "little")).ljust(SLOT_SIZE, b"\0")
        os.pwrite(self._file, data, count % 2 * SLOT_SIZE)
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

    def look(self) -> None:
        """Write it anew where somebody has removed it or put another in its place. Raises OSError."""
        if is_still(self._path, self._file):
            return
        self._path.unlink(missing_ok=True)
        file = open_regular(self._path, os.O_RDWR | os.O_CREAT)
        os.close(self._file)
        self._file = file
        if self.numbers is not None:
            self.write(self.numbers)

    def close(self) -> None:
        os.close(self._file)


def read_numbers(path: Path) -> Numbers | None:
    """What the file says, without touching it; None for a new or wholly damaged one. Raises OSError."""
    try:
        slots = _slots(_read_small(path))
    except ValueError:
        return None
    return slots[max(slots)] if slots else None


def _slots(data: bytes) -> dict[int, Numbers]:
    """By the count of writes; the greatest is the one that holds."""
    return dict(slot for i in (0, 1) if (slot := _unpack(data[i * SLOT_SIZE : (i + 1) * SLOT_SIZE])))


def _unpack(data: bytes) -> tuple[int, Numbers] | None:
    if len(data) < SLOT_SIZE:
        return None
    crc = int.from_bytes(data[_SLOT.size : _SLOT.size + 4], "little")
    if zlib.crc32(data[: _SLOT.size]) != crc:
        return None
    magic, count, r0, r1, n0, n1, t0, t1, boot, epoch, offset, clean = _SLOT.unpack_from(data)
    if magic != _SLOT_MAGIC or max(count, r0, r1, n0, n1, t0, t1, abs(offset)) >= FARTHEST or epoch > _LAST_EPOCH:
        return None
    return count, Numbers((r0, r1), (n0, n1), (t0, t1), boot, epoch, offset, bool(clean))
