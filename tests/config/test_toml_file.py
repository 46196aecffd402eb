"""A file that is no TOML: all that is wrong with it in one pass, in words, and nothing that only follows from it."""

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.text import excerpt, mistakes

SEVERAL = """[gateway]
name = gw
log_level = "info" // a comment
[[device]]
name = "a"
Öl = 1
[device.tags
speed = { address = "1" }
name = True
[gateway]
name = "x"
temp\u200b = 5
"""


def test_several_mistakes_are_told_in_one_pass() -> None:
    assert [(line, told.partition(": ")[2]) for line, told in mistakes(SEVERAL)] == [
        (2, 'texts stand in quotes: name = "gw"'),
        (3, "a comment begins with #, not with //"),
        (6, 'a key with other letters than a to z, digits, - and _ stands in quotes: "Öl" = …'),
        (7, "expected ']' at the end of a table declaration"),
        (9, "write true or false, in small letters"),
        (10, "[gateway] stands twice: put all its keys under one"),
        (12, "a character that cannot be seen stands there (U+200B): delete it, or write a blank"),
    ]


@pytest.mark.parametrize(
    "text", ["a = [1,\nb = 2\nc = 3\nd = x\n", 'a = """\nb = 2\n', 'a = "x\nb = 2\n', "a = { b = 1\nc = 2\n"]
)
def test_what_is_left_open_is_told_once(text: str) -> None:
    assert len(mistakes(text)) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("// a comment", "a comment begins with #"),
        ('name = "x" // a comment', "a comment begins with #"),
        ("path = //server/share", "texts stand in quotes"),
        ("name\u00a0= 1", "cannot be seen stands there (U+00A0)"),
        ("\u200bname = 1", "cannot be seen stands there (U+200B)"),
        ("Größe = 1", '"Größe" = …'),
    ],
)
def test_what_people_write_by_mistake_is_named(line: str, told: str) -> None:
    ((number, message),) = mistakes(f"a = 1\n{line}\nb = 2\n")
    assert number == 2
    assert told in message


def test_the_line_is_shown_with_a_mark_and_none_with_a_secret() -> None:
    (line, told), *_ = mistakes("a = 1\nname = gw\n")
    assert excerpt("a = 1\nname = gw\n", line, told) == ["    name = gw", "           ^"]
    text = "password = gw\n"
    (line, told), *_ = mistakes(text)
    assert excerpt(text, line, told) == []


@given(st.text(st.sampled_from("ab=1[]{}\"'.,#/ \n\u200bö"), max_size=60))
def test_any_text_is_toml_or_has_mistakes_on_lines_of_its_own(text: str) -> None:
    found = mistakes(text)
    lines = [line for line, _ in found]
    assert len(set(lines)) == len(lines)
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        assert found
    else:
        assert found == []
