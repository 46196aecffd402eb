"""The Parquet sink. A record is acknowledged when its commit is sealed, in the lake, and named by its manifest."""

import re
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.kit.lake_place import in_words
from gateway.plugin import Batch, RangeSink, RefusedError, SinkHost, read_regular, write_whole

from .config import ParquetConfig
from .store import Folder, Store

if TYPE_CHECKING:
    from .lake import Lake


class ParquetSink(RangeSink[ParquetConfig]):
    def __init__(self, config: ParquetConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._lake: Lake | None = None

    @property
    def promise(self) -> Mapping[str, Any]:
        said = {"protocol": "Parquet", "lake": self.config.place, "commits_every_s": self.config.commit_interval}
        if self._lake is not None:
            said |= {"parted_by": self._lake.partition, "committed_readings": self._lake.readings}
        return said

    @property
    def progress(self) -> int:
        return 0 if self._lake is None else self._lake.progress

    async def connect(self) -> None:
        await self.in_thread(self._open)

    def _open(self) -> None:
        lakes = self._library()
        folder = self.host.state_dir
        store = self._store(folder)
        devices = len(self.host.devices())
        self._lake = lakes.Lake(self.config, self.host.gateway, folder, store, devices, self.log)
        with in_words(self.config.place):
            self._lake.open()

    def _library(self) -> Any:
        try:
            from . import lake  # pyarrow is loaded only where it is used
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"Parquet needs a library that is not installed ({error.name}): {sys.executable} -m pip install pyarrow"
            ) from error
        return lake

    def _store(self, own: Path | None) -> Store:
        """`own`: the sink's folder; None in a check, which keeps nothing."""
        if self.config.folder is not None:
            return Folder(self.config.folder, _name_in(own / "writer") if own is not None else "")
        try:
            from .bucket import Bucket
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"an object store needs a library that is not installed ({error.name}): "
                f"{sys.executable} -m pip install obstore"
            ) from error
        return Bucket(self.config, (own or Path()) / "staging")

    async def commit(self, batch: Batch) -> None:
        await self.in_thread(self._commit, batch)

    def _commit(self, batch: Batch) -> None:
        assert self._lake is not None
        with in_words(self.config.place):
            self._lake.commit(batch)

    async def check(self) -> str:
        """Looks at what is there, and writes nothing."""
        return await self.in_thread(self._found)

    def _found(self) -> str:
        lakes, store = self._library(), self._store(None)
        with in_words(self.config.place):
            store.look()
            return str(lakes.found(store, self.config.place))

    async def close(self) -> None:
        """There is nothing to close: what was sealed is finished by the next one."""


def _name_in(path: Path) -> str:
    """The name of this writer, which no other has; made once."""
    try:
        name = read_regular(path, 100).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        name = ""
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        name = uuid.uuid4().hex
        write_whole(path, name.encode())
    return name
