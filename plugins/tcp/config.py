"""How the telegrams of a machine look, and where in them a value stands."""

from functools import cached_property
from typing import Literal

from gateway.kit import UserPattern
from gateway.kit.registers import BYTE_FORMATS, decode, size_of
from gateway.plugin import DeviceConfig, Exact, Field, Host, Section, TagConfig, Tls, model_validator

_BINARY = tuple(name for name in BYTE_FORMATS if not name.startswith("bcd"))
Number = Literal["float64", "int64", "bool", "string", "bytes"]
Binary = Literal["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64", "float32", "float64", "int64"]


class TelegramLength(Section):
    """Where a telegram says how long it is."""

    at: int = Field(default=0, ge=0, le=64)
    """Bytes before the length."""

    bytes: Literal[1, 2, 4] = 2
    """Bytes of the length."""

    order: Literal["big", "little"] = "big"
    """Which of them comes first."""

    more: int = Field(default=0, ge=-64, le=1024)
    """What is to be added to the length, so that it is that of the whole telegram."""


class TelegramFrame(Section):
    """How telegrams begin and end: one of end, length and size."""

    end: str = Field(default="", examples=["\r\n", "\u0003"])
    """What a telegram ends with."""

    start: str = Field(default="", examples=["\u0002"])
    """What a telegram begins with; what comes before it is thrown away. Only with end."""

    length: TelegramLength | None = None
    """Where a telegram says how long it is."""

    size: int = Field(default=0, ge=0, le=65536)
    """Bytes of every telegram, where all have the same number."""

    longest: int = Field(default=1024, ge=1, le=65536)
    """Bytes of a telegram, at most."""

    @model_validator(mode="after")
    def _one(self) -> "TelegramFrame":
        given = [name for name in ("end", "length", "size") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"say one of end, length and size, not {' and '.join(given) or 'none of them'}")
        if self.start and not self.end:
            raise ValueError("start: only with end")
        return self


class TelegramDevice(DeviceConfig):
    """A machine that talks in telegrams over TCP. It is asked for them, or sends them by itself."""

    host: Host
    """Name or address of the machine."""

    port: int = Field(ge=1, le=65535)
    """Its TCP port."""

    tls: bool | Tls = False
    """true: encrypted, the machine's certificate checked against the system's authorities; or a table that says more."""

    frame: TelegramFrame | None = None
    """How its telegrams begin and end. Default: lines that end with CR LF."""

    ask: str = Field(default="", examples=["SI\r\n"])
    """What is sent at each scan, so that it answers. Tags may ask for something else."""

    pushed: bool = False
    """Whether it sends telegrams by itself; then nothing is asked, and scan does not count."""

    hello: str = ""
    """What is sent once after connecting, such as a login; no answer is waited for."""

    encoding: Literal["utf-8", "ascii", "latin-1"] = "latin-1"
    """Of the texts in telegrams."""

    bad: str = Field(default="", examples=["^ERR"])
    """A pattern (regular expression): telegrams that it is found in make the tags that they are asked for bad,
    or all of a machine that sends by itself."""

    uncertain: str = Field(default="", examples=["^S D"])
    """A pattern: values of telegrams that it is found in are uncertain, such as those of a scale that still swings."""

    @model_validator(mode="after")
    def _asked_or_pushed(self) -> "TelegramDevice":
        if self.pushed and self.ask:
            raise ValueError("ask: with pushed = true nothing is asked; leave one of both out")
        for name in ("bad", "uncertain"):
            _pattern(name, getattr(self, name))
        for name in ("ask", "hello"):
            octets(name, getattr(self, name))
        for name in ("end", "start"):
            octets(f"frame.{name}", getattr(self.telegrams, name))
        return self

    @cached_property
    def bad_pattern(self) -> UserPattern | None:
        """`bad`, when it is said."""
        return _pattern("bad", self.bad)

    @cached_property
    def uncertain_pattern(self) -> UserPattern | None:
        """`uncertain`, when it is said."""
        return _pattern("uncertain", self.uncertain)

    @property
    def telegrams(self) -> TelegramFrame:
        """How they are found."""
        return self.frame or TelegramFrame(end="\r\n")


