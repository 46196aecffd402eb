"""The MQTT sink. A record is acknowledged when the broker has acknowledged all messages in which it stands."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Any

import orjson

from gateway.kit import FarRequests
from gateway.plugin import (
    Device,
    Lane,
    LinkError,
    Message,
    Record,
    Sink,
    SinkHost,
    device_topic,
    own_topic,
    resolve,
)
from gateway.plugin.mqtt import (
    NOT_AUTHORISED,
    TOO_LARGE,
    TOPIC_INVALID,
    BarrierTrial,
    CutOffError,
    MqttOptions,
    MqttSession,
    Outgoing,
    Will,
    cut_off_again,
    is_final,
    route,
    tls_options,
)

from .asked import Asked
from .config import MqttConfig
from .last_values import LastValues
from .retained import PATIENCE, RetainedMessages

FAREWELL = 1.0
"""Seconds that a broker gets to take the last messages."""
SOON, OFTEN = 60.0, 3
"""A connection that the broker closes within so many seconds, so often in a row, has a cause that can be named."""

EXPOSED = "the network can read the password: set tls"

CUT_OFF, UNHEARD, SAID_UNHEARD = "cut_off", "unheard", "said_unheard"
"""What one connection leaves for the next: ends in a row, messages that nobody subscribes to, whether that was logged."""


class _Delivery:
    """One attempt to deliver records; what comes back with the answer to each of their messages."""

    __slots__ = ("_missing", "records")

    def __init__(self, records: Sequence[Record], messages: int) -> None:
        self.records = records
        self._missing = messages

    def one_taken(self) -> bool:
        """Count an acknowledgement. Whether the records are now delivered."""
        self._missing -= 1
        return self._missing == 0

    def refuse(self) -> bool:
        """Give this attempt up. Whether it was still open."""
        was_open = self._missing > 0
        self._missing = 0
        return was_open


class MqttSink(Sink[MqttConfig]):
    def __init__(self, config: MqttConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._encoder = host.encoder(config.topic, config.per_tag, config.form)
        will = self._encoder.gateway_state(online=False)
        self._will = Will(will.topic, will.payload)
        own = own_topic(config.topic, host.context, host.gateway)
        requests = FarRequests(config.requests, host, config.name, self._tell_anew)
        self._asked = Asked(config.requests, host, self.log, requests, own, self._device_topics)
        self._session = MqttSession(
            replace(session_options(config, host.gateway), marker_topic=f"{own}/_barrier"),
            will=self._will,
            on_acknowledged=self._acknowledged,
            on_refused=self._refused,
            on_message=self._asked.message,
            memory=host.memory,
        )
        self._going_back = False
        """Whether a broker before this one takes us again: nothing more is handed over to this one."""
        self._told: dict[str, tuple[int, bool, str]] = {}
        """What was last retained under each topic of a description: its hash; and of the device: whether online, reason."""
        self._reason: str | None = None
        """What the gateway's own state gave as its reason; None before it was told."""
        self._said: set[str] = set()
        """Why descriptions or states were refused, as far as it was logged."""
        self._begun = 0.0
        self._retained = RetainedMessages(host.memory, self.log, self._publish_retained, lambda: self._session.idle)
        self._last = LastValues(config.retain, host, self._encoder, self.log, self._retained.send)
        self._held: list[Record] = []
        """Records that wait for a description that is tried alone."""

    @property
    def window(self) -> int:
        """Two of the broker's own windows keep it busy; more would wait here, where no alarm can overtake it. With one
        message per slot records are no messages."""
        if self.config.per_slot:
            return self.config.window
        return min(self.config.window, 2 * self._session.receive_maximum)

    @property
    def promise(self) -> Mapping[str, Any]:
        unheard = self.host.memory.get(UNHEARD, 0) + self._session.unheard
        said = {**self._session.promise, **self._session.status(), "no_subscribers": unheard}
        if self.config.requests.commands:
            said["requests"] = self._asked.status
        return {**said, "exposed": EXPOSED} if self.config.exposed else said

    async def connect(self) -> None:
        try:
            await self._session.connect()
        except LinkError:
            self.host.memory[CUT_OFF] = 0
            raise
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        self._patience = loop.call_later(PATIENCE, self._try_anyway)
        self._reason = None
        self._tell_own_state()
        await self._last.begin()
        self._asked.listen(self._session)

    async def serve(self) -> None:
        raise self._explained(await self._session.over(self._go_back))

    def _go_back(self) -> None:
        self._going_back = True

    def _explained(self, error: Exception) -> Exception:
        """The reason for the end; once it has happened often, what such ends have in common."""
        if self._retained.under_way and (suspect := self._retained.suspect):
            return LinkError(
                f"broker {self._session.options.address} ends the connection over the description or state on {suspect}:"
                " too large, or not allowed?"
            )
        soon = asyncio.get_running_loop().time() - self._begun < SOON
        times = self.host.memory.get(CUT_OFF, 0) if soon else 0
        cut_off = soon and isinstance(error, CutOffError)
        times = self.host.memory[CUT_OFF] = times + cut_off
        if isinstance(error, CutOffError) and self._session.in_flight > self._greeting:
            return CutOffError(
                f"broker {self._session.options.address} closed the connection without a reason, with messages of ours"
                " unanswered: it was stopped, or takes offence at one of them (too large, topic not allowed); its log tells"
            )
        return cut_off_again(self._session.options, times) if cut_off and times >= OFTEN else error

    @property
    def _greeting(self) -> bool:
        """Whether our own state, which every connection begins with, is unanswered."""
        return self._retained.oldest == self._encoder.gateway_state(online=False).topic

    @property
    def progress(self) -> int:
        return self._session.progress

    @property
    def own_fault(self) -> bool:
        return self._retained.under_way or self._going_back

    def send(self, records: Sequence[Record]) -> None:
        if self._held or self._retained.busy or self._going_back:
            self._held += records
            self._try_on()
        else:
            self._send(records)

    def _try_on(self) -> None:
        """Go on with what is tried alone; then with the records that waited for that."""
        self._retained.go_on()
        if self._held and not self._retained.busy and not self._going_back:
            held, self._held = self._held, []
            self._send(held)

    def _try_anyway(self) -> None:
        self._retained.lose_patience()
        self._try_on()

    def _send(self, records: Sequence[Record]) -> None:
        data: list[Outgoing] = []
        alarms: list[Outgoing] = []
        for together, messages in self._encoder.deliveries(records):
            if not messages:
                self.host.acknowledged(together)
            delivery = _Delivery(together, len(messages))
            lane = alarms if together[0].lane is Lane.ALARM else data
            lane += [(message.topic, message.payload, False, delivery) for message in messages]
            if self.config.retain == "tag":
                self._let_stand(lane, together[0], len(messages))
        self._session.publish_many(alarms, urgent=True)
        self._session.publish_many(data)
        self._last.sent(records)

    def _let_stand(self, lane: list[Outgoing], record: Record, count: int) -> None:
        """The last messages of the lane, those of one record, are retained where they may be."""
        for at in range(len(lane) - count, len(lane)):
            topic, payload, _, delivery = lane[at]
            lane[at] = (topic, payload, self._last.is_to_stand(topic, record), delivery)

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        description = self._encoder.description(device)
        before = self._told.get(description.topic)
        self._told[description.topic] = (hash(description), online, reason)
        if before is None or before[0] != hash(description):
            self._retained.send(description)
        if before is None or before[1:] != (online, reason):
            self._retained.send(self._encoder.state(device, online, reason))
        self._last.device_changed(device)
        self._tell_own_state()

    def _tell_anew(self) -> int:
        """All descriptions and states, as if the connection were new; of how many devices."""
        self._told.clear()
        self._reason = None
        devices = self.host.devices()
        for device in devices:
            self.device_changed(device, *self.host.device_state(device.name))
        self._tell_own_state()
        return len(devices)

    def _device_topics(self) -> Iterable[str]:
        """Under which this sink publishes, beside the gateway's own."""
        gateway, templates = self.host.gateway, filter(None, (self.config.topic, self.config.readings_topic))
        for template in templates:
            if "{device}" not in template:
                yield device_topic(template, self.host.context, "", gateway)
            for each in self.host.devices():
                yield device_topic(template, each.context, each.name, gateway)

    def _tell_own_state(self) -> None:
        """The gateway's own, when it has another reason than it had."""
        message = self._encoder.gateway_state(online=True)
        reason = orjson.loads(message.payload).get("reason", "")
        if reason != self._reason:
            self._reason = reason
            self._retained.send(message)

    def _publish_retained(self, message: Message) -> None:
        self._session.publish_many([(message.topic, message.payload, True, None)])

    def _acknowledged(self, deliveries: list["_Delivery | None"]) -> None:
        if count := deliveries.count(None):
            self._retained.answered(count)
        done = [record for each in deliveries if each is not None and each.one_taken() for record in each.records]
        if done:
            self._retained.something_taken()
            self.host.acknowledged(done)
        self._try_on()
        if self._session.unheard and not self.host.memory.get(SAID_UNHEARD):
            self.host.memory[SAID_UNHEARD] = True
            topic = self._encoder.messages(self._session.last_unheard.records[0])[0].topic
            self.log.warning("the broker takes what is sent, and no client subscribes to it", topic=topic)

    def _refused(self, delivery: "_Delivery | None", code: int, reason: str) -> None:
        if delivery is None:
            self._retained.answered(1)
            if reason not in self._said:
                self._said.add(reason)
                self.log.warning("the broker does not take descriptions or states", reason=reason)
        elif delivery.refuse():
            half = len(delivery.records) // 2
            if half and is_final(code) and code != TOPIC_INVALID:
                self._send(delivery.records[:half])  # one of them is to blame, or all together are too large
                self._send(delivery.records[half:])
                return
            for record in delivery.records:
                self.host.refused(record, self._with_fix(record, code, reason), is_final(code))

    def _with_fix(self, record: Record, code: int, reason: str) -> str:
        """A refusal in words, with what a person can do."""
        if code == TOO_LARGE:
            return f"{reason}: raise that limit at the broker, or spread the device's tags over several [[device]]"
        if code not in (NOT_AUTHORISED, TOPIC_INVALID):
            return reason
        topic = self._encoder.messages(record)[0].topic
        if code == TOPIC_INVALID:
            return f'{reason}: "{topic}": set another topic for this sink, or allow it at the broker'
        who = f'user "{self.config.user}"' if self.config.user else "anonymous clients"
        return f"{reason}: let {who} write to {topic} at the broker, or set another topic"

    async def check(self) -> str:
        """Greets the broker as another client, so that one that is connected is not thrown out, but with the same will; says
        good-bye, so that the broker does not publish it, and publishes nothing, but with QoS 0 to a private topic."""
        options = session_options(self.config, self.host.gateway)
        alone = replace(options, standby=())
        found = await self._check(alone)
        for host, port in options.standby:
            found += f"; standby {host}: {await self._check(replace(alone, host=host, port=port))}"
        return found

    async def _check(self, options: MqttOptions) -> str:
        session = MqttSession(
            replace(options, client_id=f"{options.client_id}-check"),
            will=self._will,
            on_acknowledged=lambda _: None,
            on_refused=lambda *_: None,
        )
        await session.connect()
        words = {**session.promise, "encryption": f"encryption: {session.promise['encryption']}"}
        await session.disconnect(FAREWELL)
        if self.config.qos == 0:
            words["barrier"] = await self._try_barriers(options)
        return ", ".join(words.values())

    async def _try_barriers(self, options: MqttOptions) -> str:
        """Which of them loses nothing with this broker, in words."""
        own = own_topic(self.config.topic, self.host.context, self.host.gateway)
        trial = BarrierTrial(replace(options, client_id=f"{options.client_id}-check"), f"{own}/_barrier/{token_hex(4)}")
        try:
            found = await trial.lossless()
        except LinkError as error:
            return f"barrier: not tried: {error}"
        if found is None:
            return "barrier: messages are lost behind either: set qos = 1"
        advice = "" if self.config.barrier in ("auto", found) else f': set barrier = "{found}"'
        return f"barrier: {found} loses nothing{advice}"

    async def close(self) -> None:
        """Say that the gateway is offline, which the broker says only when no good-bye comes, and good-bye."""
        self._patience.cancel()
        await self._asked.close()
        await self._last.end()
        self._retained.ended()
        self.host.memory[UNHEARD] = self.host.memory.get(UNHEARD, 0) + self._session.unheard
        if not self._session.is_closed:
            self._session.forget_waiting()
            self._publish_retained(self._encoder.gateway_state(online=False))
            await self._session.settle(FAREWELL)
        await self._session.disconnect(FAREWELL)


def session_options(config: MqttConfig, gateway: str) -> MqttOptions:
    """The session that this configuration means. Raises RefusedError for a password that is not where it should be."""
    return MqttOptions(
        host=config.host,
        port=config.port_or_default,
        client_id=config.client_id or gateway,
        user=config.user,
        password=None if config.password is None else resolve(config.password),
        tls=tls_options(config.tls),
        websocket=config.websocket,
        route=route(config),
        standby=config.further,
        return_after=config.return_after,
        protocol=config.protocol,
        keep_alive=config.keep_alive,
        qos=config.qos,
        barrier=config.barrier,
        user_timeout=3 * config.ack_timeout,  # a peer that takes nothing for a while is slow; the publisher watches too
    )
