"""Fetches secrets from where the configuration says that they are kept."""

import codecs
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from gateway.config.base import Secret
from gateway.config.encrypted import ENCRYPTED, ID, LONGEST, decrypt
from gateway.core.errors import GatewayError, RefusedError
from gateway.places.regular import read_regular

CREDENTIALS = Path("/etc/edge-gateway/credentials")
"""Where systemd takes the service's credentials from; read directly when the gateway is started by hand."""

_LONGEST = 64 * 1024
_remembered: dict[str, str] = {}


def resolve(secret: Secret, base: Path = Path()) -> str:
    """The secret itself, without the newline at its end. A relative file starts at `base`.

    Raises RefusedError, which says where to put it; the secret is in no message."""
    if (known := _remembered.get(secret.model_dump_json())) is not None:
        return known
    if secret.credential is not None:
        return _credential(secret.credential)
    if secret.file is not None:
        return _private(base / secret.file, f'secret file "{secret.file}"')
    assert secret.env is not None
    value = os.environ.get(secret.env)
    if not value:
        raise RefusedError(f"secret: the environment variable {secret.env} is not set; a credential is safer")
    return _one_line(value, f"secret: the environment variable {secret.env}")


def remember(options: BaseModel) -> None:
    """Have `resolve` give the secrets of a table from now on as they can be had now: who dials on the service's behalf may
    not read what systemd reads for the service."""
    adopt(known_of(options))


def known_of(options: BaseModel) -> dict[str, str]:
    """The secrets of a table as they can be had now, for `adopt` in another process; without those that cannot."""
    known = {}
    for _, secret in named_in(options):
        with suppress(RefusedError):
            known[secret.model_dump_json()] = resolve(secret)
    return known


def adopt(known: Mapping[str, str]) -> None:
    """Have `resolve` give these from now on."""
    _remembered.update(known)


def variables_of(options: BaseModel) -> Iterator[str]:
    """The environment variables that hold secrets of a table."""
    for _, secret in named_in(options):
        if secret.env is not None:
            yield secret.env


def named_in(options: BaseModel) -> Iterator[tuple[str, Secret]]:
    """The secrets that a table refers to, with their keys."""
    for key, value in options:
        if isinstance(value, Secret):
            yield key, value
        elif isinstance(value, BaseModel):
            yield from ((f"{key}.{inner}", secret) for inner, secret in named_in(value))


def _credential(name: str) -> str:
    what = f'credential "{name}"'
    if "/" in name or name.startswith("."):
        raise RefusedError(f"{what}: write the name of a file in {CREDENTIALS}, not a path")
    if os.environ.get("CREDENTIALS_DIRECTORY") is None:
        return _by_hand(name, what)
    found, _ = credential_files(name)
    if found is not None:
        return _content(found, what)
    raise RefusedError(f"{what} is missing: sudo edge-gateway secret set {name}, then restart the service")


def credential_files(name: str) -> tuple[Path | None, Path]:
    """What systemd has given of a credential when the service started, if anything, and where it takes it from."""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    # LoadCredential= of a whole directory gives each file as ID_NAME; the unit's ID is "gw".
    places = ((f"gw_{name}", CREDENTIALS), (f"{ID}_{name}", ENCRYPTED), (name, CREDENTIALS)) if given else ()
    found = ((Path(given or "", file), folder / name) for file, folder in places)
    return next((each for each in found if each[0].is_file()), (None, CREDENTIALS / name))


def _by_hand(name: str, what: str) -> str:
    """Without systemd: the files from which it takes them, as far as whoever asks may read those."""
    plain, sealed = CREDENTIALS / name, ENCRYPTED / name
    if os.access(plain, os.F_OK) or not os.access(sealed, os.F_OK):
        return _private(plain, what)
    try:
        word = decrypt(name, read_regular(sealed, LONGEST))
    except (OSError, GatewayError) as error:
        raise RefusedError(
            f"{what}: {sealed}: {error}; set it anew by  sudo edge-gateway secret set {name}  if this is another machine"
        ) from None
    return _text(word, what, sealed)


def _private(path: Path, what: str) -> str:
    """The content of a file that not everybody can read."""
    try:
        mode = path.stat().st_mode
    except PermissionError:
        raise RefusedError(f"{what}: you may not look for {path}: try with sudo") from None
    except OSError as error:
        raise RefusedError(
            f"{what}: {path}: {(error.strerror or str(error)).lower()}; create it with mode 600"
        ) from None
    if mode & stat.S_IROTH:
        raise RefusedError(f"{what}: every user of this machine can read {path}; chmod 600 it, and change the secret")
    return _content(path, what)


def _content(path: Path, what: str) -> str:
    try:
        data = read_regular(path, _LONGEST)
    except OSError as error:
        raise RefusedError(f"{what}: {path}: {(error.strerror or str(error)).lower()}") from None
    return _text(data, what, path)


def _text(data: bytes, what: str, path: Path) -> str:
    try:
        if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in data:
            raise RefusedError(f"{what}: {path} is UTF-16 text, or no text: save it as UTF-8")
        if data.startswith(codecs.BOM_UTF8):
            raise RefusedError(
                f"{what}: {path} begins with a byte order mark, which would be part of it: save it as UTF-8 without one"
            )
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise RefusedError(f"{what}: {path} is not UTF-8 text") from None
    if not text:
        raise RefusedError(f"{what}: {path} is empty")
    return _one_line(text, f"{what}: {path}")


def _one_line(text: str, what: str) -> str:
    if "\n" in text or "\r" in text:
        raise RefusedError(f"{what} has a second line: write the secret alone, on one line")
    return text


def doubt(secret: Secret) -> str:
    """What is allowed in a secret, and yet hardly meant; empty for most. Raises RefusedError as `resolve` does."""
    text = resolve(secret)
    if text == text.strip():
        return ""
    end = "begins" if text != text.lstrip() else "ends"
    return f"it {end} with a blank, which counts: if that is not meant, remove it (printf %s WORD > FILE writes none)"
