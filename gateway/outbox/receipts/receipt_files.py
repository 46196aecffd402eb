"""Where receipts are kept: `receipts/` in the log's directory.

open.json          the period that records are being added to, as it was when a file of the log was last finished
FIRST.pending      a period of which something is not delivered everywhere, with its last receipts
FIRST.final        one of which nothing is pending any more
FIRST-START.index  device and readings of each of its records, from START on; goes when the period is final

FIRST and START are sequence numbers, 16 hex digits.
"""

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from gateway.core.parsing import doubting, parse_json
from gateway.outbox.receipts.body import read_receipt
from gateway.outbox.receipts.period import HOUR_NS, RECORDS_AT_MOST, Period
from gateway.outbox.write import Writer
from gateway.places.regular import open_regular, read_regular

log = structlog.get_logger()

KEPT = 2400
"""Periods that are kept after they are final: a hundred days of hours."""

FILE_AT_MOST = 64 * 1024 * 1024
"""Bytes of a period's file."""

_BEGIN = re.compile(rb'[0-9a-f]{8} \{"period":\{"first":\d+,"wall_ns":(\d+),')

Receipts = list[dict[str, Any]]


class ReceiptFiles:
    """The files of one log. The writer saves and removes them; everything else here blocks."""

    def __init__(self, directory: Path, writer: Writer) -> None:
        self.directory = directory
        self._writer = writer
        self._final = sorted(directory.glob("*.final"))
        self._indexes: dict[int, list[Path]] = {}
        """Index files of each period that is not final, by its first number."""
        for path in sorted(directory.glob("*.index")):
            if (numbers := _numbers(path)) is not None:
                self._indexes.setdefault(numbers[0], []).append(path)

    def make(self) -> bool:
        """The directory; says whether it was there already. A disk that does not take it is no reason not to start."""
        try:
            self.directory.mkdir()
        except FileExistsError:
            return True
        except OSError as error:
            log.warning("receipts cannot be kept", directory=str(self.directory), error=str(error))
        return False

    def save_open(self, period: Period, index_from: int, index: bytes) -> None:
        """The period as it is now, and what is new in its index; that goes to the disk first."""
        if index:
            path = self.directory / f"{period.first:016x}-{index_from:016x}.index"
            self._indexes.setdefault(period.first, []).append(path)
            self._writer.save(path, index)
        self._writer.save(self.directory / "open.json", packed(period, []))

    def close_open(self) -> None:
        """No period is open any more."""
        self._writer.remove([self.directory / "open.json"])

    def save_closed(self, period: Period, receipts: Receipts) -> None:
        """A period that has ended, with its last receipts. One that is final needs its index no more, and the oldest final
        ones go."""
        path = _path(self.directory, period)
        self._writer.save(path, packed(period, receipts))
        if period.final:
            self._final.append(path)
            indexes = self._indexes.pop(period.first, [])
            self._writer.remove([path.with_suffix(".pending"), *indexes, *self._final[:-KEPT]])
            self._final = self._final[-KEPT:]

    def index(self, first: int) -> list[tuple[int, bytes]]:
        """The parts of the index, as far as they are on disk, of the period that begins with this number; see `Index`."""
        found = []
        for path in list(self._indexes.get(first, ())):
            numbers = _numbers(path)
            with suppress(OSError):  # still to be written, or gone
                if numbers is not None:
                    found.append((numbers[1], read_regular(path, 4 * RECORDS_AT_MOST)))
        return found

    def open_period(self) -> Period | None:
        """The period that was open at an unclean stop, as far as it was saved."""
        found = load(self.directory / "open.json")
        return None if found is None else found[0]

    def pending(self) -> Iterator[Period]:
        """The periods that are not final, oldest first."""
        for path in sorted(self.directory.glob("*.pending")):
            if not path.with_suffix(".final").exists() and (found := load(path)) is not None:
                yield found[0]

    def last(self) -> Period | None:
        """The last closed period."""
        for path in sorted([*self.directory.glob("*.pending"), *self.directory.glob("*.final")], reverse=True):
            if (found := load(path)) is not None:
                return found[0]
        return None


def _numbers(path: Path) -> tuple[int, int] | None:
    """FIRST and START of an index; None for a file that is none."""
    match = re.fullmatch("([0-9a-f]{16})-([0-9a-f]{16})", path.stem)
    return None if match is None else (int(match[1], 16), int(match[2], 16))


def _path(directory: Path, period: Period) -> Path:
    return directory / f"{period.first:016x}.{'final' if period.final else 'pending'}"


def packed(period: Period, receipts: Receipts) -> bytes:
    """A file's content: JSON with a checksum."""
    data = orjson.dumps({"period": period.dump(), "receipts": receipts})
    return b"%08x %b\n" % (zlib.crc32(data), data)


def load(path: Path) -> tuple[Period, Receipts] | None:
    """The inverse; None for a file that is not there, and, with a warning, for a damaged one."""
    try:
        text = read_regular(path, FILE_AT_MOST)
        with doubting(ValueError):
            if zlib.crc32(text[9:-1]) != int(text[:8], 16):
                raise ValueError("checksum")
            body = parse_json(text[9:-1], size=FILE_AT_MOST)
            return Period.load(body["period"]), [read_receipt(each) for each in body["receipts"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("a file of receipts cannot be read", file=str(path), error=str(error))
        return None


def _may_touch(path: Path, from_ns: int, to_ns: int) -> bool:
    """Whether a period's file is worth reading whole: its first bytes say which hour it is of, unless they are damaged."""
    try:
        file = open_regular(path)
    except OSError:
        return True
    try:
        begin = _BEGIN.match(os.pread(file, 128, 0))
    except OSError:
        return True
    finally:
        os.close(file)
    if begin is None:
        return True
    hour_ns = int(begin[1]) // HOUR_NS * HOUR_NS
    return hour_ns < to_ns and hour_ns + HOUR_NS > from_ns


def kept(directory: Path, from_ns: int, to_ns: int) -> Receipts:
    """The receipts on disk of hours that touch this time (half-open), oldest first, also while a gateway runs."""
    told: Receipts = []
    for path in sorted(directory.glob("*.*"), key=lambda path: path.stem):
        if path.suffix not in (".pending", ".final") or not _may_touch(path, from_ns, to_ns):
            continue
        is_stale = path.suffix == ".pending" and path.with_suffix(".final").exists()
        if is_stale or (found := load(path)) is None:
            continue
        period, receipts = found
        if period.hour_ns < to_ns and period.hour_ns + HOUR_NS > from_ns:
            told += receipts
    return told
