"""Values that come as texts: strings, dates and times of the day."""

from collections.abc import Callable
from datetime import datetime, timedelta

from gateway.plugin import Exact

Decode = Callable[[bytes], Exact | float]

_EPOCH = datetime(1970, 1, 1)


def narrow(data: bytes, encoding: str) -> str:
    """A STRING: what stands before the first zero. Raises ValueError where there is none, and for foreign bytes."""
    text, end, _ = data.partition(b"\0")
    if not end:
        raise ValueError("a text without an end: is it longer than its type says?")
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-8":
            raise
        return text.decode("latin-1")  # Windows-1252 leaves five places empty


def wide(data: bytes) -> str:
    """A WSTRING: what stands before the first zero. Raises ValueError where there is none."""
    for end in range(0, len(data) - 1, 2):
        if data[end : end + 2] == b"\0\0":
            return data[:end].decode("utf-16-le")
    raise ValueError("a text without an end: is it longer than its type says?")


def _date(data: bytes) -> str:
    return (_EPOCH + timedelta(seconds=int.from_bytes(data, "little"))).date().isoformat()


def _date_and_time(data: bytes) -> str:
    return (_EPOCH + timedelta(seconds=int.from_bytes(data, "little"))).isoformat()


def _time_of_day(data: bytes) -> str:
    since = int.from_bytes(data, "little")
    if since >= 86_400_000:
        raise ValueError("beyond a day")
    return (_EPOCH + timedelta(milliseconds=since)).time().isoformat("milliseconds")


def _long(form: Callable[[datetime], str], day: bool) -> Decode:
    """Nanoseconds, since 1970 or since midnight."""

    def decode(data: bytes) -> str:
        seconds, nano = divmod(int.from_bytes(data, "little"), 10**9)
        if day and seconds >= 86_400:
            raise ValueError("beyond a day")
        return f"{form(_EPOCH + timedelta(seconds=seconds))}.{nano:09d}"

    return decode


TEXTS: dict[str, tuple[int, Decode]] = {
    "DATE": (4, _date),
    "DATE_AND_TIME": (4, _date_and_time),
    "TIME_OF_DAY": (4, _time_of_day),
    "LDATE": (8, lambda data: _date(int.to_bytes(int.from_bytes(data, "little") // 10**9, 8, "little"))),
    "LDATE_AND_TIME": (8, _long(lambda at: at.isoformat(timespec="seconds"), day=False)),
    "LTIME_OF_DAY": (8, _long(lambda at: at.time().isoformat("seconds"), day=True)),
}
"""Size, and how it is made of bytes; all come as texts."""
