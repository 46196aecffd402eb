"""Whole sessions with answers that are damaged at random: nothing but a lost link comes of them, and it is found again."""

from random import Random

import pytest

from gateway.core.errors import GatewayError
from gateway.plugin import quality
from gateway.testing import eventually
from plugins.opcua.requests import reading
from plugins.opcua.subscribe import items
from tests.peers.opcua_hostile import counting, published, values

from .bent import bent
from .conftest import kept_alive

DAMAGED = 25
"""Answers that are damaged in one session of tests."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Tags that were parked over a damaged answer are asked for again at once."""
    for module in (items, reading):
        monkeypatch.setattr(module, "FIRST_RETRY", 0.05)
        monkeypatch.setattr(module, "LAST_RETRY", 0.1)


def damaging(random: Random, often: float, done: list[int]):
    """Spoils some answers: bytes changed, cut off, put in, or repeated."""

    def spoil(body: bytes) -> bytes:
        if random.random() > often:
            return body
        done.append(len(body))
        data = bytearray(body)
        for _ in range(random.randint(1, 4)):
            at = random.randrange(len(data) + 1)
            match random.randrange(5):
                case 0 if at < len(data):
                    data[at] = random.randrange(256)
                case 1:
                    data[at:at] = random.randbytes(random.randint(1, 8))
                case 2:
                    del data[at : at + random.randint(1, 8)]
                case 3 if len(data) > 8:
                    data[at : at + 4] = random.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", b"\xf9\xff\xff\xff", bytes(4)])
                case 4 if len(data) > 30:
                    del data[random.randrange(20, len(data)) :]
        return bytes(data)

    return spoil


async def survive(seed: int, damaged: int, **options) -> None:
    """Sessions with so many damaged answers; afterwards the device delivers."""
    done: list[int] = []
    answer = counting(lambda number: published(number, values(3)))

    async with (
        bent(PublishRequest=answer) as server,
        kept_alive(server.device(timeout="1s", **options), 0.02) as collector,
    ):
        await eventually(lambda: collector.values("T0"))
        server.spoil = damaging(Random(seed), 0.2, done)
        await eventually(lambda: len(done) >= damaged, 100)
        server.spoil = bytes
        server.cut()
        collector.blocks.clear()
        await eventually(lambda: collector.values("T0"))
        assert all(code < quality.BAD for _, _, code in collector.rows("T0")[-1:])
    assert not [error for error in collector.lost if not isinstance(error, OSError | GatewayError)]


@pytest.mark.parametrize("acquisition", ["subscribe", "poll"])
async def test_sessions_with_damaged_answers_are_lost_links_and_no_more(acquisition):
    await survive(4, DAMAGED, acquisition=acquisition)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("acquisition", ["subscribe", "poll"])
async def test_many_sessions_with_damaged_answers_are_lost_links_and_no_more(seed, acquisition):
    await survive(seed, 2 * DAMAGED, acquisition=acquisition)
