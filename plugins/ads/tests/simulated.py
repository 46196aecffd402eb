"""PLCs for the tests of this folder: pyads' own test server, and ours."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from gateway.plugin import Device
from gateway.testing import build_device
from plugins.ads.address import net_id_text
from plugins.ads.driver import Ads
from plugins.ads.tests.fakes import NET_ID


def make_device(tags: Mapping[str, Any], port: int, **options: Any) -> Device:
    given = {"host": "127.0.0.1", "port": port, "net_id": net_id_text(NET_ID), **options}
    return build_device(
        Ads, given, {name: tag if isinstance(tag, dict) else {"address": tag} for name, tag in tags.items()}
    )


@asynccontextmanager
async def connected(device: Device, *others: Device) -> AsyncIterator[Ads]:
    driver = Ads([device, *others])
    await driver.connect()
    try:
        yield driver
    finally:
        await driver.close()


@contextmanager
def pyads_server(port: int) -> Iterator[Any]:
    """What answers, whose variables can be added to. What it does not know it raises as KeyError, which would end its thread:
    a PLC answers with a code."""
    from pyads.testserver import AdsTestServer, AdvancedHandler
    from pyads.testserver.handler import AmsPacket, AmsResponseData

    class Answering(AdvancedHandler):  # type: ignore[misc]
        def handle_request(self, request: AmsPacket) -> AmsResponseData:
            try:
                return super().handle_request(request)
            except KeyError:
                return AmsResponseData(b"\5\0", b"\0\0\0\0", b"\x10\x07\0\0" + bytes(4))

    served = Answering()
    server = AdsTestServer(handler=served, ip_address="127.0.0.1", port=port, logging=False)
    server.server.listen(5)  # its thread does so too, some time later
    server.start()
    try:
        yield served
    finally:
        with contextlib.suppress(OSError):
            server.stop()
