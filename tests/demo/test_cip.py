"""The simulated cleaning skid behaves like one, and its S7 is one that the driver reads."""

import asyncio
import struct

import pytest

from gateway.demo.cip import TAGS, CipSkid
from gateway.demo.serve_cip import PLACES, TYPES, answer, block
from gateway.testing import build_device
from plugins.s7.driver import S7


def test_same_seed_and_steps_give_the_same_values():
    def run(seed):
        skid = CipSkid(seed)
        for _ in range(200):
            skid.step(0.5)
        return skid.state()

    assert run(7) == run(7) != run(8)
    assert list(run(7)) == list(TAGS) == list(PLACES)


def test_it_goes_through_its_phases_and_begins_anew():
    skid, seen = CipSkid(1), []
    hottest = {}
    for _ in range(700):
        skid.step(0.5)
        seen += [skid.phase] if skid.phase not in seen[-1:] else []
        hottest[skid.phase] = max(hottest.get(skid.phase, 0), skid.state()["conductivity"])
    assert seen[:7] == ["pre-rinse", "caustic", "rinse", "acid", "final rinse", "idle", "pre-rinse"]
    assert hottest["caustic"] > 50 > hottest["acid"] > 30
    assert skid.cycle == 3


@pytest.mark.parametrize("packet", [b"\3\0\0\7\2\xf0\x80", b"\3\0\0\x13\2\xf0\x80" + bytes(12), b"\3\0\0\4"])
def test_what_is_no_request_is_refused(packet):
    with pytest.raises((ValueError, IndexError, struct.error)):
        answer(packet, block(CipSkid()))


async def test_the_driver_reads_it():
    skid = CipSkid(3)

    async def talk(reader, writer):
        while head := await reader.read(4):
            packet = head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4)
            writer.write(answer(packet, block(skid)))
        writer.close()

    tags = {tag: {"address": place, "type": TYPES.get(tag, "REAL") or None} for tag, place in PLACES.items()}
    tags |= {"beyond": {"address": "DB1.DBW60"}, "other": {"address": "DB2.DBW0"}}
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        device = build_device(S7, {"host": "127.0.0.1", "port": port}, tags)
        driver = S7([device])
        await driver.connect()
        try:
            found = await driver.read(device.tags)
        finally:
            await driver.close()
    values = [found.exact.get(row, value) for row, value in enumerate(found.value)]
    for value, right in zip(values, skid.state().values(), strict=False):
        assert value == (pytest.approx(right, rel=1e-6) if isinstance(right, float) else right)
    assert list(found.quality == 0) == [True] * len(TAGS) + [False, False]
