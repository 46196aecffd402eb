"""Reading and writing against a PLC in this process, which foreign clients understand (test_foreign.py)."""

import struct
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import DeviceError, LinkError, Search
from gateway.testing import read_all
from plugins.fins.driver import Fins
from plugins.fins.tests.fakes import FinsPlc, connected, make_device


def reads(plc: FinsPlc) -> list[tuple[int, int, int]]:
    """Area code, first word and number of words of each read."""
    return [struct.unpack(">BHxH", frame[12:18]) for frame in plc.asked if frame[10:12] == b"\1\1"]  # type: ignore[misc]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_every_type_in_omrons_order_and_every_area(transport: str) -> None:
    plc = FinsPlc()
    plc.put("D100", struct.pack(">f", 1.5)[2:] + struct.pack(">f", 1.5)[:2])
    plc.put("D102", struct.pack(">h", -7))
    plc.put("D103", bytes.fromhex("ddee bbcc 99aa 7788"))
    plc.put("D110", b"LOT-4711\0\0")
    plc.put("D120", bytes.fromhex("1234"))
    plc.put("W10", bytes.fromhex("0a20"))
    tags = {
        "real": {"address": "D100", "type": "REAL"},
        "int": {"address": "DM102", "type": "INT"},
        "big": {"address": "D103", "type": "ULINT"},
        "text": {"address": "D110", "type": "STRING", "length": 10},
        "bcd": {"address": "D120", "type": "bcd16"},
        "bit": "W10.05",
        "part": {"address": "W10.8-11"},
        "cio": "CIO20",
        "bare": "21",
        "holding": "H5",
        "auxiliary": "A448",
        "timer": "T3",
        "extended": "E100",
        "bank": "E1_100",
        "late bank": "E10_100",
    }
    async with getattr(plc, transport)() as port:
        device = make_device(tags, port, transport=transport)
        async with connected(device) as driver:
            found = await read_all(driver, device)
    assert found == [1.5, -7, 0x778899AABBCCDDEE, "LOT-4711", 1234, 1, 10, 20, 21, 5, 448, 3, 100, 100, 100]


async def test_neighbours_and_bits_share_a_read_up_to_what_the_plc_gives() -> None:
    plc = FinsPlc()
    async with plc.udp() as port:
        tags = {f"d{n}": f"D{n}" for n in range(0, 20, 4)} | {"bit": "D18.03", "far": "D300", "work": "W1"}
        device = make_device(tags, port)
        async with connected(device) as driver:
            await driver.read(device.tags)
        assert reads(plc) == [(0xB1, 1, 1), (0x82, 0, 19), (0x82, 300, 1)]


async def test_a_plc_that_gives_fewer_words_is_asked_for_fewer_and_no_tag_is_lost() -> None:
    plc = FinsPlc(most=100)
    async with plc.tcp() as port:
        device = make_device({f"d{n}": f"D{n}" for n in range(400)}, port, transport="tcp")
        async with connected(device) as driver:
            assert await read_all(driver, device) == list(range(400))
            plc.asked.clear()
            assert await read_all(driver, device) == list(range(400))
            assert len(plc.asked) == 4, "it is remembered"


async def test_a_word_that_the_plc_lacks_costs_its_own_tag_which_is_named() -> None:
    plc = FinsPlc()
    plc.holes = {("D", 7)}
    async with plc.udp() as port:
        device = make_device({"a": "D6", "b": "D7", "c": "D8"}, port)
        async with connected(device) as driver:
            with capture_logs() as logs:
                assert await read_all(driver, device) == [6, None, 8]
    (told,) = [log for log in logs if log["event"] == "the device refuses addresses"]
    assert (told["tags"], told["addresses"]) == ("b", "D7")
    assert told["reason"] == "the PLC has nothing at this address; compare with its manual (end code 1103)"


