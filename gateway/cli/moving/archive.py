"""The file of a backup: a gzipped tar that any tool can look into, whose end is a hash over all before it.

It begins with `backup.json` (who made it), and ends with `manifest.json` (size and SHA-256 of every file). Behind the tar
stands an empty gzip member whose extra field holds the SHA-256 of all bytes before it (RFC 1952, §2.3.1.1): one changed
byte anywhere, or a missing end, is seen before anything is unpacked.
"""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting, parse_json
from gateway.core.text import cleaned, hidden_in
from gateway.places.regular import open_regular

FORMAT = 1
FIRST, LAST, SEALED = "backup.json", "manifest.json", "secrets.sealed"
ROOMS = ("config", "state", "outbox", "outside")
"""Folders within the file: beside the configuration, in the state directory, of the log, and what lies elsewhere."""

_PORTION = 1 << 20
_AT_ONCE = 16 * 1024 * 1024
_LONGEST_HEAD = 64 * 1024 * 1024
"""Bytes of a file that is read into memory: the manifest, and the secrets."""
_LONGEST_FILE = 8 * 1024**3
_LONGEST_NAME = 1000
_MOST_FILES = 200_000
_TIMES = 300
"""How much smaller packing makes what gateways keep, at most; beyond it stands a file that is made to fill a disk."""
_SMALL = 256 * 1024 * 1024

_EMPTY = bytes((3, 0)) + bytes(8)
"""An empty deflate stream, its CRC and its length."""
_TAIL_HEAD = bytes((0x1F, 0x8B, 8, 4)) + bytes(4) + bytes((0, 0xFF, 36, 0)) + b"EG" + bytes((32, 0))
TAIL = len(_TAIL_HEAD) + 32 + len(_EMPTY)


class ArchiveError(GatewayError):
    """The file is no backup that can be used; says why."""


def tail(digest: bytes) -> bytes:
    """The end of a file whose bytes before it have this hash."""
    return _TAIL_HEAD + digest + _EMPTY


class Packing:
    """A backup that is being written. The file appears under its name when all of it is there."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")
        self._gzip = gzip.GzipFile("", "wb", 6, self._file, mtime=0)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by finish
        self.files: list[dict[str, Any]] = []
        self.add_bytes(FIRST, json.dumps({"format": FORMAT, **about}, ensure_ascii=False, indent=2).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def add_bytes(self, name: str, data: bytes, mode: int = 0o600) -> None:
        """A file that is in memory."""
        info = self._info(name, len(data), mode)
        self._tar.addfile(info, io.BytesIO(data))
        self._note(name, len(data), mode, hashlib.sha256(data).hexdigest())

    def add(self, name: str, path: Path, at_most: int | None = None) -> None:
        """A file as it is now, of one that grows so many bytes at most. Raises OSError."""
        with os.fdopen(open_regular(path), "rb") as file:
            found = os.fstat(file.fileno())
            size = found.st_size if at_most is None else min(found.st_size, at_most)
            mode = stat.S_IMODE(found.st_mode) & 0o777
            if size <= _AT_ONCE:
                self.add_bytes(name, file.read(size), mode)
                return
            reading = _Hashed(file)
            self._tar.addfile(self._info(name, size, mode), reading)  # type: ignore[arg-type]
            self._note(name, size, mode, reading.hash.hexdigest())

    def finish(self) -> int:
        """Write the end, durably, and give the file its name. Returns its bytes."""
        self.add_bytes(LAST, json.dumps({"files": self.files}, ensure_ascii=False, indent=1).encode())
        self._tar.close()
        self._gzip.close()
        self._file.flush()
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, "sha256").digest()
        self._file.seek(0, os.SEEK_END)
        self._file.write(tail(digest))
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._part.replace(self._path)
        return size

    def _info(self, name: str, size: int, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, mode
        return info

    def _note(self, name: str, size: int, mode: int, digest: str) -> None:
        self.files.append({"name": name, "size": size, "mode": mode, "sha256": digest})


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        return data


@dataclass(slots=True)
class Unpacked:
    """A backup whose files stand in a folder of their own, every one as it was packed."""

    about: dict[str, Any]
    files: dict[str, int] = field(default_factory=dict)
    """Name → mode, without those that the backup has for itself."""
    sealed: bytes = b""


def unpack(path: Path, folder: Path, room: int) -> Unpacked:
    """Unpack all of it into an empty folder that nobody else may write to, where so many bytes have room. Raises
    ArchiveError for whatever is not as it should be, and OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        size = _whole(file)
        file.seek(0)
        with doubting(lambda reason: ArchiveError(f"it is no backup of a gateway, or damaged: {reason}")):
            return _unpack(file, size, folder, room)


def look(path: Path) -> dict[str, Any]:
    """Who made it. Raises ArchiveError and OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        _whole(file)
        file.seek(0)
        with (
            doubting(lambda reason: ArchiveError(f"it is no backup of a gateway, or damaged: {reason}")),
            tarfile.open(fileobj=_Bounded(fileobj=file, mode="rb"), mode="r:") as tar,
        ):
            return _about(_small(tar, tar.next()))


def _whole(file: IO[bytes]) -> int:
    """The bytes of the file, if its end is the hash of what stands before. Raises ArchiveError."""
    size = os.fstat(file.fileno()).st_size
    if file.read(2) != b"\x1f\x8b":
        raise ArchiveError("it is no backup of a gateway: `edge-gateway backup` makes one")
    hashed, left = hashlib.sha256(), size - TAIL
    file.seek(0)
    while left > 0 and (portion := file.read(min(left, _PORTION))):
        hashed.update(portion)
        left -= len(portion)
    if file.read() != tail(hashed.digest()):
        raise ArchiveError(
            "it is damaged, or not all of it is there: its bytes are not those that were written. Take another copy of it"
        )
    return size


class _Bounded(gzip.GzipFile):
    """Gives no more at once than a sound file needs; a header that claims more is refused."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_HEAD:
            raise ArchiveError("it is damaged: a header of it has no end")
        return super().read(size)


