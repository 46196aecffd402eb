"""Reading and writing by symbols, against the library's own server, to which `serve_symbols` adds types and values."""

import asyncio
import builtins
import random
import struct
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.plugin import Device, DeviceError, LinkError, RefusedError
from gateway.testing import build_device
from gateway.testing.fuzz import spoilt
from plugins.s7.driver import S7
from plugins.s7.symbol import parse_symbol
from plugins.s7.symbolic import driver as symbolic
from plugins.s7.symbolic.answers import NotGivenError, Wire, parse
from plugins.s7.symbolic.layout import Block, Layout, Symbol
from plugins.s7.tests.serve_symbols import BLOCKS, TYPES, VALUES, described
from plugins.s7.tests.simulated import connected
from plugins.s7.tests.symbols import certificate, cpu, make_device

MIXER = '"Mixer 1".'
EVERY: dict[str, Any] = {
    "temperature": 21.5, "count": -70000, "on": True, "wide": -(1 << 60) - 1, "lot": "LOT-7", "recipe": "µ°C",
    "started": "2026-11-30T14:15:16.123456789", "zone[2].X": 11, "zone[3].Y": 1.0, "limits": [0, 1, 2, 3],
    "limits[2]": 2.0, "grid[1,2]": 104, "bits[1,1]": True, "bits[1,0]": False, "inner.Y": 0.25, '"odd name.1"': -3,
    "stamp": "2026-11-30T00:53:20.000000001", "last": "2026-11-30T14:15:16.123",
}  # fmt: skip


async def read(driver: Any, device: Device) -> dict[str, Any]:
    return dict(zip([tag.name for tag in device.tags], await driver.read(device.tags), strict=True))


@pytest.mark.parametrize("encrypted", [True, False])
async def test_every_type_by_its_symbol(encrypted: bool) -> None:
    tags = {f"t{n}": MIXER + symbol for n, symbol in enumerate(EVERY)} | {"motor": "Motor_on"}
    async with cpu(encrypted) as plc:
        device = make_device(tags, plc.port, **({} if encrypted else {"tls": False}))
        async with connected(device) as driver:
            assert list((await read(driver, device)).values()) == [*EVERY.values(), True]
            assert str(driver.facts["security"]).startswith("TLS" if encrypted else "none")
            assert bool(driver.remarks) != encrypted


async def test_many_values_go_in_few_requests() -> None:
    async with cpu() as plc:
        device = make_device({f"w{n}": f"Many.w{n}" for n in range(300)}, plc.port)
        async with connected(device) as driver:
            assert list((await read(driver, device)).values()) == list(range(300))
            (plan,) = driver._plans.values()  # type: ignore[attr-defined]
            assert 6 <= len(plan.groups) <= 9


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ({"symbol": MIXER + "nope"}, "renamed, or deleted"),
        ({"symbol": "Nowhere.x"}, "no data block and no PLC tag"),
        ({"symbol": '"Mixer 1"'}, "name a value in it"),
        ({"symbol": MIXER + "zone"}, "name a member"),
        ({"symbol": MIXER + "zone.X"}, "say which element"),
        ({"symbol": MIXER + "zone[4].X"}, "from 1 to 3"),
        ({"symbol": MIXER + "grid[1]"}, "2 dimensions"),
        ({"symbol": MIXER + "count[0]"}, "no array"),
        ({"symbol": MIXER + "count.x"}, "no structure"),
        ({"symbol": MIXER + "count", "type": "INT"}, "the file says INT, and the CPU has DINT"),
        ({"symbol": MIXER + "limits", "type": "REAL[5]"}, r"the CPU has REAL\[4\]"),
        ({"symbol": MIXER + "gone"}, "refuses it"),
    ],
)
async def test_one_odd_symbol_costs_its_own_tag_and_says_why(tag: dict[str, Any], said: str) -> None:
    async with cpu() as plc:
        if tag["symbol"].endswith("gone"):
            await plc.obey("rename 0x92000001 wide gone")
            await plc.obey(f"drop {0x8A0E0001}.12")
        device = make_device(
            {"odd": tag, "count": MIXER + "count", "typed": {"symbol": MIXER + "lot", "type": "STRING[99]"}}, plc.port
        )
        async with connected(device) as driver:
            with capture_logs() as logs:
                for _ in range(2):
                    assert await read(driver, device) == {"odd": None, "count": -70000, "typed": "LOT-7"}
            assert "odd" in driver.remarks[0]
    told = [log["reason"] for log in logs if log["event"] == "a symbol cannot be read"]
    assert len(told) == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(told[0])


async def test_a_value_of_no_readable_type_is_found_among_its_neighbours() -> None:
    async with cpu() as plc:
        await plc.obey(f"put {0x8A0E0002}.30 0077")
        device = make_device({f"w{n}": f"Many.w{n}" for n in range(120)}, plc.port)
        async with connected(device) as driver:
            for _ in range(2):
                found = await read(driver, device)
                assert {name for name, value in found.items() if value is None} == {"w21"}
                assert all(value == int(name[1:]) for name, value in found.items() if value is not None)


