"""Text of other programs: which encoding it has is told by its first bytes, or by a person; it is never guessed."""

import codecs

from gateway.cli.importing.carried import Import, ImportRefusedError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes, told: str | None, made: Import) -> str:
    """The text. Raises ImportRefusedError with what to do."""
    if told is not None:
        return _by(data, told)
    for mark, name in _MARKS:
        if data.startswith(mark):
            if name == "utf-16":
                made.lost("the file", "it is UTF-16; it was read so")
            return _by(data, name)
    if b"\0" in data[:4096]:
        raise ImportRefusedError("no text, or UTF-16 without a mark of it: save it as UTF-8, or --encoding utf-16-le")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ImportRefusedError(
            f"line {line}: byte 0x{data[error.start]:02X} is not UTF-8. Save it as UTF-8, or say what it is: "
            "--encoding cp949 (Korean Windows), --encoding cp1252 (Western Windows), --encoding latin-1"
        ) from None


def _by(data: bytes, name: str) -> str:
    try:
        return data.decode(name).removeprefix("\ufeff")
    except LookupError:
        raise ImportRefusedError(f'there is no encoding "{name}": such as cp949, cp1252, latin-1, utf-16-le') from None
    except UnicodeError:
        raise ImportRefusedError(f"it is not {name}: some of its bytes mean nothing there") from None
