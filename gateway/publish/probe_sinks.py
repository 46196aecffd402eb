"""Asks destinations whether they take us, for `check --connect`; nothing is sent."""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

from gateway.config.base import SinkConfig
from gateway.config.model import GatewaySection
from gateway.core.clock import Clock
from gateway.core.errors import LinkError
from gateway.core.live import LiveTable
from gateway.core.record import Record
from gateway.core.text import cleaned
from gateway.plugin.sink import Sink
from gateway.publish.host import Host, SinkSurroundings
from gateway.publish.sink_session import CONNECT
from gateway.supervise import Foreign
from gateway.supervise.keep_running import EXPECTED, told


class _NeverSent:
    """What a sink says of records that it was never given."""

    def acknowledged(self, records: Iterable[Record]) -> None:
        """Nothing was sent."""

    def refused(self, record: Record, reason: str, final: bool) -> None:
        """Nothing was sent."""


async def probe(config: SinkConfig, sink_type: type[Sink[Any]], gateway: GatewaySection, clock: Clock) -> str:
    """What was found, in words. Raises LinkError with the reason, whatever the sink has raised."""
    around = SinkSurroundings(gateway, "", clock, LiveTable())

    async def check() -> str:
        return await sink_type(config, Host(config.name, around, _NeverSent())).check()

    try:
        async with asyncio.timeout(CONNECT):
            return cleaned(await Foreign(structlog.get_logger()).call(check))
    except TimeoutError as error:
        raise LinkError(cleaned(error) or f"no connection within {CONNECT:g} s") from error
    except EXPECTED as error:
        raise LinkError(cleaned(told(error))) from error
    except Exception as error:
        raise LinkError(f"{cleaned(told(error))} (a bug of the sink)") from error
