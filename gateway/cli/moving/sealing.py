"""Secrets in a backup: one block, encrypted under a passphrase.

The key comes of the passphrase by scrypt (RFC 7914), the block is AES-256-GCM (NIST SP 800-38D): whoever changes one bit
of it, or has another passphrase, gets nothing.
"""

import base64
import getpass
import json
import os
import struct
import sys
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.parsing import doubting, parse_json
from gateway.places.regular import read_regular

_HEAD = struct.Struct(">8sBBB16s12s")
_MAGIC = b"EGWSEAL1"
_LOG_N, _R, _P = 16, 8, 1
"""64 MiB of memory for each guess."""
_MOST_LOG_N = 18
_LONGEST = 4096
SHORTEST = 12
"""Characters of a passphrase: the file may lie about for years."""


class PassphraseError(GatewayError):
    """It is not the passphrase, or there is none; says what to do."""


def seal(secrets: dict[str, tuple[int, bytes]], passphrase: str) -> bytes:
    """Files by name, each with its mode, encrypted."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = _HEAD.pack(_MAGIC, _LOG_N, _R, _P, os.urandom(16), nonce := os.urandom(12))
    plain = {name: {"mode": mode, "data": base64.b64encode(data).decode()} for name, (mode, data) in secrets.items()}
    return head + AESGCM(_key(head, passphrase)).encrypt(nonce, json.dumps(plain).encode(), head)


def unseal(sealed: bytes, passphrase: str) -> dict[str, tuple[int, bytes]]:
    """The files. Raises PassphraseError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = sealed[: _HEAD.size]
    if len(head) < _HEAD.size or head[:8] != _MAGIC:
        raise PassphraseError("the secrets in it are in a form that this version does not know")
    nonce = _HEAD.unpack(head)[5]
    try:
        plain = AESGCM(_key(head, passphrase)).decrypt(nonce, sealed[_HEAD.size :], head)
    except InvalidTag:
        raise PassphraseError("this is not the passphrase of the backup's secrets; nothing was changed") from None
    with doubting(lambda reason: PassphraseError(f"the secrets in it make no sense: {reason}")):
        return {
            str(name): (int(each["mode"]) & 0o777, base64.b64decode(each["data"], validate=True))
            for name, each in parse_json(plain).items()
        }


def _key(head: bytes, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    _, log_n, r, p, salt, _ = _HEAD.unpack(head)
    if not (10 <= log_n <= _MOST_LOG_N and r == _R and p == _P):
        raise PassphraseError("the secrets in it want more memory than makes sense: it is damaged")
    return Scrypt(salt, 32, 2**log_n, r, p).derive(passphrase.encode())


def passphrase_of(file: Path | None, *, anew: bool) -> str:
    """From a file (its first line), or asked for on the terminal; never an argument, which every user can read.
    `anew`: a new one, asked for twice. Raises PassphraseError."""
    if file is not None:
        try:
            text = read_regular(file, _LONGEST).decode().split("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise PassphraseError(f"the passphrase cannot be read from {file}: {error}") from None
        return _sound(text, anew)
    if not sys.stdin.isatty():
        raise PassphraseError(
            "nobody can be asked for the passphrase here: name a file that holds it by --passphrase-file"
        )
    first = getpass.getpass("Passphrase of the secrets: ")
    if anew and first != getpass.getpass("The same once more: "):
        raise PassphraseError("these were two different ones; nothing was written")
    return _sound(first, anew)


def _sound(text: str, anew: bool) -> str:
    if anew and len(text) < SHORTEST:
        raise PassphraseError(
            f"the passphrase must have {SHORTEST} characters at least: a backup may lie about for years"
        )
    if not text:
        raise PassphraseError("the passphrase is empty")
    return text
