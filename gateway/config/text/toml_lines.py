"""Where each key of a TOML file stands: the parser keeps no positions, so a second pass over the text finds them."""

import re
from collections.abc import Mapping
from functools import cached_property

import tomli

Steps = tuple[str | int, ...]
"""Keys and list indexes from the top of the file, such as ("device", 0, "tags", "speed")."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|("(?:[^"\\\n]|\\.)*")|'([^'\n]*)')[ \t]*""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''',
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\n#]+")


class Lines:
    """Line numbers of a valid TOML text, which is searched when the first one is asked for: mostly that is never."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _lines(self) -> Mapping[Steps, int]:
        return _Scan(self._text).lines()

    def __getitem__(self, path: Steps) -> int:
        """The 1-based line of a key, else that of the nearest table around it; 0 for the file as a whole."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines[path] if path else 0


class _Scan:
    """One pass over the text, from top to bottom."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._found: dict[Steps, int] = {}
        self._last: dict[Steps, int] = {}

    def lines(self) -> Mapping[Steps, int]:
        table: Steps = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()
        return self._found

    def _header(self) -> Steps:
        """A table's header; of an array of tables, the path ends with the new entry's index."""
        line, array = self._here(), self._text.startswith("[[", self._at)
        self._at += 1 + array
        keys = self._keys()
        self._at += 1 + array
        path: Steps = ()
        for key in keys[:-1]:
            path = self._newest((*path, key))
        path = (*path, keys[-1])
        if array:
            self._found.setdefault(path, line)
            self._last[path] = self._last.get(path, -1) + 1
            path = self._newest(path)
        self._found.setdefault(path, line)
        return path

    def _newest(self, path: Steps) -> Steps:
        return (*path, self._last[path]) if path in self._last else path

    def _pair(self, table: Steps) -> None:
        line = self._here()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._found.setdefault(path, line)
        self._at += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while match := _KEY.match(self._text, self._at):
            bare, basic, literal = match.groups()
            keys.append(_unquote(basic) if basic else bare if bare is not None else literal)
            self._at = match.end()
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return keys

    def _value(self, path: Steps) -> None:
        self._skip_blank()
        opening = self._text[self._at]
        if opening == "[":
            self._items(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            match = (_STRING if opening in "\"'" else _PLAIN).match(self._text, self._at)
            self._at = match.end() if match else len(self._text)

    def _items(self, path: Steps) -> None:
        index = 0
        while self._inside("]"):
            self._found[(*path, index)] = self._here()
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: Steps) -> None:
        while self._inside("}"):
            self._pair(path)

    def _inside(self, closing: str) -> bool:
        """Step over the opening bracket or a comma; false, and behind it, at the closing bracket."""
        if self._text[self._at] != closing:
            self._skip_blank()
            if self._text[self._at] in "[{,":
                self._at += 1
                self._skip_blank()
        if self._text[self._at] != closing:
            return True
        self._at += 1
        return False

    def _skip_blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        assert match
        self._at = match.end()

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line


def _unquote(basic: str) -> str:
    return str(tomli.loads(f"key = {basic}")["key"]) if "\\" in basic else basic[1:-1]