class TelegramTag(TagConfig):
    """A value in a telegram: found by a pattern, or where it stands."""

    ask: str = ""
    """What is sent for this tag, in place of the device's; tags with the same share the answer."""

    pattern: str = Field(default="", examples=["^S S +([-0-9.]+)"])
    """A regular expression; the value is its first group, or all of it. A telegram in which it is not found is about
    something else."""

    at: int | None = Field(default=None, ge=-65536, le=65535)
    """In place of pattern: the byte at which the value begins, counted from 0; below 0 from the end."""

    length: int = Field(default=0, ge=0, le=65536)
    """Bytes of the value, with at. Default: up to the end; of a binary number what it takes."""

    type: Number | Binary | None = None
    """What the text means: float64, int64, bool, string or bytes. Default: string."""

    binary: bool = False
    """Whether the bytes at `at` are a number of `type`, and no text."""

    order: Literal["big", "little"] = "big"
    """Which byte of a binary number comes first."""

    decimal: Literal[".", ","] = "."
    """The decimal sign of numbers in texts."""

    true: str = "1"
    """The text that means true, of a bool; any other is false."""

    send: str = Field(default="", examples=["SETP {value:.1f}\r\n"])
    """What is sent to write the value, which stands for {value}; with a format of Python's such as {value:.1f}."""

    expect: str = Field(default="", examples=["^OK"])
    """A pattern: the answer to what was written is right if it is found there. Default: any answer is."""

    @model_validator(mode="after")
    def _fitting(self) -> "TelegramTag":
        if bool(self.pattern) == (self.at is not None):
            raise ValueError("say pattern, or at; one of both")
        if self.length and self.at is None:
            raise ValueError("length: only with at")
        _pattern("pattern", self.pattern)
        _pattern("expect", self.expect)
        octets("ask", self.ask)
        if self.binary:
            if self.at is None or self.type not in _BINARY:
                raise ValueError(f"binary: needs at, and a type that is one of {', '.join(_BINARY)}")
            if self.length not in (0, size_of(self.type)):
                raise ValueError(f"length: a {self.type} has {size_of(self.type)} bytes; leave it out")
        elif self.type not in (None, "float64", "int64", "bool", "string", "bytes"):
            raise ValueError(
                f'type: a text is float64, int64, bool, string or bytes, not "{self.type}"; or say binary = true'
            )
        if self.scaled and self.value_type() in ("string", "bytes", "bool"):
            raise ValueError(
                f"{'scale' if self.scale != 1 else 'offset'}: a {self.value_type()} is no number; leave it out"
            )
        self._check_sending()
        return self

    def _check_sending(self) -> None:
        if self.write and not self.send:
            raise ValueError("send: say what is sent to write the value")
        if self.send:
            try:
                octets("send", self.send.format(value="" if self.value_type() in ("string", "bytes") else 1))
            except (LookupError, ValueError, TypeError) as error:
                raise ValueError(f"send: {error}; the value stands for {{value}}") from error

    def value_type(self) -> str:
        return self.type or "string"

    @cached_property
    def value_pattern(self) -> UserPattern | None:
        """`pattern`, when it is said."""
        return _pattern("pattern", self.pattern)

    @cached_property
    def expected(self) -> UserPattern | None:
        """`expect`, when it is said."""
        return _pattern("expect", self.expect)

    def found(self, telegram: bytes, encoding: str) -> "Exact | float | None":
        """The value in a telegram; None where it is about something else, or too short. Raises OvertimeError, and ValueError
        for what is no value of the tag's type."""
        if self.value_pattern is not None:
            match = self.value_pattern.search(telegram.decode(encoding, "replace"))
            return None if match is None else self._meant((match.group(1) if match.re.groups else match.group()) or "")
        assert self.at is not None
        begin = self.at if self.at >= 0 else len(telegram) + self.at
        length = self.length or (size_of(self.type or "") if self.binary else len(telegram) - begin)
        part = telegram[begin : begin + length] if begin >= 0 else b""
        if len(part) != length or not length:
            return None
        if self.binary:
            order = "ABCDEFGH"[: len(part)]
            return decode(part, self.type or "", order if self.order == "big" else order[::-1])
        return part if self.type == "bytes" else self._meant(part.decode(encoding))

    def _meant(self, text: str) -> "Exact | float":
        text = text.strip()
        match self.type:
            case "float64":
                return _number(text, self.decimal)
            case "int64":
                return int(text)
            case "bool":
                return text == self.true
            case "bytes":
                return text.encode("latin-1", "replace")
            case _:
                return text


def _number(text: str, decimal: str) -> float:
    """Spaces between sign and digits are what scales do."""
    plain = text.replace(" ", "").replace(decimal, ".")
    if "_" in plain or not any(digit.isdigit() for digit in plain):  # "nan", and what Python alone takes for numbers
        raise ValueError(f"{text!r} is no number")
    return float(plain)


def _pattern(option: str, text: str) -> UserPattern | None:
    """None where nothing is said. Raises ValueError, with the reason, for what is no regular expression."""
    try:
        return UserPattern(text) if text else None
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error


def octets(option: str, text: str, encoding: str = "latin-1") -> bytes:
    """What goes over the line for a text. Raises ValueError for characters that the encoding has not."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f"{option}: it has characters that {encoding} has not") from error
