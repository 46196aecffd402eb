"""The versions of a model, as files beside each other; whatever happens, the active one is a whole file.

    coater.onnx            is active
    coater.next.onnx       runs in shadow beside it, as soon as it is there and whole
    coater.previous.onnx   was active before
    coater.retired.onnx    was in shadow and is no longer wanted

A signature, FILE.sig, goes with its file.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.detect.models import MAX_SIZE
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular
from gateway.trust.signature import signature_path

Stamp = tuple[object, ...]


def next_of(path: Path) -> Path:
    """Where the next version of this model is looked for."""
    return path.with_name(f"{path.stem}.next{path.suffix}")


def previous_of(path: Path) -> Path:
    """Where the version before is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def retired_of(path: Path) -> Path:
    """Where a version is kept that was in shadow and did not become active."""
    return path.with_name(f"{path.stem}.retired{path.suffix}")


def approve(path: Path) -> None:
    """The next version becomes active, the active one the previous. Blocking. Raises GatewayError, also the others."""
    with _told(path):
        _copy(path, previous_of(path))
        _move(next_of(path), path)


def roll_back(path: Path) -> None:
    """The previous version becomes active again, and the active one the next: it runs in shadow."""
    with _told(path):
        _copy(path, next_of(path))
        _move(previous_of(path), path)


def retire(path: Path) -> None:
    """The next version is put aside."""
    with _told(path):
        _move(next_of(path), retired_of(path))


def stamp(path: Path) -> Stamp | None:
    """What changes when a model file or its signature does; None when there is no file."""
    one, other = _stamp(path), _stamp(signature_path(path))
    return (one, other) if one else None


def owner(path: Path) -> str:
    """Whose file it is; "unknown" where nobody can tell."""
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError, ValueError):
        return "unknown"


def sha256(path: Path) -> str:
    """Of the file's content; empty where it cannot be read, or is larger than a model may be."""
    try:
        return hashlib.sha256(read_regular(path, MAX_SIZE)).hexdigest()
    except OSError:
        return ""


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GatewayError(
            f"the gateway cannot change {error.filename or path.parent}: {error.strerror}; let its user write to "
            f"{path.parent}, or keep models in its state directory"
        ) from error


def _copy(source: Path, target: Path) -> None:
    for old, new in ((signature_path(source), signature_path(target)), (source, target)):
        if old.exists():
            write_whole(new, read_regular(old, MAX_SIZE))
        else:
            new.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    if signature_path(source).exists():
        signature_path(source).replace(signature_path(target))
    else:
        signature_path(target).unlink(missing_ok=True)
    source.replace(target)
