"""The campaign of faults is of use to a plain driver, without time-outs of its own, and says what it lacks."""

import pytest
import pytest_asyncio

from gateway.kit import Ended, Stream, open_stream
from gateway.plugin import DeviceConfig, Driver, TagConfig, Tags, Values
from gateway.testing import FaultCampaign, build_device, campaign, serving

LINES = Ended(b"\r\n", longest=100)
VALUES = {"left": 12.5, "right": -3.25}


class PlainDevice(DeviceConfig):
    port: int


class PlainTag(TagConfig):
    name: str

    def value_type(self) -> str:
        return "float64"


class Plain(Driver[PlainDevice, PlainTag]):
    """ "GET left" is answered by "left 12.5"."""

    async def connect(self) -> None:
        self._stream: Stream = await open_stream("127.0.0.1", self.config.port, LINES)

    async def read(self, tags: Tags) -> Values:
        return [await self._value(tag.config.name.encode()) for tag in tags]

    async def _value(self, name: bytes) -> float | None:
        answer = await self._stream.ask(b"GET %s\r\n" % name, lambda answer: answer.startswith(name + b" "))
        try:
            return float(answer.split()[1])
        except ValueError:
            return None

    async def close(self) -> None:
        await self._stream.close()


class Unfinished(FaultCampaign):
    driver = Plain
    values = VALUES

    @pytest_asyncio.fixture
    async def server(self):
        async def answer(reader, writer):
            while line := await reader.readline():
                name = line.split()[1].decode()
                writer.write(f"{name} {VALUES[name]}\r\n".encode())

        async with serving(answer) as port:
            yield port

    def device(self, port):
        return build_device(Plain, {"port": port, "timeout": "250ms"}, {name: {"name": name} for name in VALUES})


class TestPlain(Unfinished):
    requests = answers = LINES


class TestWhatItLacksIsSaid(Unfinished):
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch):
        monkeypatch.setattr(campaign, "_UNBENT", 0.5)

    async def test_a_manner_costs_what_it_must_and_is_over_when_it_is_repaired(self, server, monkeypatch):
        with pytest.raises(pytest.fail.Exception, match="give your class requests, answers"):
            await self.endures(lambda _, right: [right], "good", server, monkeypatch)

    async def test_frames_that_never_end(self, server, monkeypatch):
        monkeypatch.setattr(type(self), "requests", Ended(b"\x03"), raising=False)
        monkeypatch.setattr(type(self), "answers", LINES, raising=False)
        with pytest.raises(
            pytest.fail.Exception, match=r"changes nothing.*missing: left, right.*`requests` and `answers`"
        ):
            await self.endures(lambda _, right: [right], "good", server, monkeypatch)
