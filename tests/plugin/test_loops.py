"""A suite runs on the event loops that it names."""

import asyncio

import pytest

from gateway.testing.loops import BOTH

pytest.importorskip("uvloop", reason="pip install uvloop")


class TestNamed:
    loops = BOTH

    async def test_each_of_them_has_its_turn(self, request: pytest.FixtureRequest) -> None:
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        assert request.node.name == f"test_each_of_them_has_its_turn[{loop}]"


async def test_all_else_runs_on_asyncios_own() -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("asyncio.")
