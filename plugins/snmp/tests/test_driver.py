"""Reading and writing against net-snmp's agent."""

from pathlib import Path
from typing import Any

import pytest

from gateway.plugin import DeviceError, RefusedError, quality
from plugins.snmp.tests.agent import NAMES, SYS, agent, connected, make_device

COUNTER = f"{SYS}.99.1.0"
IN_OCTETS = "1.3.6.1.2.1.2.2.1.10"


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in {"community": "secret", "auth": "alicepass1", "priv": "alicepriv1", "wrong": "nonsense1"}.items():
        (tmp_path / name).write_text(said)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))


def user(**other: Any) -> dict[str, Any]:
    own = {
        "name": "alice",
        "auth": "sha",
        "auth_password": {"credential": "auth"},
        "privacy": "aes",
        "privacy_password": {"credential": "priv"},
    }
    return {"user": own | other}


async def read_all(driver: Any, device: Any) -> list[tuple[Any, int]]:
    """Value and quality of each tag."""
    found = await driver.read(device.tags)
    return [
        (found.exact.get(row, value), int(code))
        for row, (value, code) in enumerate(zip(found.value.tolist(), found.quality.tolist(), strict=True))
    ]


async def test_more_values_than_one_request_takes_and_one_that_is_not_there(tmp_path: Path) -> None:
    tags = {f"t{n}": f"{SYS}.7.0" if n != 30 else f"{SYS}.98.0" for n in range(65)}
    tags = {name: {"oid": oid} for name, oid in tags.items()} | {"text": {"oid": f"{SYS}.6.0", "type": "bytes"}}
    async with agent(tmp_path) as port:
        device = make_device(tags, port, max_oids=7)
        async with connected(device) as driver:
            found = await read_all(driver, device)
    assert found[-1] == (b"place-4711", 0)
    assert [code for _, code in found[:-1]] == [quality.BAD_NODE_ID_UNKNOWN if n == 30 else 0 for n in range(65)]


async def test_a_row_is_found_by_what_stands_in_it(tmp_path: Path) -> None:
    row = {"column": NAMES, "equals": "lo"}
    tags = {
        "in": {"oid": IN_OCTETS, "row": row},
        "name": {"oid": NAMES, "row": row},
        "gone": {"oid": IN_OCTETS, "row": {"column": NAMES, "equals": "eth4711"}},
    }
    async with agent(tmp_path) as port:
        device = make_device(tags, port)
        async with connected(device) as driver:
            for _ in range(2):
                (count, code), name, gone = await read_all(driver, device)
                assert (code, name, gone[1]) == (0, ("lo", 0), quality.BAD_NODE_ID_UNKNOWN)
                assert count >= 0


async def test_a_row_whose_index_another_one_has_now_is_not_taken_for_it(tmp_path: Path) -> None:
    """As after a restart of a switch that counts its ports anew."""
    tags = {"index": {"oid": "1.3.6.1.2.1.2.2.1.1", "row": {"column": NAMES, "equals": "lo"}}}
    async with agent(tmp_path) as port:
        device = make_device(tags, port)
        async with connected(device) as driver:
            (right,) = await read_all(driver, device)
            names = {index: name for (column, name), index in driver._rows.items() if column == NAMES}
            other = next((index for index, name in names.items() if name != "lo"), "999")  # some machines have no other
            driver._rows[NAMES, "lo"] = other
            ((_, code),) = await read_all(driver, device)
            assert code == quality.BAD_DATA_UNAVAILABLE
            assert await read_all(driver, device) == [right], "it is looked up anew"


async def test_a_counter_that_is_full_begins_anew_and_its_rate_goes_on(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"rate": {"oid": COUNTER, "rate": True}}, port)
        async with connected(device) as driver:
            assert [code for _, code in await read_all(driver, device)] == [quality.BAD_DATA_UNAVAILABLE]
            count, then, here = driver._seen[COUNTER]
            assert count == 4294967290
            driver._seen[COUNTER] = (count + 3, then - 1000.0, here - 1000.0)  # it was nearly full, long ago
            ((rate, code),) = await read_all(driver, device)
            assert code == 0
            assert rate == pytest.approx(((1 << 32) - 3) / 1000.0, rel=0.05)


async def test_a_device_that_was_restarted_has_no_rate_for_one_scan(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"rate": {"oid": COUNTER, "rate": True}}, port)
        async with connected(device) as driver:
            await read_all(driver, device)
            count, then, here = driver._seen[COUNTER]
            driver._seen[COUNTER] = (count, then, here - 1000.0)  # our clock has gone on, its has begun anew
            assert [code for _, code in await read_all(driver, device)] == [quality.BAD_DATA_UNAVAILABLE]


async def test_what_is_no_counter_has_no_rate(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"rate": {"oid": f"{SYS}.7.0", "rate": True}}, port)
        async with connected(device) as driver:
            assert [code for _, code in await read_all(driver, device)] == [quality.BAD_CONFIGURATION]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"name": "bob"}, "does not know this user"),
        ({"auth_password": {"credential": "wrong"}}, "auth or auth_password"),
        ({"auth": "sha256"}, "auth or auth_password"),
    ],
)
async def test_a_user_is_let_in_and_a_wrong_one_is_told_why(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"services": f"{SYS}.7.0"}, port, **user())
        async with connected(device) as driver:
            assert await read_all(driver, device) == [(72.0, 0)]
        with pytest.raises(RefusedError, match=said):
            async with connected(make_device({"services": f"{SYS}.7.0"}, port, **user(**other))):
                pass


async def test_a_wrong_community_is_silence_that_says_what_to_look_at(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"a": f"{SYS}.7.0"}, port, community={"credential": "wrong"}, timeout="1s")
        with pytest.raises(TimeoutError, match="is the community right"):
            async with connected(device):
                pass


async def test_a_write_that_the_agent_refuses_says_why(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        device = make_device({"a": {"oid": f"{SYS}.6.0", "syntax": "string"}}, port)
        async with connected(device) as driver:
            with pytest.raises(DeviceError, match="the agent refuses"):
                await driver.write(device.tags[0], "elsewhere")


async def test_browsing_lists_what_the_agent_has(tmp_path: Path) -> None:
    async with agent(tmp_path) as port, connected(make_device({"a": f"{SYS}.7.0"}, port)) as driver:
        seen = {}
        async for oid, found in driver.browse():
            seen[oid] = found
            if len(seen) > 40:
                break
    assert seen[f"{SYS}.7.0"].description == "72"
    assert seen[f"{SYS}.6.0"].type == "string"
