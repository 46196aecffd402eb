"""A lake that this gateway writes: what is committed in it, and how a commit gets there. All calls block.

A commit is sealed first, in staging: whatever happens from then on, the same bytes are put under the same names, until the
manifest is there too. So a crash repeats files, and never rows; and what a manifest does not name is no part of the lake.
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.kit.committed import Committed
from gateway.plugin import (
    Batch,
    LinkError,
    Record,
    RefusedError,
    doubting,
    parse_json,
    read_regular,
    to_json,
    write_whole,
)

from .config import FEW_DEVICES, GROUPS, ParquetConfig
from .sealing import FORMAT, Said, Sealing
from .store import Store

ABOUT = "_lake.json"
STATE_AT_MOST = 64 * 1024 * 1024


@dataclass
class Stream:
    """What of one log is in the lake."""

    commit: int = 0
    """Number of the last commit; they count from 1."""
    sha256: str = ""
    """Of its manifest."""
    committed: Committed = field(default_factory=Committed)


class Lake:
    def __init__(self, config: ParquetConfig, gateway: str, folder: Path, store: Store, devices: int, log: Any) -> None:
        """`folder`: of the sink itself; `devices`: how many there are."""
        self._config = config
        self._gateway = gateway
        self._folder = folder
        self._store = store
        self._devices = devices
        self._log = log
        self._streams: dict[str, Stream] = {}
        self._sealing: Sealing
        self.progress = 0
        self.id = ""
        self.partition = ""
        self.readings = 0
        """Committed by this connection."""

    def open(self) -> None:
        """Find or make the lake, and finish what a connection before had sealed. Raises LinkError and OSError."""
        self._store.open()
        about = self._about()
        self.id, self.partition = str(about["lake"]), about["partition"]
        self._sealing = Sealing(self._store.staging, about["partition"], self._config.compression_level, self._went_on)
        if (manifest := self._sealing.found()) is not None:
            self._put(manifest)

    def commit(self, batch: Batch) -> None:
        """Write what is not there yet. Raises LinkError and OSError."""
        logs: dict[str, list[Record]] = {}
        for record in batch.records:
            logs.setdefault(record.log, []).append(record)
        for name, records in logs.items():
            stream = self._stream(name)
            some = Batch(records, batch.again)
            if new := stream.committed.new(some):
                self._commit(name, stream, records, new, batch)

    def _commit(
        self, name: str, stream: Stream, records: Sequence[Record], new: Sequence[Record], batch: Batch
    ) -> None:
        after = Committed.load(stream.committed.dump())
        after.add(records, batch.again)
        head = {
            "format": FORMAT,
            "lake": self.id,
            "gateway": self._gateway,
            "sink": self._config.name,
            "selection": _selection(self._config),
            "log": name,
            "commit": stream.commit + 1,
            "before": stream.sha256,
            "committed": after.dump(),
        }
        self._put(self._sealing.seal(new, self._gateway, head))
        self.readings += sum(record.rows for record in new)

    def _put(self, manifest: bytes) -> None:
        """Put a sealed commit into the lake, as often as it takes: files first, then the manifest, then note it."""
        said = _manifest(manifest, "the manifest in staging")
        if said["lake"] != self.id:
            raise RefusedError(
                f"{self._sealing.sealed} holds a commit for another lake ({said['lake']}) than {self._config.place}: "
                "give that one again, or remove the folder, and have its records sent anew (edge-gateway outbox replay)"
            )
        for file in said["files"]:
            self._store.put(self._sealing.sealed / file["staged"], file["path"])
            self._went_on()
        self._store.write(_path(said["log"], said["commit"]), manifest)
        self._note(said, manifest)
        self._sealing.done()

    def _note(self, said: Said, manifest: bytes) -> None:
        stream = self._streams[said["log"]] = _stream_of(said, manifest)
        state = {
            "format": FORMAT,
            "place": self._config.place,
            "lake": self.id,
            "commit": stream.commit,
            "sha256": stream.sha256,
            "committed": stream.committed.dump(),
        }
        write_whole(self._folder / f"{said['log']}.json", to_json(state))

    def _stream(self, log: str) -> Stream:
        """By what we have noted, as far as the lake agrees; else by its last manifest."""
        if log not in self._streams:
            noted = self._noted(log)
            self._streams[log] = noted if noted is not None and self._agrees(log, noted) else self._last(log)
        return self._streams[log]

    def _noted(self, log: str) -> Stream | None:
        said = self._state(log)
        if said is None or said["lake"] != self.id:
            return None
        return Stream(int(said["commit"]), str(said["sha256"]), Committed.load(said["committed"]))

    def _state(self, log: str) -> Said | None:
        path = self._folder / f"{log}.json"
        try:
            data = read_regular(path, STATE_AT_MOST)
        except FileNotFoundError:
            return None
        try:
            with doubting(LinkError):
                said = parse_json(data, size=STATE_AT_MOST)
                Committed.load(said["committed"])
                return {**said, "commit": int(said["commit"])}
        except LinkError as error:
            self._log.warning(
                "the note of what is in the lake is damaged; the lake is asked", file=str(path), error=str(error)
            )
            return None

    def _agrees(self, log: str, noted: Stream) -> bool:
        there = self._store.read(_path(log, noted.commit))
        right = there is not None and hashlib.sha256(there).hexdigest() == noted.sha256
        if right and self._store.read(_path(log, noted.commit + 1)) is None:
            return True
        self._log.warning(
            "the lake has other commits than were noted; it is believed", lake=self._config.place, log=log
        )
        return False

    def _last(self, log: str) -> Stream:
        """By the last manifest of the lake."""
        folder = f"_commits/{log}"
        if (thousand := self._store.last(folder)) is None or (name := self._store.last(f"{folder}/{thousand}")) is None:
            return Stream()
        path = f"{folder}/{thousand}/{name}"
        there = self._store.read(path) or b""
        said = _manifest(there, f"{self._config.place}: {path}")
        if said["sink"] != self._config.name and said["selection"] != _selection(self._config):
            raise RefusedError(
                f"{self._config.place} holds what the sink {said['sink']} of this gateway has sent, with another "
                "selection (only, without): nobody could tell what is there already. Give this sink a folder of its own"
            )
        return _stream_of(said, there)

    def _about(self) -> Said:
        there = self._store.read(ABOUT)
        if there is None and (place := self._known()):
            raise RefusedError(
                f"{place}/{ABOUT} is gone, though this sink has written there: is the disk mounted, is it the right "
                f"bucket? To begin anew there, put an empty file {ABOUT} into it"
            )
        if there:
            about = _about_of(there, self._config.place)
            if self._config.partition not in (None, about["partition"]):
                raise RefusedError(
                    f"{self._config.place} is parted by {about['partition']}, and stays so: write that, or name another place"
                )
            return about
        partition = self._config.partition or ("device" if self._devices <= FEW_DEVICES else "group")
        about = {
            "format": FORMAT,
            "lake": str(uuid.uuid4()),
            "gateway": self._gateway,
            "partition": partition,
            "groups": GROUPS,
        }
        self._store.write(ABOUT, to_json(about))
        return about

    def _known(self) -> str:
        """This place, if a lake was there."""
        for path in self._folder.glob("*.json"):
            said = self._state(path.stem)
            if said is not None and said.get("place") == self._config.place:
                return self._config.place
        return ""

    def _went_on(self) -> None:
        self.progress += 1


def _path(log: str, commit: int) -> str:
    return f"_commits/{log}/{commit // 1000:06}/{commit:09}.json"


def _stream_of(said: Said, manifest: bytes) -> Stream:
    return Stream(said["commit"], hashlib.sha256(manifest).hexdigest(), said["committed"])


def _selection(config: ParquetConfig) -> str:
    only, without = config.only, config.without
    return to_json([each.model_dump(mode="json") if each else None for each in (only, without)]).decode()


def _manifest(data: bytes, what: str) -> Said:
    """Checked, with its Committed made. Raises LinkError."""
    with doubting(lambda reason: LinkError(f"{what} is damaged: {reason}")):
        said = parse_json(data, size=STATE_AT_MOST)
        if not isinstance(said, dict) or said["format"] != FORMAT:
            raise ValueError(f"of another format than {FORMAT}")
        files = [{"path": str(file["path"]), "staged": str(file["staged"])} for file in said["files"]]
        return {
            **{name: str(said[name]) for name in ("lake", "log", "sink", "selection")},
            "commit": int(said["commit"]),
            "committed": Committed.load(said["committed"]),
            "files": files,
        }


def _about_of(data: bytes, place: str) -> Said:
    with doubting(lambda reason: RefusedError(f"{place}/{ABOUT} is not what the gateway writes there: {reason}")):
        said = parse_json(data)
        if (
            not isinstance(said, dict)
            or said["format"] != FORMAT
            or said["partition"] not in ("device", "group", "date")
        ):
            raise ValueError(f"no lake of format {FORMAT}")
        return {**said, "lake": str(said["lake"]), "gateway": str(said["gateway"])}


def found(store: Store, place: str) -> str:
    """For a check: what is there, in words; changes nothing. Raises LinkError and OSError."""
    about = store.read(ABOUT)
    if not about:
        return f"{place}: there, and no lake yet"
    said = _about_of(about, place)
    return f"{place}: a lake that {said['gateway']} has begun, parted by {said['partition']}"
