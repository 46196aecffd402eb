"""A device that records its own values: what a file says, of tags by name; read now, it has the gateway's time."""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np

from gateway.plugin import DeviceConfig, DeviceError, Driver, Readings, Tag, TagConfig, Tags


class RecorderConfig(DeviceConfig):
    past: str
    """The file: tag → rows of source time, value and quality, or a text with which it refuses."""


class Recorder(Driver[RecorderConfig, TagConfig]):
    """Gives its past in pages of ten."""

    async def connect(self) -> None:
        pass

    async def read(self, tags: Tags) -> Sequence[float]:
        return [1.0] * len(tags)

    async def history(self, tag: Tag, from_ns: int, to_ns: int) -> AsyncGenerator[Readings, None]:
        told = json.loads(Path(self.config.past).read_text()).get(tag.name, [])
        if isinstance(told, str):
            raise DeviceError(told)
        rows = [row for row in told if from_ns <= row[0]]  # the end is none of its business
        for at in range(0, len(rows), 10):
            t_ns, value, quality = zip(*rows[at : at + 10], strict=True)
            count = len(t_ns)
            ids = np.full(count, tag.id, np.uint32)
            yield Readings(
                self.devices[0], np.array(t_ns, np.int64), ids, np.array(value, float), np.array(quality, np.uint32)
            )
