from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.text import Lines, Steps

TEXT = '''\
# a comment with [[brackets]] and = signs
top = 1
[gateway]
name = "g # no comment"
"quoted key" = 'x = y'
a.b.c = 1
a . "d e" = 2

[[device]]   # first
name = "a"
[device.tags]
x = { address = "1", clamp = [0, 1], deep = { deeper = 1 } }
y = {address="2"}

[[device]]
name = "b"
text = """
[not.a.table]
name = "no key"
\\""" quoted \\"""
"""
literal = \'\'\'
[[device]]
x = 'y'\'\'\'
list = [
    1, # one ]
    [2, 3],
    { k = "v" },
]
after = 1979-05-27T07:32:00Z
[device.tags]
z.address = "3"
[[device.part]]
n = 1
[[device.part]]
n = 2
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("top",), 2),
        (("gateway",), 3),
        (("gateway", "name"), 4),
        (("gateway", "quoted key"), 5),
        (("gateway", "a", "b", "c"), 6),
        (("gateway", "a", "d e"), 7),
        (("gateway", "nothing", "there"), 3),
        (("device",), 9),
        (("device", 0), 9),
        (("device", 0, "tags"), 11),
        (("device", 0, "tags", "x", "clamp", 1), 12),
        (("device", 0, "tags", "x", "deep", "deeper"), 12),
        (("device", 0, "tags", "y", "address"), 13),
        (("device", 0, "missing"), 9),
        (("device", 1), 15),
        (("device", 1, "text"), 17),
        (("device", 1, "literal"), 22),
        (("device", 1, "list"), 25),
        (("device", 1, "list", 0), 26),
        (("device", 1, "list", 1, 1), 27),
        (("device", 1, "list", 2, "k"), 28),
        (("device", 1, "after"), 30),
        (("device", 1, "tags", "z", "address"), 32),
        (("device", 1, "part", 1, "n"), 36),
        (("unknown",), 0),
        ((), 0),
    ],
)
def test_every_key_has_the_line_it_stands_on(place: Steps, line: int) -> None:
    tomli.loads(TEXT)
    assert Lines(TEXT)[place] == line


def _quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _inline(table: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_quoted(key)} = {value}" for key, value in table.items()) + "}"


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5)
SCALARS = st.one_of(
    st.integers(-99, 99).map(str),
    st.sampled_from(["true", "1.5", "1979-05-27", "'#'", '"]"', '"""\n[x]\n"""', "'''\n'''", '"\\""', '""']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",\n".join(items) + "]"),
        st.dictionaries(KEYS, inner, max_size=3).map(_inline),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_lines_are_right_in_any_valid_file(tables: list[dict[str, str]]) -> None:
    text, expected = "", {}
    for index, table in enumerate(tables):
        text += "\n[[t]] # table\n"
        expected["t", index] = text.count("\n")
        for key, value in table.items():
            expected["t", index, key] = text.count("\n") + 1
            text += f"{_quoted(key)} = {value}\n"
    tomli.loads(text)
    lines = Lines(text)
    assert {place: lines[place] for place in expected} == expected


@settings(deadline=None)
@given(st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=20))
def test_nested_lists_are_walked_to_their_end(shape: Any) -> None:
    def write(node: Any) -> str:
        return "1" if node is None else "[" + " , ".join(map(write, node)) + "]"

    assert Lines(f"a = {write(shape)}\nb = 1\n")[("b",)] == 2
