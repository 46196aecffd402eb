"""Agents are found where they answer, and nothing is raised where nobody does."""

from pathlib import Path

import pytest

from gateway.plugin import Search
from plugins.snmp.driver import Snmp
from plugins.snmp.tests.agent import agent


async def turn() -> None:
    """Go on at once."""


async def test_an_agent_is_found_by_what_it_calls_itself(tmp_path: Path) -> None:
    async with agent(tmp_path) as port:
        (found,) = [each async for each in Snmp.discover(Search(turn, host="127.0.0.1", ports=(port,), timeout=10))]
    assert found.options == {"host": "127.0.0.1", "port": port}
    assert found.tags == {"first": {"oid": "1.3.6.1.2.1.1.3.0"}}
    assert "Linux" in found.name


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
async def test_where_nobody_answers_nobody_is_found(host: str) -> None:
    assert not [each async for each in Snmp.discover(Search(turn, host=host, ports=(9,), timeout=0.2))]
