"""What a server that nobody has configured yet offers of known types, to whoever asks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncua.common.utils import Buffer

from gateway.plugin import Found, LinkError, RefusedError, Search, cleaned

from ..config import OpcUaConfig
from ..session.session import OpcUaSession
from .recognise import recognised

LONGEST = 60.0
"""Seconds that a look at a server may take."""
SHORTEST_TIMEOUT = 3.0
"""Seconds that an answer may take at least: there is much to tell."""


async def look(url: str, search: Search) -> tuple[list[tuple[str, Found]], list[str]]:
    """What is offered, and what to say of it, such as why it is not all. Unprotected, and without a user."""
    timeout = max(search.timeout, SHORTEST_TIMEOUT)
    options = {"name": "discovered", "driver": "opcua", "url": url, "security": "none", "timeout": f"{timeout:g}s"}
    config = OpcUaConfig.model_validate(options)
    session = _Paced(config, search.turn)
    offers: list[tuple[str, Found]] = []
    said: list[str] = []
    try:
        async with asyncio.timeout(LONGEST):
            await session.open("")
            offers += [offer async for offer in recognised(session, said.append)]
    except (LinkError, RefusedError, TimeoutError) as error:
        said.append(
            f"it was not asked to the end what it offers: {cleaned(error) or f'it took longer than {LONGEST:g} s'}"
        )
    else:
        said = [f"missing: {each}" for each in said]
    finally:
        await session.close(goodbye=True)
    return offers, said


class _Paced(OpcUaSession):
    """Keeps the pace that the person has agreed to."""

    def __init__(self, config: OpcUaConfig, turn: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config, None)
        self._turn = turn

    async def answer_to(self, request: Any) -> Buffer:
        await self._turn()
        return await super().answer_to(request)