async def test_a_download_that_changes_places_is_noticed_and_nothing_is_read_by_the_old_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbolic, "LOOK_EVERY", 0.0)
    async with cpu() as plc:
        device = make_device({"X": MIXER + "inner.X", "w1": "Many.w1", "count": MIXER + "count"}, plc.port)
        async with connected(device) as driver:
            assert (await read(driver, device))["w1"] == 1
            await plc.obey("swap 0x92000002 w1 w2")
            assert (await read(driver, device))["w1"] == 2
            await plc.obey("rename 0x92000002 w1 w9999")
            assert await read(driver, device) == {"X": 7, "w1": None, "count": -70000}
            await plc.obey("rename 0x92000002 w9999 w1")
            assert (await read(driver, device))["w1"] == 2


async def test_a_value_that_has_become_another_type_is_bad_at_once_and_good_again_when_the_program_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with cpu() as plc:
        device = make_device({"count": MIXER + "count", "on": MIXER + "on"}, plc.port)
        async with connected(device) as driver:
            assert (await read(driver, device))["count"] == -70000
            monkeypatch.setattr(symbolic, "SETTLED", 1e9)
            monkeypatch.setattr(symbolic, "LOOK_EVERY", 1e9)
            await plc.obey("retype 0x92000001 count 8")
            await plc.obey(f"put {0x8A0E0001}.10 000e3f800000")
            assert await read(driver, device) == {"count": None, "on": True}
            monkeypatch.setattr(symbolic, "SETTLED", 0.0)
            assert await read(driver, device) == {"count": 1.0, "on": True}


async def test_a_file_that_says_a_type_is_not_given_another_one_after_a_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbolic, "SETTLED", 0.0)
    async with cpu() as plc:
        device = make_device({"count": {"symbol": MIXER + "count", "type": "DINT"}, "on": MIXER + "on"}, plc.port)
        async with connected(device) as driver:
            assert (await read(driver, device))["count"] == -70000
            await plc.obey("retype 0x92000001 count 8")
            await plc.obey(f"put {0x8A0E0001}.10 000e3f800000")
            assert await read(driver, device) == {"count": None, "on": True}


WRITES: dict[str, Any] = {
    "temperature": -2.25, "count": 7, "on": 0, "wide": (1 << 60) + 1, "lot": "NEW", "inner.X": -5, "bits[0,2]": 1,
}  # fmt: skip


async def test_what_is_written_is_read_back() -> None:
    async with cpu() as plc:
        device = make_device({f"t{n}": MIXER + symbol for n, symbol in enumerate(WRITES)}, plc.port)
        async with connected(device) as driver:
            for tag, value in zip(device.tags, WRITES.values(), strict=True):
                await driver.write(tag, value)
            assert list((await read(driver, device)).values()) == list(WRITES.values())


@pytest.mark.parametrize(
    ("symbol", "value", "said"),
    [
        ("inner.X", 70000, "does not fit"),
        ("on", "yes", "neither true nor false"),
        ("lot", "much too long", "room for 10"),
        ("started", "2026-11-30", "not written"),
        ("limits", 1, "not written"),
        ("nope", 1, "deleted by a download"),
    ],
)
async def test_what_cannot_be_written_says_why(symbol: str, value: Any, said: str) -> None:
    async with cpu() as plc:
        device = make_device({"a": MIXER + symbol}, plc.port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match=said):
                await driver.write(device.tags[0], value)


async def test_an_access_level_is_told_and_a_password_lifts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S7_WRONG", "guess")
    monkeypatch.setenv("S7_RIGHT", "secret")
    async with cpu() as plc:
        await plc.obey("level 3")
        device = make_device({"count": MIXER + "count"}, plc.port)
        async with connected(device) as driver:
            assert driver.facts["access"] == "access for panels (HMI)"
            with pytest.raises(DeviceError, match="access level"):
                await driver.write(device.tags[0], 5)
        device = make_device({"count": MIXER + "count"}, plc.port, password={"env": "S7_WRONG"})
        with pytest.raises(RefusedError, match="password was refused"):
            async with connected(device):
                pass
        device = make_device({"count": MIXER + "count"}, plc.port, password={"env": "S7_RIGHT"})
        async with connected(device) as driver:
            assert driver.facts["access"] == "full access"
            await driver.write(device.tags[0], 5)


async def test_a_certificate_is_verified_and_the_error_says_how_to_trust_it() -> None:
    tags = {"count": MIXER + "count"}
    pem, _, pin = certificate()
    async with cpu() as plc:
        for tls, said in [(True, "certificate"), ({"pin": ["0" * 64]}, pin)]:
            with pytest.raises(RefusedError, match=said):
                async with connected(make_device(tags, plc.port, tls=tls)):
                    pass
        for tls in ({"ca": str(pem)}, {"ca": str(pem), "pin": [pin]}):
            device = make_device(tags, plc.port, tls=tls)
            async with connected(device) as driver:
                assert await read(driver, device) == {"count": -70000}
                assert "authority" in str(driver.facts["security"])


