"""The order of events of the demonstration."""

import asyncio
import contextlib
import math
import os
import shutil
import sys
import time
import webbrowser
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.demo import broker
from gateway.demo.arrivals import Arrivals, summary
from gateway.demo.desktop import is_desktop
from gateway.demo.show import Show
from gateway.demo.stage import Stage, stage, tell_coater
from gateway.mqtt import MqttOptions, MqttSession, Received

FAULT_AFTER = 12.0
"""Seconds of live values before the fault begins: the model has seen enough by then."""
CLEAN_AFTER = 12.0
"""Seconds from the event to the nozzle being blown free."""
AT_MOST = 120.0
"""Seconds after which a demonstration without a terminal ends, whatever it has shown."""


class Play:
    """Watches at the broker, lets the fault begin and end, and sums up."""

    def __init__(self, show: Show, stop: asyncio.Event, seconds: float | None) -> None:
        """`seconds`: when to end; None for at `stop`, and without a live screen once all was shown."""
        self._show = show
        self._stop = stop
        self._arrived = Arrivals()
        self._until_shown = seconds is None and not show.live
        self._end = time.monotonic() + (seconds or (AT_MOST if self._until_shown else math.inf))
        self._clogged = self._raised = self._cleaned = 0.0

    async def run(self, directory: Path, kept: bool) -> bool:
        """Play. True if values arrived, and the event too if there was time for it."""
        started = time.monotonic()
        say = self._show.say
        say(
            "Starting a simulated coater (Modbus), a bioreactor (OPC UA), a cleaning skid (S7), a broker, and the gateway …"
        )
        async with stage(directory) as running:
            session = await self._watch(running)
            say(f"Broker: {running.broker}. Look for yourself: mosquitto_sub -p {running.ports.mqtt} -v -t '#'")
            await self._say_where_the_page_is(running)
            while not self._is_over():
                if running.daemon.returncode is not None:
                    raise GatewayError(f"the gateway ended: {(directory / 'gateway.log').read_text()[-2000:]}")
                await self._act(running)
                self._show.values(self._arrived, time.monotonic(), "Ctrl-C ends the demonstration.")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._stop.wait()
            await session.disconnect()
        for line in summary(self._arrived, time.monotonic() - started):
            say(line)
        if kept:
            say(f"Kept: {running.config}. Go on with: {_command()} check --config {running.config}")
        return self._arrived.values > 0 and not (self._until_shown and not self._raised)

    async def _say_where_the_page_is(self, running: Stage) -> None:
        if running.ports.page is None:
            self._show.say(
                "No page: its libraries are not installed (argon2-cffi, prometheus-client, starlette, uvicorn)."
            )
            return
        try:
            await broker.listening(running.ports.page)
        except GatewayError as error:
            self._show.say(f"The page does not come up: {error}")
        else:
            address = f"http://127.0.0.1:{running.ports.page}/"
            opened = is_desktop(os.environ, self._show.live) and await asyncio.to_thread(webbrowser.open, address)
            self._show.say(f"Its page {'is opened' if opened else 'to look at'} in a browser: {address}")

    async def _watch(self, running: Stage) -> MqttSession:
        session = MqttSession(
            MqttOptions("127.0.0.1", running.ports.mqtt, "demo-observer"),
            on_acknowledged=lambda _: None,
            on_refused=lambda *_: None,
            on_message=self._message,
        )
        await session.connect()
        await session.subscribe("#")
        return session

    def _message(self, message: Received) -> None:
        event = self._arrived.take(message.topic, message.payload, time.monotonic(), time.time())
        if event:
            self._show.event(event)
            if event["kind"] == "anomaly" and event["state"] == "raised":
                self._raised = self._raised or time.monotonic()

    async def _act(self, running: Stage) -> None:
        now = time.monotonic()
        first = self._arrived.first_value
        if first and not self._clogged and now > first + FAULT_AFTER:
            self._clogged = now
            self._show.say("A spray nozzle of the coater begins to clog. The model is not told; it sees only values.")
            await tell_coater(running, "clog")
        elif self._raised and not self._cleaned and now > self._raised + CLEAN_AFTER:
            self._cleaned = now
            self._show.say("The nozzle is blown free.")
            await tell_coater(running, "clean")

    def _is_over(self) -> bool:
        if self._stop.is_set() or time.monotonic() > self._end:
            return True
        cleared = any(event["state"] == "cleared" for event in self._arrived.events)
        return self._until_shown and self._cleaned > 0 and cleared


def _command() -> str:
    """How to call the command: by its name where that is found, else by its path."""
    return "edge-gateway" if shutil.which("edge-gateway") else str(Path(sys.executable).with_name("edge-gateway"))
