"""Whatever a configuration, or a file that it names, is or holds: a ConfigError with words comes out, at once."""

import os
import random
import re
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.text import sheet, toml_file
from gateway.core.errors import ConfigError
from tests.config.sample_plugins import look_up
from tests.places.test_regular import ODD

GOOD = """
[gateway]
name = "gw"
[[device]]
name = "press-1"
driver = "plc"
host = "10.0.0.1"
[device.tags]
speed = { address = "hr:1" }
"""


def told(text: str | bytes, tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as refused:
        load(path, look_up)
    return str(refused.value)


DEEP = "brackets within brackets"
WILD = {
    "open brackets": ("a = " + "[" * 100_000, DEEP),
    "brackets": ("a = " + "[" * 900 + "]" * 900, DEEP),
    "a few brackets": ("a = " + "[" * 50 + "]" * 50, DEEP),
    "tables": ("a = " + "{a=" * 100_000, DEEP),
    "closed tables": ("a = " + "{a=" * 300 + "1" + "}" * 300, DEEP),
    "dotted keys": ("a" + ".a" * 50_000 + " = 1", DEEP),
    "headers": ("[a" + ".a" * 50_000 + "]", DEEP),
    "digits": (GOOD + "\n[outbox]\nx = " + "9" * 5000, "config.toml:12: a number of 5000 digits is too long"),
    "a long hexadecimal number": ("a = 0x" + "f" * 100_000, "unknown key"),
    "a long fraction": ("a = 1." + "9" * 100_000, "unknown key"),
    "an exponent": ("a = 1e" + "9" * 5000, ""),
    "a date": ("a = 9999-99-99", "not valid TOML"),
    "an offset": ("a = 2026-01-01T00:00:00+99:99", ""),
    "NUL": ("a = \0", "not valid TOML"),
    "only NUL": (b"\0" * 1000, "nothing but bytes NUL"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16"),
    "two marks": ("\ufeff\ufeff" + GOOD, ""),
    "one line": ("a" * 1_000_000, ""),
    "a giant": (b"#" * (toml_file.SIZE + 1), f"longer than {toml_file.SIZE} bytes"),
    "many keys": ("\n".join(f"k{n} = 1" for n in range(20_000)), "unknown key"),
    "a long duration": (GOOD + f'\n[outbox]\nkeep = "{"9" * 400}w"', "keep: 9999"),
    "a long size": (GOOD + f'\n[outbox]\nmax_size = "{"9" * 400} TiB"', "max_size: 9999"),
    "a long rate": (GOOD.replace(" }", f', write = true, max_rate = "{"9" * 5000}/s" }}'), "max_rate: "),
    "a path with NUL": (GOOD + '\n[[model]]\nfile = "a\\u0000b"\ndevices = ["press-1"]', "NUL"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", WILD)
def test_a_wild_configuration_is_refused_in_words(name: str, tmp_path: Path) -> None:
    text, words = WILD[name]
    assert words in told(text, tmp_path)


@pytest.mark.timeout(60)
def test_no_mutation_of_a_configuration_brings_anything_but_words(tmp_path: Path) -> None:
    rng = random.Random(8)
    path = tmp_path / "config.toml"
    pieces = [
        "[",
        "]",
        "{",
        "}",
        '"',
        "'''",
        "\\",
        "\0",
        "=",
        ".",
        "9" * 400,
        "\ufeff",
        "é",
        "[[device]]",
        "tags_file = 3",
        "\n",
    ]
    for _ in range(400):
        text = GOOD
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(pieces) * rng.choice([1, 1, 3]) + text[at + rng.choice([0, 1, 9]) :]
        path.write_text(text)
        try:
            load(path, look_up)
        except ConfigError as refused:
            assert str(refused)


@pytest.mark.parametrize("lay", ODD)
def test_what_is_no_file_is_told_and_never_waited_for(lay, tmp_path: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    lay(place / "config.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(place / "config.toml", look_up)
    lay(tmp_path / "tags.csv")
    by_file = GOOD.replace("[device.tags]", "").replace('speed = { address = "hr:1" }', 'tags_file = "tags.csv"')
    assert "cannot be read" in told(by_file, tmp_path)


TABLES = {
    "digits": "name,address,scale\nspeed,hr:1," + "9" * 5000,
    "a quote": 'name,address\n"speed,hr:1',
    "a giant cell": "name,address\nspeed," + "x" * 200_000,
    "many cells": "name,address\n" + "," * 100_000,
    "NUL": "name,address\nspe\0ed,hr:1",
    "half a character": b"\xff\xfen\0a\0m\0e\0,\0\x00\xd8",
    "brackets": "name,address,clamp\nspeed,hr:1," + "[" * 10_000,
    "one row": "name",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_a_wild_tag_file_is_told_in_words(content: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    by_file = GOOD.replace("[device.tags]", "").replace('speed = { address = "hr:1" }', 'tags_file = "tags.csv"')
    assert "tags.csv" in told(by_file, tmp_path)


@pytest.mark.parametrize("error", [RecursionError(), MemoryError(), TypeError("x"), ValueError("y")], ids=repr)
def test_whatever_the_parsers_raise_is_told(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    (tmp_path / "tags.csv").write_text("name,address\nspeed,hr:1\n")
    by_file = GOOD.replace("[device.tags]", "").replace('speed = { address = "hr:1" }', 'tags_file = "tags.csv"')
    with monkeypatch.context() as patched:
        patched.setattr(sheet.csv, "reader", fails)
        assert "tags.csv" in told(by_file, tmp_path)
    monkeypatch.setattr(toml_file.tomli, "loads", fails)
    assert "is not a configuration" in told(GOOD, tmp_path)


NAMES = {
    "": "must not be empty",
    ".": 'must not be "."',
    "..": 'must not be ".."',
    "a/b": "becomes a level of topics",
    "a\0b": "must not hold '\\x00'",
    "a\x7fb": "must not hold \\x7f",
    "a\u202eb": "must not hold \\u202e",
    "a\u200bb": "must not hold \\u200b",
    "a\u2028b": "must not hold \\u2028",
    "a\ufeffb": "must not hold \\ufeff",
    "press ": "must not end with a space",
    "게" * 81: "has 243 bytes in UTF-8",
    "x" * 121: "120",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("what", ["gw", "press-1"])
def test_a_name_that_cannot_be_stored_or_told_apart_is_refused_with_what_to_write(what, name, tmp_path: Path) -> None:
    escaped = "".join(char if char.isalnum() else f"\\u{ord(char):04x}" for char in name)
    assert NAMES[name] in told(GOOD.replace(f'"{what}"', f'"{escaped}"', 1), tmp_path)


@pytest.mark.parametrize(
    "name",
    ["게" * 80, "می\u200cشود", "Čistička 3", "x" * 120, "a.b", "...", "press-1 (old)"],
    ids=lambda name: ascii(name)[:20],
)
def test_other_names_are_good(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD.replace("press-1", name))
    assert load(path, look_up).devices[0].config.name == name


@pytest.mark.parametrize("other", ["Press-1", "PRESS-1", "ｐress-1", "press\u200d-1"])
def test_names_that_a_person_or_a_file_system_cannot_tell_apart_are_refused(other: str, tmp_path: Path) -> None:
    device = GOOD[GOOD.index("[[device]]") :]
    text = GOOD + device.replace("press-1", other)
    assert re.search(r'differs from "press-1" only .* taken already at .*config.toml:5', told(text, tmp_path))


def test_a_model_that_is_no_file_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    path = tmp_path / "config.toml"
    path.write_text(GOOD + '\n[[model]]\nfile = "m.onnx"\ndevices = ["press-1"]')
    assert load(path, look_up).files[tmp_path / "m.onnx"] == ""
