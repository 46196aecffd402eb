import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.parsing import JSON_DEPTH, doubting, parse_json
from gateway.core.text import LONGEST, cleaned, encodable, shown

ANYTHING = st.text(st.characters(codec=None))


@given(ANYTHING)
def test_what_is_cleaned_can_be_sent_and_has_no_control_characters(text):
    clean = cleaned(text)
    assert orjson.loads(orjson.dumps(clean)) == clean
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in clean)
    assert len(clean) <= LONGEST


@given(ANYTHING)
def test_a_value_loses_nothing_but_what_is_no_character(text):
    kept = encodable(text)
    assert orjson.loads(orjson.dumps(kept)) == kept
    assert [a for a in text if not 0xD800 <= ord(a) < 0xE000] == [
        a for a, b in zip(kept, text, strict=True) if not 0xD800 <= ord(b) < 0xE000
    ]


def test_the_separators_of_a_bar_code_stay_in_a_value():
    assert encodable("0104012345\x1d17261130") == "0104012345\x1d17261130"


def test_plain_text_of_any_language_is_left_as_it_is():
    for text in ("Kessel °C", "반응기 온도", "温度", "a\u00a0b"):
        assert cleaned(text) == shown(text) == text or text == "a\u00a0b"


def test_a_terminal_is_not_moved_by_what_is_shown():
    assert shown("CN=plc\x1b[2J\nCN=good") == "CN=plc\\x1b[2J\\nCN=good"
    assert shown("abc\u202egood") == "abc\\u202egood"
    assert shown("Kessel \udcb0C") == "Kessel \\udcb0C"


@pytest.mark.parametrize(
    "kind", [RecursionError, MemoryError, TypeError, struct.error, OverflowError, KeyError, IndexError, AttributeError]
)
def test_whatever_a_parser_raises_is_its_own_error(kind):
    class WrongFileError(Exception):
        pass

    with pytest.raises(WrongFileError), doubting(WrongFileError):
        raise kind("odd")


def test_a_parsers_own_error_passes_as_it_is():
    own = ValueError("line 3")
    with pytest.raises(ValueError, match="line 3") as raised, doubting(ValueError):
        raise own
    assert raised.value is own


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[" * 100_000, "too deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too deep"),
        (b"[" * (JSON_DEPTH + 2) + b"]" * (JSON_DEPTH + 2), "deeper than"),
        (b'{"a":' * (JSON_DEPTH + 2) + b"1" + b"}" * (JSON_DEPTH + 2), "deeper than"),
        (b'"\xff"', "utf-8"),
        (b"1" * 5000, "digits"),
        (b'"' + b"a" * 101 + b'"', "longer"),
        (b"", "Expecting value"),
    ],
    ids=["open", "nested", "deep", "deep objects", "no text", "digits", "long", "empty"],
)
def test_a_json_document_that_is_wild_is_a_value_error(data, told):
    with pytest.raises(ValueError, match=told):
        parse_json(data, size=300_000 if b"a" * 101 not in data else 100)


def test_a_json_document_within_its_bounds_is_read():
    deep = b"[" * JSON_DEPTH + b"]" * JSON_DEPTH
    assert parse_json(b'{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
    assert parse_json(deep)
