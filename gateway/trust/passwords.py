"""Passwords, as they are kept: argon2id (RFC 9106), which takes 64 MiB and some 100 ms for each guess."""

import importlib
import sys
import unicodedata
from typing import Any

from gateway.core.errors import GatewayError

SHORTEST = 12
"""Characters. Long beats odd (NIST SP 800-63B): no rule asks for digits and signs."""
LONGEST = 256
COSTS = {"time_cost": 3, "memory_cost": 65_536, "parallelism": 1}
"""Passes, KiB and threads of a guess."""
_KNOWN = ("password", "passwort", "gateway", "qwerty", "123456", "letmein", "welcome", "admin", "비밀번호")


def doubtful(password: str, name: str) -> str:
    """Why it cannot be taken, in words; empty when it can."""
    plain = _plain(password)
    if len(plain) < SHORTEST:
        return f"it has {len(plain)} characters, and at least {SHORTEST} are needed: take a few words"
    if len(plain) > LONGEST:
        return f"it has {len(plain)} characters, and {LONGEST} are the most"
    if any(unicodedata.category(sign) == "Cc" for sign in plain):
        return "it holds a control character"
    rest = plain.casefold().replace(name.casefold(), "")
    for known in _KNOWN:
        rest = rest.replace(known, "")
    if len(set(rest)) < 5:
        return "it is easily guessed: take a few words that have nothing to do with each other"
    return ""


def hashed(password: str) -> str:
    """As it is kept, with its own salt and costs. Blocking. Raises GatewayError where the library is missing."""
    return str(_hasher().hash(_plain(password)))


def fits(kept: str, password: str) -> bool:
    """Whether it is this password. Blocking. Raises GatewayError where the library is missing."""
    argon2 = _library()
    try:
        return bool(_hasher().verify(kept, _plain(password)))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _plain(password: str) -> str:
    """One keyboard writes "é" as one character and another as two."""
    return unicodedata.normalize("NFKC", password)


def _hasher() -> Any:
    return _library().PasswordHasher(**COSTS)


def _library() -> Any:
    try:
        return importlib.import_module("argon2")
    except ModuleNotFoundError as error:
        raise GatewayError(
            f"users need a library that is not installed ({error.name}): {sys.executable} -m pip install argon2-cffi"
        ) from error
