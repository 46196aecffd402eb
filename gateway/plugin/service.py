"""The contract of a service: a part beside the road, such as a page, metrics or a twin."""

from collections.abc import Mapping
from typing import Generic, TypeVar

import structlog

from gateway.config.base import ServiceConfig
from gateway.core.command import Body, Declared
from gateway.plugin.hosts import ServiceHost

V = TypeVar("V", bound=ServiceConfig)


class Service(Generic[V]):
    """One `[[service]]`. A NEW object serves each attempt, so there is nothing to reset. The type parameter is its
    configuration, a ServiceConfig: class Page(Service[PageConfig])."""

    def __init__(self, config: V, host: ServiceHost) -> None:
        self.config = config
        self.host = host
        self.log = structlog.get_logger().bind(service=config.name)

    async def run(self) -> None:
        """Do it, until cancelled. Call `host.started` when it works. What it raises ends this attempt, and another object is
        made after a pause, which grows; LinkError and OSError are what plants do, anything else is called a bug."""
        raise NotImplementedError

    def commands(self) -> Mapping[str, tuple[Declared, Body]]:
        """Commands of its own, while `run` runs: "count" of service "totals" is asked for as "totals.count"."""
        return {}

    @classmethod
    async def check(cls, config: V) -> str:
        """For `edge-gateway check --connect`, without a gateway: ask whom this service depends on elsewhere, changing
        nothing. Returns what was found, in words; empty where there is nobody to ask. Raises what `run` would."""
        return ""
