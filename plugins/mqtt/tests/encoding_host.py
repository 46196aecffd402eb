"""A host of a sink that encodes as the gateway does."""

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.live import LiveTable
from gateway.plugin import JsonForm
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.testing import FakeSinkHost


class EncodingHost(FakeSinkHost):
    """With the gateway's own encoder."""

    def encoder(self, topic: str, per_tag: bool, form: JsonForm | None = None) -> JsonEncoder:
        section = GatewaySection(name="line3-gw1", site="north")
        around = SinkSurroundings(section, "1.2.3", FakeClock(), LiveTable(), lambda: self.all_devices)
        return JsonEncoder(topic, per_tag, around, form)
