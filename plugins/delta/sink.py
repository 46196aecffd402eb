"""The Delta sink. A record is acknowledged when the table's own log holds the version that brought it."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.kit.lake_place import in_words
from gateway.plugin import Batch, RangeSink, RefusedError, SinkHost

from .config import DeltaConfig

if TYPE_CHECKING:
    from .tables import Tables


class DeltaSink(RangeSink[DeltaConfig]):
    def __init__(self, config: DeltaConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._tables: Tables | None = None

    @property
    def promise(self) -> Mapping[str, Any]:
        said = {"protocol": "Delta Lake", "lake": self.config.place, "commits_every_s": self.config.commit_interval}
        return said if self._tables is None else {**said, **self._tables.promise}

    @property
    def progress(self) -> int:
        return 0 if self._tables is None else self._tables.progress

    async def connect(self) -> None:
        await self.in_thread(self._open)

    def _open(self) -> None:
        library = self._library()
        with in_words(self.config.place):
            self.config.look()
            self._tables = library.Tables(
                self.config, self.host.gateway, self.host.state_dir, self.host.memory, self.log
            )

    def _library(self) -> Any:
        try:
            from . import tables  # deltalake and pyarrow are loaded only where they are used
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"Delta needs a library that is not installed ({error.name}): {sys.executable} -m pip install "
                "deltalake pyarrow"
            ) from error
        return tables

    async def commit(self, batch: Batch) -> None:
        await self.in_thread(self._commit, batch)

    def _commit(self, batch: Batch) -> None:
        assert self._tables is not None
        with in_words(self.config.place):
            self._tables.commit(batch)

    async def check(self) -> str:
        """Looks at what is there, and writes nothing."""
        return await self.in_thread(self._found)

    def _found(self) -> str:
        library = self._library()
        with in_words(self.config.place):
            self.config.look()
            return str(library.found(self.config))

    async def close(self) -> None:
        """There is nothing to close: a version is there or not."""