async def test_a_cpu_without_tls_is_no_silent_fallback() -> None:
    async with cpu(encrypted=False) as plc:
        device = make_device({"count": MIXER + "count"}, plc.port)
        with pytest.raises(LinkError, match="TLS"):
            async with asyncio.timeout(60), connected(device):
                pass


async def test_the_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "session" or name.startswith("s7commplus"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="s7commplus")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RefusedError, match=r"-m pip install \"s7commplus"):
        await S7([make_device({"a": "Motor_on"}, 1)]).connect()


def test_what_the_driver_takes_of_the_librarys_own_is_there() -> None:
    from s7commplus.async_client import S7CommPlusAsyncClient

    for name in (
        "_activate_tls", "_with_reconnect", "_send_request", "_do_tls_handshake", "_plan_requests", "_delete_session",
        "_read_type_info_time", "_stop_session_key_refresh", "_MAX_REASSEMBLED_BYTES", "list_datablocks",
    ):  # fmt: skip
        assert hasattr(S7CommPlusAsyncClient, name)


@pytest.mark.parametrize(
    "text", ["", ".", 'a."b', "a[", "a[x]", "a..b", "a.", "a b", '""', ".".join("a" * 40), "a[1", "a]"]
)
def test_what_is_no_symbol_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="as the TIA Portal shows it"):
        parse_symbol(text)


@pytest.mark.parametrize(
    ("options", "tag", "said"),
    [
        ({}, {"symbol": "DB.x"}, "only with transport"),
        ({"transport": "s7commplus"}, {"address": "DB1.DBD4"}, "write the symbol"),
    ],
)
def test_a_tag_that_its_transport_does_not_know_is_refused(
    options: dict[str, Any], tag: dict[str, Any], said: str
) -> None:
    device = build_device(S7, {"host": "127.0.0.1", **options}, {"a": tag})
    assert said in device.config.refuses(device.tags[0].config)


def right_answer(values: list[bytes | None]) -> bytes:
    given = b"".join(bytes([n]) + value for n, value in enumerate(values, 1) if value is not None)
    return b"\0" + given + b"\0" + b"".join(bytes([n, 5]) for n, value in enumerate(values, 1) if value is None) + b"\0"


@pytest.mark.fuzz
def test_spoilt_answers_do_no_harm(new_seed: int, rounds: int) -> None:
    """Of a spoilt answer each item has a value with its wire type, or an error; or all of it is refused."""
    dice, wires = random.Random(new_seed), list(VALUES.values())
    for _ in range(rounds):
        values = [dice.choice([None, dice.choice(wires), dice.choice(wires)]) for _ in range(dice.randrange(1, 30))]
        right = right_answer(values)
        found = parse(right, len(values))
        assert [each == 5 for each in found] == [value is None for value in values]
        try:
            answers = parse(spoilt(right, dice), len(values))
        except (NotGivenError, ValueError, IndexError, struct.error, RecursionError):
            continue
        assert len(answers) == len(values)
        assert all(isinstance(each, int | Wire) for each in answers)


NAMES = [MIXER + symbol for symbol in EVERY] + ["Motor_on", "Many.w7", MIXER + "zone", MIXER + "grid"]


@pytest.mark.fuzz
def test_spoilt_descriptions_of_types_do_no_harm(new_seed: int, rounds: int) -> None:
    """Of what a CPU tells of its types a symbol is found, or a reason is; and a list of all ends."""
    from s7commplus.typeinfo import extract_type_info_objects

    dice = random.Random(new_seed)
    small = [relation for relation in TYPES if relation != BLOCKS["Many"][1]]
    right = b"\0" + bytes(4) + b"\xa1\0\0\2\x19\x84\x16\0\0" + b"".join(map(described, small)) + b"\xa2"
    blocks = {name: Block(*told) for name, told in BLOCKS.items()}
    assert isinstance(Layout(blocks, extract_type_info_objects(right)).find(parse_symbol(NAMES[0])), Symbol)
    for _ in range(rounds // 10 + 1):
        try:
            layout = Layout(blocks, extract_type_info_objects(spoilt(right, dice)))
        except (ValueError, IndexError, struct.error, RecursionError, AssertionError):
            continue
        for name in NAMES:
            try:
                found = layout.find(parse_symbol(name))
            except ValueError:
                continue
            assert 1 <= len(found.places) <= 1000
        assert len(list(layout.every(300))) <= 301


async def test_a_list_of_more_symbols_than_anybody_reads_says_that_it_is_not_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbolic, "_MOST_OFFERS", 50)
    async with cpu() as plc, connected(make_device({"a": "Motor_on"}, plc.port)) as driver:
        offers = [offer async for offer in driver.browse()]
    assert len(offers) == 51
    assert offers[0][0] == '"Mixer 1".temperature' or offers[0][0] == "Many.w0"
    assert offers[0][1].option == "symbol"
    assert offers[0][1].path in ("Mixer 1/temperature", "Many/w0")
    assert offers[-1][0] == ""