def _unpack(file: IO[bytes], size: int, folder: Path, room: int) -> Unpacked:
    most = min(room, max(_SMALL, _TIMES * size))
    found: dict[str, dict[str, Any]] = {}
    with tarfile.open(fileobj=_Bounded(fileobj=file, mode="rb"), mode="r:") as tar:
        unpacked = Unpacked(_about(_small(tar, tar.next(), found)))
        total = 0
        while (member := tar.next()) is not None:
            if LAST in found:
                raise ArchiveError("it goes on behind its end")
            _check_member(member, found)
            total += member.size
            if total > most:
                raise ArchiveError(_too_large(total, room))
            if member.name in (LAST, SEALED):
                data = _small(tar, member, found)
                if member.name == LAST:
                    _compare(data, found)
                else:
                    unpacked.sealed = data
            else:
                _write(tar, member, folder, found)
                unpacked.files[member.name] = member.mode & 0o777
        if LAST not in found:
            raise ArchiveError("its end is missing")
    return unpacked


def _too_large(total: int, room: int) -> str:
    if total > room:
        return f"it holds more than {total} bytes, and the disk has room for {room}: make room first"
    return "it unpacks to far more than gateways keep: it was made to fill a disk"


def _about(data: bytes) -> dict[str, Any]:
    about = parse_json(data)
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ArchiveError("it does not say what it is")
    if about["format"] > FORMAT:
        raise ArchiveError(
            f"a newer version of the gateway made it ({cleaned(about.get('version'), 40)}): install that one here first"
        )
    return about


def check_name(name: str) -> None:
    """Raises ArchiveError for a name that may not stand in a backup: it must stay below the folder that it is unpacked to."""
    parts = PurePosixPath(name).parts
    sound = (
        len(name) <= _LONGEST_NAME
        and name == "/".join(parts)
        and parts[0] in ROOMS
        and len(parts) > 1
        and not {"..", "."} & set(parts)
        and "\\" not in name
        and not hidden_in(name)
        and name.isprintable()
    )
    if not sound:
        raise ArchiveError(f"it holds a file with the name {cleaned(name, 80)!r}, which leads out of it or is none")


def _check_member(member: tarfile.TarInfo, found: dict[str, dict[str, Any]]) -> None:
    if not member.isreg() or member.issparse():
        raise ArchiveError(f"{cleaned(member.name, 80)!r} in it is no plain file, but a link or something else")
    if member.name not in (LAST, SEALED):
        check_name(member.name)
    if member.name in found or len(found) >= _MOST_FILES:
        raise ArchiveError(f"it holds {cleaned(member.name, 80)!r} twice, or too many files")
    if not 0 <= member.size <= _LONGEST_FILE:
        raise ArchiveError(f"{cleaned(member.name, 80)!r} in it claims to have {member.size} bytes")


def _small(
    tar: tarfile.TarFile, member: tarfile.TarInfo | None, found: dict[str, dict[str, Any]] | None = None
) -> bytes:
    """A file that is read into memory; the first one must say what all of it is."""
    if member is None or not member.isreg() or member.size > _LONGEST_HEAD:
        raise ArchiveError("it does not begin as a backup does")
    if not found and member.name != FIRST:
        raise ArchiveError("it does not begin as a backup does")
    file = tar.extractfile(member)
    data = file.read() if file is not None else b""
    if found is not None:
        found[member.name] = {
            "name": member.name, "size": len(data), "mode": member.mode & 0o777, "sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
    return data


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, found: dict[str, dict[str, Any]]) -> None:
    place = folder / member.name
    hashed, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.fdopen(os.open(place, flags, 0o600), "wb")
    except OSError as error:
        raise ArchiveError(f"{cleaned(member.name, 80)!r} in it cannot be unpacked: {error.strerror}") from error
    with file:
        for portion in _portions(tar.extractfile(member)):
            hashed.update(portion)
            size += len(portion)
            try:
                file.write(portion)
            except OSError as error:
                raise ArchiveError(f"it cannot be unpacked to {folder}: {error.strerror}") from error
    found[member.name] = {
        "name": member.name, "size": size, "mode": member.mode & 0o777, "sha256": hashed.hexdigest(),
    }  # fmt: skip


def _portions(file: IO[bytes] | None) -> Iterator[bytes]:
    while file is not None and (portion := file.read(_PORTION)):
        yield portion


def _compare(manifest: bytes, found: dict[str, dict[str, Any]]) -> None:
    """Raises ArchiveError unless the manifest names all that was found, as it is, and nothing else."""
    told = parse_json(manifest)
    listed = {str(each["name"]): each for each in told["files"]}
    there = {name: each for name, each in found.items() if name != LAST}
    if listed != there:
        odd = next(iter({*listed} ^ {*there}), "") or next(name for name in there if there[name] != listed[name])
        raise ArchiveError(f"{cleaned(odd, 80)!r} in it is not as its list of files says")
