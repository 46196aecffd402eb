"""Options of a tag whose value stands in 16-bit words, as in most PLCs: checked, found in blocks, and made into bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from gateway.kit.blocks import Area, ValuePlace
from gateway.kit.registers import (
    NOT_AVAILABLE,
    ORDERS,
    PARTS,
    TEXT_ORDERS,
    TEXTS,
    encode,
    encode_bits,
    encode_text,
    published,
    registers_of,
    size_of,
)
from gateway.plugin import Field, TagConfig, field_validator, model_validator

WordType = Literal[
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "float16", "float32", "float64", "bcd16", "bcd32", "bcd64", "string", "bytes",
]  # fmt: skip
_MEANT = {
    "BOOL": "bool", "SINT": "int8", "USINT": "uint8", "BYTE": "uint8", "INT": "int16", "UINT": "uint16", "WORD": "uint16",
    "DINT": "int32", "UDINT": "uint32", "DWORD": "uint32", "LINT": "int64", "ULINT": "uint64", "LWORD": "uint64",
    "REAL": "float32", "LREAL": "float64", "FLOAT": "float32", "SINGLE": "float32", "DOUBLE": "float64", "STRING": "string",
}  # fmt: skip
"""Types as PLCs call them (IEC 61131-3, table 10), and as most register lists do."""
WordOrder = Literal[
    "A", "B", "AB", "BA", "ABCD", "CDAB", "BADC", "DCBA",
    "ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA",
]  # fmt: skip

NotAvailable = Literal["sunspec", "sma"] | list[int | float]

WordValue = float | bool | int | str | bytes
"""What can be written."""


A = TypeVar("A", bound=Area)


@dataclass(frozen=True, slots=True)
class WordArea:
    """Words of one kind, such as "D"; a `gateway.kit.blocks.Area`."""

    name: str
    """As addresses begin."""

    rank: int
    """Areas are read in this order."""

    word = "word"

    def size(self, count: int) -> int:
        """Bytes of data in the answer to a read of so many words."""
        return 2 * count

    def printed(self, offset: int) -> str:
        """The address as manuals and programming software show it."""
        return f"{self.name}{offset}"


@dataclass(frozen=True, slots=True)
class WordAddress(Generic[A]):
    """Words from one on, some bits of one, or what is a bit itself."""

    area: A
    offset: int
    bit: int | None = None
    """The lowest bit of the word that is meant, 0 the least significant; None for whole words."""

    width: int = 1
    """How many bits."""


class WordTag(TagConfig):
    """A value in words, some bits of a word, or a single bit. A subclass says how an address is read (`parse`), and what
    words are called."""

    parse: ClassVar[Callable[[str], WordAddress[Any]]]
    """The address that a text means. Raises ValueError with the way to write it."""

    word: ClassVar[str] = "word"
    """What a word is called in messages."""

    most: ClassVar[int] = 125
    """Words that one request reads, at most: no value has more."""

    text_order: ClassVar[str] = "AB"
    """Where a word has its characters, for a text that says nothing else."""

    address: str
    """Where it stands."""

    type: WordType | None = None
    """How to read the words. Needed for words; a bit is bool; several bits are uint16 unless it says otherwise. The
    names of PLCs (REAL, INT, DINT, WORD, …) are understood."""

    order: WordOrder | None = None
    """Byte order as it comes over the wire, A the most significant byte. Default: the device's. Of texts it says where a
    word has its characters: "AB" two, the first in the high byte; "BA" two, swapped; "A" or "B" one, in the high or the
    low byte."""

    length: int = Field(default=0, ge=0, le=250)
    """Characters of a string, or of bytes."""

    encoding: Literal["utf-8", "ascii", "latin-1"] = "utf-8"
    """Encoding of a string."""

    not_available: NotAvailable | None = Field(default=None, examples=["sunspec", [32768]])
    """What stands in the place of a value that the device has not; such a reading is bad. Default: the device's. [] for
    none."""

    def at(self) -> WordAddress[Any]:
        """The parsed address."""
        return type(self).parse(self.address)

    def bits(self) -> tuple[int, int] | None:
        """The lowest bit of a word that is meant, 0 the least significant, and how many; None for whole words."""
        at = self.at()
        return None if at.bit is None else (at.bit, at.width)

    def single(self) -> str:
        """What its address is, where that is one bit rather than a word: "coil"; else empty."""
        return ""

    @field_validator("address", mode="before")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        if not isinstance(value, str):
            example = (cls.model_fields["address"].examples or [""])[0]
            raise ValueError(f'{value!r} is no text; put the address in quotes, such as "{example}"')
        cls.parse(value)
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _as_meant(cls, value: Any) -> Any:
        return _MEANT.get(value.strip().upper(), value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fitting(self) -> "WordTag":
        if self.single() or self.bits() is not None:
            self._check_bits()
        else:
            self._check_words()
        return self

    def _check_bits(self) -> None:
        bit, width = self.bits() or (0, 1)
        if width > 1:
            if self.type not in (None, *PARTS):
                raise ValueError(
                    f'type: {width} bits of a {self.word} are one of {", ".join(PARTS)}, not "{self.type}"'
                )
        elif self.type not in (None, "bool"):
            what = f"a {self.single()}" if self.single() else f"bit .{bit} of a {self.word}"
            raise ValueError(f'type: {what} is one bit; write type = "bool" or leave type out, not "{self.type}"')
        if self.order is not None:
            raise ValueError("order: one bit has no byte order; leave order out")
        if self.length:
            raise ValueError("length: only a string or bytes have a length")

    def _check_words(self) -> None:
        if self.type is None:
            raise ValueError(f'type: say how to read the {self.word}, such as type = "uint16", "int16" or "float32"')
        if self.type in ("bool", "int8", "uint8"):
            part = "say which one" if self.type == "bool" else "say which byte"
            example = ".0" if self.type == "bool" else self._byte_example()
            raise ValueError(f'type: a {self.word} has 16 bits; {part}, such as address = "{self.address}{example}"')
        orders = TEXT_ORDERS if self.type in TEXTS else ORDERS[size_of(self.type)]
        if self.order is not None and self.order not in orders:
            raise ValueError(f'order: "{self.order}" does not fit {self.type}; write one of {", ".join(orders)}')
        if isinstance(self.not_available, list) and self.type not in TEXTS:
            for number in self.not_available:
                encode(number, self.type, orders[0])
        self._check_length()
        if self.type in TEXTS and self.scaled:
            raise ValueError(f"{'scale' if self.scale != 1 else 'offset'}: a {self.type} is no number; leave it out")
        if self.words() > self.most:
            raise ValueError(
                f"length: a request gives {self.most} {self.word}s at most, so {2 * self.most} characters, or "
                f"{self.most} with one a {self.word}"
            )

    def _byte_example(self) -> str:
        return ".8-15"

    def _check_length(self) -> None:
        if self.type in TEXTS and not self.length:
            raise ValueError(f"length: say how many characters the {self.type} has")
        if self.type not in TEXTS and self.length:
            raise ValueError("length: only a string or bytes have a length")

    def words(self) -> int:
        """How many it takes."""
        if self.single() or self.bits() is not None:
            return 1
        return registers_of(self.type or "", self.length, self.order or "")

    def value_type(self) -> str:
        bits = self.bits()
        if self.single() or (bits is not None and bits[1] == 1):
            return "bool"
        return published(self.type or "uint16")

    def absent(self, of_device: NotAvailable | None) -> tuple[float, ...]:
        """The numbers, as they stand in the words, that mean that there is no value; `of_device` is what its device says."""
        said = of_device if self.not_available is None else self.not_available
        if isinstance(said, str):
            return NOT_AVAILABLE[said].get(self.type or "", ())
        return tuple(said or ())

    def byte_order(self, of_device: str) -> str:
        """The tag's order, or what holds for such a type when it says none."""
        if self.order is not None:
            return self.order
        if self.type in TEXTS:
            return self.text_order
        return "AB" if size_of(self.type or "uint16") == 2 else of_device

    def place(self, row: int, byte: int, order: str, not_available: NotAvailable | None = None) -> ValuePlace:
        """Where the value stands in a block whose words, high byte first, begin so that its own is at `byte`; `order` and
        `not_available` are its device's."""
        bits = self.bits()
        if bits is None:
            order, absent = self.byte_order(order), self.absent(not_available)
            return ValuePlace(
                row, byte, self.type or "", order, length=self.length, encoding=self.encoding, absent=absent
            )
        bit, width = bits
        if width == 1:
            return ValuePlace(row, byte + (bit < 8), "bool", bit=bit % 8)
        return ValuePlace(row, byte, self.type or "uint16", bit=bit, width=width)

    def wire(self, value: WordValue, order: str) -> bytes:
        """The words that hold a value. Raises ValueError, with the reason, when they cannot."""
        order, type_ = self.byte_order(order), self.type or ""
        if type_ in TEXTS:
            if isinstance(value, int | float):
                raise ValueError(f"{value!r} is no text")
            return encode_text(value, self.length, order, self.encoding)
        return encode(_number(value), type_, order)

    def masked(self, value: WordValue) -> tuple[int, int]:
        """Of a value that is some bits of a word: which bits change, and to what. Raises ValueError."""
        bit, width = self.bits() or (0, 1)
        mask = (1 << width) - 1 << bit
        if width == 1:
            return mask, truth(value) << bit
        return mask, encode_bits(_number(value), bit, width, signed=(self.type or "").startswith("int"))


def truth(value: WordValue) -> bool:
    """The bit that is meant. Raises ValueError."""
    if value in (0, 1):
        return bool(value)
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: WordValue) -> float:
    if isinstance(value, str | bytes):
        raise ValueError(f"{value!r} is no number")
    return value
