"""A driver that does all that a driver can; the tests load it as a plugin, and run it in their own process and in another."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.plugin import (
    Condition,
    Device,
    DeviceConfig,
    DeviceError,
    DeviceEvent,
    Discovered,
    Driver,
    Found,
    Guess,
    LinkError,
    Readings,
    Retained,
    Search,
    Secret,
    Tag,
    TagConfig,
    Tags,
    Values,
    resolve,
)

connections = 0
"""Since the module was imported."""


class WholeDevice(DeviceConfig):
    password: Secret | None = None
    fails: str = ""


class Whole(Driver[WholeDevice, TagConfig]):
    takes_turns = True

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        return [f"{len(device.tags)} tags"]

    @classmethod
    def methods(cls, config: WholeDevice) -> Mapping[str, Sequence[str]]:
        return {"oven": ["heat"]}

    @property
    def counts(self) -> Mapping[str, int]:
        return {"reads": self._reads}

    @property
    def facts(self) -> Mapping[str, str | float]:
        return {"security": "none", "connections": connections, "remembered": self.host.memory["connections"]}

    @property
    def remarks(self) -> Sequence[str]:
        if self._reads > 1:
            raise RuntimeError("nothing to say")
        return ["it is warm"]

    async def connect(self) -> None:
        global connections
        connections += 1
        self.host.memory["connections"] = self.host.memory.get("connections", 0) + 1
        self._reads = 0
        self._writes: dict[str, Any] = {}
        if self.config.fails:
            raise LinkError(self.config.fails)

    async def describe(self) -> Mapping[Tag, Found]:
        return {tag: Found("float64", "°C", "a \ud800 b") for tag in self.devices[0].tags}

    async def read(self, tags: Tags) -> Values:
        self._reads += 1
        names = [tag.name for tag in tags]
        match names[0]:
            case "array":
                return np.arange(len(tags), dtype=np.float64)
            case "ints":
                return np.arange(len(tags), dtype=np.int32)
            case "mixed":
                return [
                    2**60,
                    "text \ud800",
                    b"\x00\xff",
                    [1, [b"x", None]],
                    None,
                    True,
                    1.5,
                    np.float32(2.5),
                    {"a": [1]},
                ][: len(tags)]  # type: ignore[list-item]
            case "block":
                return self._block(tags)
            case "secret":
                assert self.config.password is not None
                return [resolve(self.config.password)]
            case "device_error":
                raise DeviceError("the device says no")
            case "bug":
                raise KeyError("a bug")
            case "waits":
                await asyncio.sleep(3600)
            case "reads_back":
                return [self._writes.get("one")]
        return [float(len(names))] * len(names)

    def _block(self, tags: Tags) -> Readings:
        n = len(tags)
        return Readings(
            self.devices[0],
            np.arange(1, n + 1) * 1_800_000_000_000_000_000 // n,
            tags.ids,
            np.full(n, np.nan),
            np.arange(n, dtype=np.uint32),
            {0: "first", n - 1: 2**70},
        )

    async def stream(self) -> AsyncIterator[Readings]:
        for _ in range(100):
            yield self._block(self.devices[0].tags)
        self.host.alive()
        raise LinkError("the stream is over")

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        if value == 13:
            raise DeviceError("the interlock is closed")
        self._writes[tag.name] = value
        self.host.bring(self._block(Tags(tag.device, [tag])))
        self.host.bring("42")  # type: ignore[arg-type]

    async def acknowledge(self, device: Device, condition: str, event: str, comment: str) -> None:
        self.host.tell(
            DeviceEvent(
                device.name, event, 1_800_000_000_000_000_000, comment, "alarm", {"n": [1, None]},
                Condition(condition, "Hot", True, None, True),
            )
        )  # fmt: skip
        await asyncio.to_thread(self.host.tell, Retained(device.name, frozenset({condition})))
        self.host.tell(DeviceEvent("of another", event, 1, comment))

    async def call(
        self, device: Device, target: str, method: str, arguments: Sequence[Any]
    ) -> Sequence[tuple[str, Any]]:
        return [("device", device.name), ("said", [target, method, *arguments])]

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        for n in range(5000):
            yield f"node-{n}", Found("int16", path=f"a/{n}")

    async def browse_types(self) -> AsyncIterator[tuple[str, Found]]:
        yield "path=R", Found("int32", path="R", role="state", group="R of a kind")

    async def history(self, tag: Tag, from_ns: int, to_ns: int) -> AsyncGenerator[Readings, None]:
        for t_ns in range(from_ns, to_ns):
            ids, good = np.array([tag.id], np.uint32), np.zeros(1, np.uint32)
            yield Readings(self.devices[0], np.array([t_ns]), ids, np.array([t_ns + 0.5]), good)

    async def guesses(self, device: Device, address: str, count: int) -> Sequence[Guess]:
        return [Guess({"address": address, "count": count}, 2**50)]

    @classmethod
    async def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        await search.turn()
        yield Discovered({"name": search.host})

    async def close(self) -> None:
        self.log.info("closed in good order", reads=self._reads)
