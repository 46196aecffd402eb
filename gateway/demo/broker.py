"""A broker for the demonstration: mosquitto where it is installed, else amqtt, which is pure Python."""

import asyncio
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from gateway.core.errors import GatewayError

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
log_type error
log_type warning
"""

PROTOCOL = {"mosquitto": "auto", "amqtt": "3.1.1"}
"""What each bears: amqtt takes the will of an MQTT 5 client for something longer, and waits for the rest of it."""


def command(port: int, directory: Path) -> tuple[str, list[str]]:
    """Name and command line of a broker that listens on 127.0.0.1. Raises GatewayError where there is none."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto:
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "mosquitto.conf"
        config.write_text(_MOSQUITTO.format(port=port))
        return "mosquitto", [mosquitto, "-c", str(config)]
    if find_spec("amqtt"):
        return "amqtt", [sys.executable, "-m", "gateway.demo.serve_broker", "--port", str(port)]
    raise GatewayError("the demo needs a broker: apt-get install mosquitto, or pip install amqtt for one in Python")


async def listening(port: int, within: float = 10.0) -> None:
    """Return when something accepts connections on 127.0.0.1. Raises GatewayError after `within` seconds."""
    end = asyncio.get_running_loop().time() + within
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if asyncio.get_running_loop().time() > end:
                raise GatewayError(f"nothing listens on 127.0.0.1:{port} after {within:g} s") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
