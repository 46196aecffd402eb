"""Takes secrets and the names of people out of what is shown to others.

Three nets over each other: values under keys that speak of secrets or people; every secret and every name that this machine
knows of, wherever it stands; and what looks like a secret, whoever knows it.
"""

import pwd
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.core.parsing import JSON_SIZE, doubting, parse_json
from gateway.places.regular import read_regular

GONE = "(removed)"
_SECRET_KEY = re.compile(
    r"pass|secret|token|credential|(^|_)key$|private|(^|_)pin($|_)|^auth|community|psk", re.IGNORECASE
)
_PERSON_KEY = re.compile(
    r"^(who|by|users?|user_?name|author|owner|operator|approved_by|approver|person|people|email|mail|phone|contact|comment|"
    r"reason|why|signature|signed_by|viewer|engineer|quality_role|admin|seen_by|shelved_by|acknowledged_by|loaded_by)$",
    re.IGNORECASE,
)
_KNOWN_BY_SHAPE = re.compile(
    r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)"
    r"|\$(?:argon2\w*|scrypt|pbkdf2[\w-]*|[0-9a-z]{1,2})\$\S+"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/\s@]+@"
    r"|(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{8,})"
    r"|(?i:(?<![\w])(?:[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key))\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|\S+)"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+",
    re.DOTALL,
)
_SHORTEST_SECRET, _SHORTEST_NAME = 4, 3
_LEAST_UID = 1000
_NOBODY = 65534
_COMMON = {
    "gateway", "root", "system", "edge-gateway", "operator", "admin", "viewer", "engineer", "quality", "none", "others",
}  # fmt: skip
"""Words that are nobody's name, though accounts are called so."""


class Redaction:
    """Collects what must not be told, and takes it out."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._names: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for each in pwd.getpwall():
            if _LEAST_UID <= each.pw_uid < _NOBODY:
                self.name(each.pw_name, *each.pw_gecos.split(","))

    def secret(self, *texts: str) -> None:
        """These are secrets, also line by line."""
        for text in texts:
            for line in (text, *text.splitlines()):
                stripped = line.strip()
                if len(stripped) >= _SHORTEST_SECRET and not stripped.startswith("-----"):
                    self._secrets |= {stripped, quote(stripped, safe="")}
        self._pattern = None

    def name(self, *texts: str) -> None:
        """People are called so."""
        self._names |= {
            text.strip()
            for text in texts
            if len(text.strip()) >= _SHORTEST_NAME and text.strip().lower() not in _COMMON
        }
        self._pattern = None

    def learn(self, told: Any, key: str = "") -> None:
        """All that stands under keys of secrets and people, so that it is known elsewhere too."""
        if isinstance(told, Mapping):
            for name, value in told.items():
                self.learn(value, str(name) if not _speaks(key) else key)
        elif isinstance(told, list | tuple):
            for each in told:
                self.learn(each, key)
        elif isinstance(told, str) and _SECRET_KEY.search(key):
            self.secret(told)
        elif isinstance(told, str) and _PERSON_KEY.search(key) and len(told) <= 60:
            self.name(told.removeprefix("@"), *re.split(r" as ", told))

    def learn_file(self, path: Path) -> None:
        """A file that holds a secret: a credential, a key, the page's users."""
        with suppress(OSError):
            data = read_regular(path, JSON_SIZE)
            self.secret(data.decode("utf-8", errors="replace"))
            with suppress(ValueError), doubting(ValueError):
                self._all(parse_json(data))

    def _all(self, told: Any) -> None:
        """Every text and every key in it."""
        if isinstance(told, Mapping):
            for name, value in told.items():
                if isinstance(value, Mapping):
                    self.name(str(name))
                self._all(value)
        elif isinstance(told, list):
            for each in told:
                self._all(each)
        elif isinstance(told, str):
            self.secret(told)
            self.name(told)

    def plain(self, told: Any, key: str = "") -> Any:
        """The same without what must not be told."""
        if isinstance(told, Mapping):
            return {self.text(str(name)): self.plain(value, str(name)) for name, value in told.items()}
        if _speaks(key) and told not in (None, "", True, False, [], ()):
            return GONE
        if isinstance(told, list | tuple):
            return [self.plain(each, key) for each in told]
        return self.text(told) if isinstance(told, str) else told

    def text(self, text: str) -> str:
        """A text without what must not be told."""
        text = _KNOWN_BY_SHAPE.sub(GONE, text)
        found = self._known()
        return found.sub(GONE, text) if found is not None else text

    def _known(self) -> re.Pattern[str] | None:
        if self._pattern is None and (self._secrets or self._names):
            secrets = [re.escape(each) for each in sorted(self._secrets, key=len, reverse=True)]
            names = [rf"(?<!\w){re.escape(each)}(?!\w)" for each in sorted(self._names, key=len, reverse=True)]
            self._pattern = re.compile("|".join([*secrets, *names]), re.IGNORECASE)
        return self._pattern


def _speaks(key: str) -> bool:
    return bool(_SECRET_KEY.search(key) or _PERSON_KEY.search(key))
