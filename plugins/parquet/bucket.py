"""A lake in an object store, by obstore. All calls block.

What is put is whole or not there. Files are put as often as it takes, each time the same bytes under the same name; a
manifest is put only where there is none (conditional put), so that two writers never take one number.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from gateway.plugin import LinkError, RefusedError, cleaned

from .config import ParquetConfig
from .store import AT_MOST


class Bucket:
    """A `Store`. Staging is on the disk of this machine: whatever is sealed there is put until it is there."""

    def __init__(self, config: ParquetConfig, staging: Path) -> None:
        self.staging = staging
        self._place = config.place
        with self._in_words():
            self._store = config.object_store()

    def look(self) -> None:
        """Whether the bucket is there, and lets us read."""
        with self._in_words():
            obstore.list_with_delimiter(self._store)

    def open(self) -> None:
        """The same, and make room for what is sealed."""
        self.look()
        self.staging.mkdir(parents=True, exist_ok=True)

    def put(self, staged: Path, name: str) -> None:
        """Copy it there."""
        with self._in_words():
            obstore.put(self._store, name, staged)

    def write(self, name: str, data: bytes) -> None:
        """Where nothing stands, or the same, or an empty file."""
        with self._in_words():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except NotSupportedError:
                obstore.put(self._store, name, data)
            except (AlreadyExistsError, PreconditionError) as error:
                there = self.read(name)
                if there == data:
                    return  # ours, whose answer was lost
                if there:
                    raise LinkError(
                        f"{self._place}/{name} is there, and not ours: does another gateway write here?"
                    ) from error
                obstore.put(self._store, name, data)

    def read(self, name: str) -> bytes | None:
        """What stands there; None: nothing."""
        with self._in_words(), suppress(NotFoundError, FileNotFoundError):
            got = obstore.get(self._store, name)
            if got.meta["size"] > AT_MOST:
                raise LinkError(f"{self._place}/{name} is longer than {AT_MOST} bytes, and so not ours")
            return bytes(got.bytes())
        return None

    def last(self, folder: str) -> str | None:
        """The greatest name in a folder; None: it is empty, or not there."""
        with self._in_words():
            listed = obstore.list_with_delimiter(self._store, folder)
        names = [*listed["common_prefixes"], *(each["path"] for each in listed["objects"])]
        return max((name.rstrip("/").rpartition("/")[2] for name in names), default=None)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (UnauthenticatedError, PermissionDeniedError) as error:
            raise RefusedError(
                f"{self._place}: the store refuses us: are user and password right, and may they list, read and write "
                f"there? It says: {_short(error)}"
            ) from error
        except (NotFoundError, FileNotFoundError) as error:
            raise RefusedError(f"{self._place}: the bucket is not there: {_short(error)}") from error
        except BaseError as error:
            gone = "NoSuchBucket" in str(error)
            raise LinkError(f"{self._place}: {'the bucket is not there: ' if gone else ''}{_short(error)}") from error


def _short(error: BaseException) -> str:
    """The first line of what the library says, which goes on with its own structures."""
    return cleaned((str(error).splitlines() or [""])[0][:300])