async def test_flags_of_a_cpu_error_beside_a_right_answer_do_not_spoil_it() -> None:
    async with FinsPlc(lambda _, answer: [answer[:13] + bytes([answer[13] | 0xC0]) + answer[14:]]).udp() as port:
        device = make_device({"a": "D6"}, port)
        async with connected(device) as driver:
            assert await read_all(driver, device) == [6]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_what_is_written_is_read_back_and_nothing_beside_it_changes(transport: str) -> None:
    plc = FinsPlc()
    tags: dict[str, Any] = {
        "real": {"address": "D100", "type": "float32"},
        "bit": "W10.05",
        "part": {"address": "W10.8-11"},
        "text": {"address": "H20", "type": "string", "length": 5},
    }
    async with getattr(plc, transport)() as port:
        device = make_device(tags, port, transport=transport)
        async with connected(device) as driver:
            for tag, value in zip(device.tags, (-2.25, 1, 5, "LOT-7"), strict=True):
                await driver.write(tag, value)
            assert await read_all(driver, device) == [-2.25, 1, 5, "LOT-7"]
            assert plc.words["W", 10] == 10 & ~0x0F20 | 1 << 5 | 5 << 8
            assert plc.words["D", 100] == 0, "the lower word comes first"
            with pytest.raises(DeviceError, match="neither true nor false"):
                await driver.write(device.tags[1], 7)


async def test_a_refused_write_is_told_with_what_to_look_at() -> None:
    def protected(request: bytes, answer: bytes) -> list[bytes]:
        return [answer[:12] + b"\x21\2"] if request[11] == 2 else [answer]

    async with FinsPlc(protected).udp() as port:
        device = make_device({"a": "D6"}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=r"protected against writing; .*DIP switch 1 \(end code 2102\)"):
                await driver.write(device.tags[0], 7)


async def test_nodes_are_learned_by_tcp_and_follow_from_addresses_by_udp() -> None:
    plc = FinsPlc()
    async with plc.tcp() as port, plc.udp() as udp_port:
        for options in ({"transport": "tcp", "port": port}, {"port": udp_port}, {"port": udp_port, "source_node": 33}):
            device = make_device({"a": "D6"}, **options)  # type: ignore[arg-type]
            async with connected(device) as driver:
                await driver.read(device.tags)
    assert [(frame[3], frame[4], frame[7]) for frame in plc.asked] == [(0, 10, 239), (0, 1, 1), (0, 1, 33)]


async def test_plcs_behind_another_one_share_its_line() -> None:
    plc = FinsPlc()
    async with plc.tcp() as port:
        near = make_device({"a": "D6"}, port, transport="tcp", name="near")
        far = make_device({"a": "D7"}, port, transport="tcp", name="far", network=2, node=5, unit=16)
        async with connected(near, far) as driver:
            assert [*await read_all(driver, near), *await read_all(driver, far)] == [6, 7]
        assert plc.connections == 1
    assert [tuple(frame[3:6]) for frame in plc.asked] == [(0, 10, 0), (2, 5, 16)]


@pytest.mark.parametrize(
    ("error", "said"),
    [(0x20, "all its connections are in use"), (0x22, "add it in the PLC's setup"), (0x99, "of its own")],
)
async def test_a_plc_that_refuses_fins_tcp_says_why(error: int, said: str) -> None:
    plc = FinsPlc()
    plc.refuse_tcp = error
    async with plc.tcp() as port:
        with pytest.raises(LinkError, match=said):
            async with connected(make_device({"a": "D6"}, port, transport="tcp")):
                pass


async def test_a_plc_that_is_not_reached_is_down_in_words() -> None:
    async with FinsPlc(lambda _, answer: [answer[:12] + b"\2\1"]).udp() as port:
        device = make_device({"a": "D6", "b": "D500"}, port, node=9)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=r"node 9.*not in the network; look at network and node"):
                await driver.read(device.tags)


async def test_it_says_what_it_is_and_is_found_by_udp_before_tcp() -> None:
    async def turn() -> None:
        """Go on at once."""

    plc = FinsPlc()
    async with plc.udp() as port:
        (found,) = [each async for each in Fins.discover(Search(turn, host="127.0.0.1", ports=(port,), timeout=10))]
    assert found.options == {"host": "127.0.0.1", "transport": "udp", "port": port}
    assert found.name == "Omron CJ2M-CPU33 02.01"
    assert found.tags == {"first": {"address": "D0", "type": "uint16"}}
    assert {frame[10:12] for frame in plc.asked} == {b"\5\1", b"\1\1"}, "it only reads"
