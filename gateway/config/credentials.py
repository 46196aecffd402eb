"""What a device or sink shows of itself to a far side, and believes of it: whether that has changed since it was read."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from gateway.config.base import Secret, ServiceConfig
from gateway.config.kinds import CONNECTED
from gateway.config.model import Config
from gateway.config.secrets import credential_files, named_in, resolve
from gateway.core.errors import RefusedError
from gateway.places.regular import read_regular

LARGEST = 4 * 1024 * 1024
"""Bytes of a file that are looked at."""


_OWN = re.compile(r"(^|\.)tls\.(certificate|key|key_password)$")
"""What is shown to a far side that is dialled; each connection reads it anew."""


def fingerprints(config: Config) -> dict[str, str]:
    """Of each device, sink and service, by its kind and name, a hash over its secrets and over all files that it names: keys,
    certificates, authorities; without what only the next connection is concerned with. Blocking; what cannot be read counts
    as that."""
    return {where: _fingerprint(options, for_the_next=False) for where, options in _tables(config)}


def own_certificates(config: Config) -> dict[str, str]:
    """The same over what is left out there: a link that is good goes on with the certificate that it has shown."""
    return {where: _fingerprint(options, for_the_next=True) for where, options in _tables(config)}


def _for_the_next(options: BaseModel, key: str) -> bool:
    return _OWN.search(key) is not None and not isinstance(options, ServiceConfig)  # a service is dialled


def need_a_restart(config: Config) -> list[str]:
    """Secrets that systemd has given this process, and that were changed since, in words."""
    told = []
    for where, options in _tables(config):
        for key, secret in named_in(options):
            if secret.credential is not None and (changed := _changed(secret.credential)):
                told.append(f"{where}: {key}: {changed}")
    return told


def _tables(config: Config) -> Iterator[tuple[str, BaseModel]]:
    yield from ((f"{kind.table} {part.name}", part) for kind in CONNECTED for part in config.of_kind(kind))


def _changed(name: str) -> str:
    """What of a credential is newer than what systemd has given; empty if nothing is. The service may not look into root's
    folder, and sees only that something in it was replaced."""
    given, source = credential_files(name)
    if given is None:
        return ""
    with suppress(OSError):
        began = given.stat().st_mtime
        with suppress(PermissionError):
            return f'credential "{name}" was changed' if began < source.stat().st_mtime else ""
        if began < source.parent.stat().st_mtime:
            return f'credentials in {source.parent} were changed, maybe "{name}" too'
    return ""


def _fingerprint(options: BaseModel, *, for_the_next: bool) -> str:
    parts = [
        f"{key}={_word(secret)}" for key, secret in named_in(options) if _for_the_next(options, key) is for_the_next
    ]
    parts += [f"{key}={_file(path)}" for key, path in _paths(options) if _for_the_next(options, key) is for_the_next]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _paths(options: BaseModel) -> Iterator[tuple[str, Path]]:
    for key, value in options:
        if isinstance(value, Path):
            yield key, value
        elif isinstance(value, BaseModel) and not isinstance(value, Secret):
            yield from ((f"{key}.{inner}", path) for inner, path in _paths(value))


def _word(secret: Secret) -> str:
    try:
        return resolve(secret)
    except RefusedError as error:
        return f"refused: {error}"


def _file(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(os.fspath(path), LARGEST)).hexdigest()
    except OSError as error:
        return f"refused: {error.strerror}"
