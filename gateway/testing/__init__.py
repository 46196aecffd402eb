"""What plugin authors test with: the contract suites that every shipped plugin passes too, and the fakes they need.

Needs pytest and pytest-asyncio. `docs/plugins.md` shows their use, `edge-gateway plugin new` writes a first test.
"""

import pytest

pytest.register_assert_rewrite(
    "gateway.testing.campaign",
    "gateway.testing.cases",
    "gateway.testing.contract",
    "gateway.testing.driver_contract",
    "gateway.testing.range_sink_contract",
    "gateway.testing.sink_contract",
)

from gateway.core.clock import FakeClock  # noqa: E402
from gateway.plugin.loading import load_plugin  # noqa: E402
from gateway.testing.campaign import DatagramCampaign, FaultCampaign  # noqa: E402
from gateway.testing.cases import check_case, planned  # noqa: E402
from gateway.testing.datagram_link import UdpLink  # noqa: E402
from gateway.testing.devices import OneDriver, bind, build_device, build_sink_config, read_all, records  # noqa: E402
from gateway.testing.driver_contract import DriverContract  # noqa: E402
from gateway.testing.host import FakeLineHost, FakeSinkHost, PlainEncoder  # noqa: E402
from gateway.testing.link import Link, NoLink, TcpLink  # noqa: E402
from gateway.testing.range_sink_contract import RangeSinkContract  # noqa: E402
from gateway.testing.serving import serving  # noqa: E402
from gateway.testing.sink_contract import SinkContract  # noqa: E402
from gateway.testing.waiting import eventually  # noqa: E402

__all__ = [
    "DatagramCampaign",
    "DriverContract",
    "FakeClock",
    "FakeLineHost",
    "FakeSinkHost",
    "FaultCampaign",
    "Link",
    "NoLink",
    "OneDriver",
    "PlainEncoder",
    "RangeSinkContract",
    "SinkContract",
    "TcpLink",
    "UdpLink",
    "bind",
    "build_device",
    "build_sink_config",
    "check_case",
    "eventually",
    "load_plugin",
    "planned",
    "read_all",
    "records",
    "serving",
]
