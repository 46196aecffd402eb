"""Node ids as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.opcua.address import Address, parse_address

identifiers = st.one_of(st.integers(0, 2**32 - 1), st.text(min_size=1), st.uuids(), st.binary(min_size=1))
namespaces = st.one_of(st.integers(0, 65535), st.text(st.characters(exclude_categories=["C"]), min_size=1))


@given(st.builds(Address, namespaces, identifiers))
def test_what_is_written_is_read_again(address):
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ns=2;s=Boiler.Temp", Address(2, "Boiler.Temp")),
        ("nsu=http://vendor.example/line;i=7", Address("http://vendor.example/line", 7)),
        ("nsu=urn:a%3Bb%25;s=x;y=z", Address("urn:a;b%", "x;y=z")),
        ("i=2258", Address(0, 2258)),
        ('ns=3;s="DB"."Motor"."Speed"', Address(3, '"DB"."Motor"."Speed"')),
    ],
)
def test_usual_forms(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Boiler.Temp", "write a node id such as"),
        ("ns=x;s=a", "write a node id such as"),
        ("ns=70000;s=a", "at most 65535"),
        ("ns=2;i=Motor", 'write "s=Motor"'),
        ("ns=2;i=4294967296", "a number up to"),
        ("ns=2;g=1234", "a GUID"),
        ("ns=2;b=???", "base64"),
    ],
)
def test_mistakes_are_told_with_the_right_way(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_address(text)
