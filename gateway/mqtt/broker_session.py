"""One session with one broker: what is on its way, what the broker said to it, and why the session ended."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.core.errors import LinkError, RefusedError
from gateway.mqtt.answer_order import AnswerOrder
from gateway.mqtt.broker_options import Barrier, MqttOptions, Will
from gateway.mqtt.failover import Brokers, none_of
from gateway.mqtt.packets import UNUSED_FILTER, Outgoing, Received, packed_topic
from gateway.mqtt.unanswered import Unanswered
from gateway.mqtt.wills import may_be_the_will, wills
from gateway.mqtt.words import (
    CLIENT_ID_REFUSED,
    FAILURE,
    TOO_LARGE,
    TOPIC_INVALID,
    NoAnswerError,
    WrongProtocolError,
    reason,
)

if TYPE_CHECKING:
    from gateway.mqtt.link import BrokerLink, Welcome
    from gateway.mqtt.paho_client import PlainClient

WEAKER_311 = (
    "the broker speaks only MQTT 3.1.1: it gives no reasons, so a message that it throws away looks delivered,"
    " and it cannot say how many messages it takes at once"
)
WEAKER_WILL = "the broker refuses our will, so it tells nobody when this gateway is gone: allow the topic of its state"
WEAKER_RETAINED = (
    "the broker keeps no retained messages, so descriptions and states reach only who listens when they are sent"
)
WEAKER_QOS_0 = (
    "with QoS 0 a broker keeps nothing for subscribers that are away, and says of no message that it refuses it"
)


ANSWER_HEADER = 4
"""Bytes of the head of a correlation in a packet, and of the length of properties, at most."""


class MqttSession:
    """A session over one connection; a new object serves each attempt. All calls belong to the event loop's thread.

    Messages go out in order, urgent ones first, as many at once as the broker takes; the rest waits here. With QoS 1 the
    broker answers each. With QoS 0 (`options.qos`) they go in groups, each with a barrier behind it, whose answer shows
    that the broker has read the group. Nothing is sent twice: what is unanswered when the session ends is the caller's to
    send again.

    `on_acknowledged` gets the tokens of messages that the broker has taken, `on_refused` token, reason code (MQTT 5,
    section 2.4) and words of one that it has not; `is_final` tells what the code means for another try. Both are called
    from the event loop, never from within a call of ours.
    """

    def __init__(
        self,
        options: MqttOptions,
        *,
        on_acknowledged: Callable[[list[Any]], None],
        on_refused: Callable[[Any, int, str], None],
        on_message: Callable[[Received], None] | None = None,
        will: Will | None = None,
        client_type: "type[PlainClient] | None" = None,
        memory: dict[str, Any] | None = None,
    ) -> None:
        """`memory` is what a destination's sessions leave for the next one."""
        self._brokers = Brokers(options, {} if memory is None else memory)
        self.options = options
        """Of the broker that is dialled, or was."""
        self.protocol = ""
        """"5" or "3.1.1", once connected."""
        self.receive_maximum = 0
        """Messages that may be on their way at once, by the broker's and our own limit; known once connected."""
        self.behind_groups: Barrier | None = None
        """With QoS 0, once connected: the barrier."""
        self.acknowledged = 0
        self.refused = 0
        self.unheard = 0
        """Messages with a token that the broker has taken, though nobody subscribes to them; only MQTT 5 tells."""
        self.last_unheard: Any = None
        """The last such message's token."""
        self._will = self.will = will
        """What was wished, and what the broker bears."""
        self._on_acknowledged = on_acknowledged
        self._on_refused = on_refused
        self._on_message = on_message
        self._client_type = client_type
        self._link: BrokerLink | None = None
        self._welcome: Welcome
        self._urgent: deque[Outgoing] = deque()
        self._waiting: deque[Outgoing] = deque()
        self._unanswered = Unanswered()
        self._settled = asyncio.Event()
        self._order: AnswerOrder | None = None
        """While the barrier is chosen."""

    async def connect(self) -> None:
        """Dial and greet the broker, of several the first that takes us. Raises RefusedError when a person must act
        (password, certificate, client id), and LinkError for all that may pass; both say in plain words what is wrong. MQTT
        3.1.1 is tried only when `protocol` allows it and the broker has refused MQTT 5."""
        errors = []
        for options in self._brokers.in_turn():
            self.options = options
            try:
                await self._connect()
            except LinkError as error:
                self._brokers.failed(options, error)
                errors.append(error)
            else:
                self._brokers.took_us(options)
                return
        raise none_of(errors) from errors[-1]

    async def _connect(self) -> None:
        versions = ("5", "3.1.1") if self.options.protocol == "auto" else (self.options.protocol,)
        for version in versions:
            try:
                await self._greet(version)
            except (WrongProtocolError, NoAnswerError):
                if version == versions[-1]:
                    raise
            else:
                if self.options.qos == 0:
                    self.behind_groups = await self._choose_barrier(version)
                self._begin(version)
                return

    async def _choose_barrier(self, version: str) -> Barrier:
        """As the options say, or as the order of the broker's answers advises."""
        marks = self.options.marker_topic and self._welcome.maximum_qos > 0
        if self.options.barrier != "auto" or not marks:
            return "unsubscribe" if self.options.barrier == "auto" else self.options.barrier
        self._order = AnswerOrder(self._connected, self._unanswered, self._welcome.receive_maximum)
        try:
            return await self._order.barrier()
        except LinkError:  # some brokers end the connection over a topic that they do not allow
            await self._greet(version)
            return "unsubscribe"
        finally:
            self._order = None

    async def _greet(self, version: str) -> None:
        """Connect with the will, or with as much of it as the broker bears: some refuse the whole connection for it."""
        refused: LinkError | None = None
        for will in wills(self._will):
            self.will = will
            link = self._link = self._new_link(version)
            try:
                self._welcome = await link.open()
            except LinkError as error:
                refused = refused or error
                if not may_be_the_will(error, link.refusal):
                    raise refused from None
            else:
                return
        assert refused is not None
        raise refused

    def _new_link(self, version: str) -> "BrokerLink":
        from gateway.mqtt.link import BrokerLink  # here, because paho costs time and memory: only who dials pays
        from gateway.mqtt.paho_client import client_type

        kind = self._client_type or client_type()
        return BrokerLink(self.options, self.will, version, kind, self._unanswered, self._input)

    def _begin(self, version: str) -> None:
        if self._welcome.maximum_qos < 1 and (self.options.qos, self.behind_groups) != (0, "unsubscribe"):
            self._connected.close()
            raise RefusedError(f"broker {self.options.address} does not take QoS 1, so nothing can be acknowledged")
        self.protocol = version
        if self.will != self._will and self.will is not None:  # MQTT 3.1.1 has no other word for it
            self._welcome = replace(self._welcome, retain_available=False)
        theirs = self._welcome.receive_maximum if self.options.qos else self.options.max_in_flight
        self.receive_maximum = min(theirs, self.options.max_in_flight)
        self._connected.ended.add_done_callback(self._abandon)

    @property
    def _connected(self) -> "BrokerLink":
        if self._link is None:
            raise RuntimeError("the session was not connected")
        return self._link

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._connected.ended.done()

    async def closed(self) -> Exception:
        """Wait for the end of the connection. Returns the reason: a LinkError, or what a callback has raised."""
        return await asyncio.shield(self._connected.ended)

    async def over(self, hold: Callable[[], None]) -> Exception:
        """Wait for the end of the connection, as `closed` does. At a standby broker, wait for one before it, too: when that
        takes us again, `hold` is called, which hands over nothing more; what is on its way is waited for; and the reason is
        that we go back. So no message is lost, repeated, or overtaken by a later one."""
        ended, better = asyncio.ensure_future(self.closed()), asyncio.ensure_future(self._better_broker())
        try:
            await asyncio.wait({ended, better}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            hold()
            await self.settle(self.options.timeout)
            return LinkError(f"going back to broker {better.result()}, which takes us again")
        finally:
            for each in (ended, better):
                each.cancel()
            await asyncio.wait({ended, better})

    async def _better_broker(self) -> str:
        """The address of a broker before this one that takes us; for ever where there is none."""
        while self._brokers.return_after and (better := self._brokers.before(self.options)):
            await asyncio.sleep(self._brokers.return_after)
            for options in better:
                if await self._takes_us(options):
                    return options.address
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def _takes_us(self, options: MqttOptions) -> bool:
        """As another client: one of our name may throw out the one that is connected. Who dislikes that name is there."""
        probe = MqttSession(
            replace(options, client_id=f"{options.client_id}-check"),
            on_acknowledged=lambda _: None,
            on_refused=lambda *_: None,
            client_type=self._client_type,
        )
        try:
            await probe.connect()
        except LinkError as error:
            if not (probe._link and probe._link.refusal == CLIENT_ID_REFUSED):
                self._brokers.failed(options, error)
                return False
        await probe.disconnect()
        self._brokers.took_us(options)
        return True

    @property
    def promise(self) -> Mapping[str, Any]:
        """What this session is, for `status`; empty until it is connected."""
        if not self.protocol:
            return {}
        words = {"protocol": f"MQTT {self.protocol}", "encryption": self._connected.tls or "none"}
        weaker = [WEAKER_311] if self.protocol == "3.1.1" else []
        if self.behind_groups is not None:
            words["barrier"] = self.behind_groups
            weaker.append(WEAKER_QOS_0)
        if self._will is not None and self.will != self._will:
            weaker.append(WEAKER_WILL if self.will is None else WEAKER_RETAINED)
        if self._brokers.several:
            words["broker"] = self.options.address
            weaker += [why for why in (self._brokers.why_not_better(self.options),) if why]
        if weaker:
            words["weaker"] = "; ".join(weaker)
        return words

    def status(self) -> dict[str, Any]:
        """Counters and limits, for `status`; ages in seconds."""
        return {
            "receive_maximum": self.receive_maximum,
            "in_flight": self.in_flight,
            "waiting": self.waiting,
            "oldest_unacknowledged": self.oldest_unacknowledged,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "no_subscribers": self.unheard,
            "client": self._link.client.way if self._link else "",
        }

    @property
    def maximum_packet_size(self) -> int:
        """Bytes of the largest packet that the broker takes, as far as it says so."""
        return self._welcome.maximum_packet_size

    @property
    def waiting(self) -> int:
        """Messages that were handed over and not sent yet."""
        return len(self._urgent) + len(self._waiting)

    @property
    def oldest_unacknowledged(self) -> float:
        """Seconds since the oldest unanswered message was sent; 0 when none is on its way."""
        return self._unanswered.oldest

    def publish_many(self, messages: Iterable[Outgoing], *, urgent: bool = False) -> None:
        """Hand over messages without waiting; urgent ones overtake those not sent yet. A message that cannot be sent at
        all (too large for this broker, impossible topic) is answered by `on_refused` as if the broker had said so. On an
        ended session nothing happens."""
        if self.is_closed:
            return
        queue = self._urgent if urgent else self._waiting
        for message in messages:
            if problem := self._impossible(message):
                asyncio.get_running_loop().call_soon(self._refuse_unsent, message[3], *problem)
            else:
                queue.append(message)
        self._send()

    def answer(self, to: str, payload: bytes, correlation: bytes = b"") -> str:
        """Send a message at once and with QoS 0, to who has asked for it; `correlation` goes with it where MQTT 5 is spoken.
        Returns why it cannot be sent, in words; empty when it is on its way."""
        if self.is_closed:
            return "the session has ended"
        if problem := self._impossible((to, payload + correlation + bytes(ANSWER_HEADER), False, None)):
            return problem[1]
        if self._connected.client.unwritten > 2 * self.options.max_bytes_in_flight:
            return "the link takes nothing"
        self._connected.answer(to, payload, correlation)
        return ""

    def _impossible(self, message: Outgoing) -> tuple[int, str] | None:
        try:
            size = len(packed_topic(message[0])) + len(message[1]) + 8  # header 5, packet identifier 2, properties 1
        except ValueError as error:
            return TOPIC_INVALID, str(error)
        limit = self._welcome.maximum_packet_size
        if size > limit:
            return TOO_LARGE, f"a message is too large: the broker takes {limit} bytes at most"
        return None

    def _send(self) -> None:
        room = self.receive_maximum - len(self._unanswered)
        if not self._worth_sending(room) or self.is_closed:
            return
        if (barrier := self.behind_groups) is None:
            messages = self._next(room)
            self._settled.clear()
            self._unanswered.sent(self._connected.send(messages), messages)
        elif messages := self._next(room, self.options.max_bytes_in_flight - self._unanswered.bytes_grouped):
            self._settled.clear()
            self._unanswered.sent_group(self._connected.send_group(messages, barrier), messages, barrier)

    def _worth_sending(self, room: int) -> bool:
        """Bulk waits until half the window is free, else every acknowledgement would be answered by a write of its own.
        The other half is on its way meanwhile, so nothing gets slower."""
        if self._urgent:
            return room > 0
        return room >= min(len(self._waiting), (self.receive_maximum + 1) // 2) > 0

    def _next(self, room: int, space: int | None = None) -> Sequence[Outgoing]:
        """`space`: bytes that they may have in all, where that is bounded; the first may have more if it goes alone."""
        messages: list[Outgoing] = []
        for queue in (self._urgent, self._waiting):
            while queue and len(messages) < room:
                if space is not None:
                    space -= len(queue[0][1])
                    if space < 0 and (messages or self._unanswered):
                        break
                messages.append(queue.popleft())
        if not self._welcome.retain_available:
            return [(topic, payload, False, token) for topic, payload, _, token in messages]
        return messages

    def _input(self) -> None:
        """Something came in: settle what was answered, and use the room that it made."""
        client = self._connected.client
        if self._order is not None:
            self._order.take(client)
            return
        messages, client.messages = client.messages, []
        if self._on_message is not None:
            for message in messages:
                self._on_message(message)
        if client.accepted or client.answered:
            if client.unheard:
                self._count_unheard(client.unheard)
            unasked = len(client.accepted) + len(client.answered) - self._unanswered.answers
            tokens = self._unanswered.take(client.accepted)
            client.accepted.clear()
            answered = client.answered[:]
            client.answered.clear()
            for mid, code, text in answered:
                self._take_answer(mid, code, text, tokens)
            unasked += self._unanswered.answers
            self.acknowledged += len(tokens)
            self._send()
            if tokens:
                self._on_acknowledged(tokens)
            if not self._unanswered:
                self._settled.set()
            if unasked:
                client.incoming.unasked(unasked, "acknowledgements")

    def _count_unheard(self, mids: list[int]) -> None:
        for mid in mids:
            if (token := self._unanswered.token(mid)) is not None:
                self.unheard += 1
                self.last_unheard = token
        mids.clear()

    def _take_answer(self, mid: int, code: int, text: str, tokens: list[Any]) -> None:
        if code >= FAILURE and self._unanswered.barrier(mid) is not None:
            text = f"the marker on {self.options.marker_topic}: {reason(code, text)}: allow that topic, or set barrier"
            code = FAILURE  # which says nothing for good of the messages before it
        for token in self._unanswered.take([mid]):
            if code >= FAILURE:
                self._refuse(token, code, reason(code, text))
            else:
                tokens.append(token)

    def _refuse_unsent(self, token: Any, code: int, words: str) -> None:
        if not self.is_closed:
            self._refuse(token, code, words)

    def _refuse(self, token: Any, code: int, words: str) -> None:
        self.refused += 1
        self._on_refused(token, code, words)

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Subscribe to these topic filters. Raises RefusedError for one that the broker does not grant, LinkError when
        the session ends first."""
        codes = await self._unanswered.ask(
            self._connected, lambda client: client.subscribe([(topic, qos) for topic in filters])
        )
        for topic, code in zip(filters, codes, strict=False):
            if code >= FAILURE:
                raise RefusedError(f'broker {self.options.address} refuses to subscribe "{topic}": {reason(code)}')

    async def barrier(self) -> None:
        """Return when the broker has read everything that was sent before.

        It unsubscribes a filter that was never subscribed; the broker must answer that (MQTT-3.10.4-5), and answers in
        the order of the one stream. Raises LinkError when the session ends first.
        """
        await self._unanswered.ask(self._connected, lambda client: client.unsubscribe(UNUSED_FILTER))

    def _abandon(self, ended: asyncio.Future[Exception]) -> None:
        self._unanswered.abandon(ended)
        self._settled.set()

    def forget_waiting(self) -> None:
        """Drop what was handed over and not sent yet; its tokens will not come back."""
        self._urgent.clear()
        self._waiting.clear()

    @property
    def progress(self) -> int:
        """Grows with each answer, and with the bytes that the peer's TCP takes while more are to come."""
        if self._link is None:
            return 0
        return self.acknowledged + self.refused + self._link.look()

    @property
    def in_flight(self) -> int:
        """Messages that the broker has not answered; also those at the end of the session."""
        return len(self._unanswered)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way, nor waits to be."""
        return not self._unanswered and not self.waiting

    async def settle(self, timeout: float) -> bool:
        """Wait until nothing is on its way; at most `timeout` seconds. Whether it came to that."""
        if self.idle:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            return False
        return not self._unanswered

    def abort(self) -> None:
        """End it as a machine does that dies: without a good-bye, and what the broker has not read by now is gone."""
        if self._link is not None:
            self._link.reset()

    async def disconnect(self, timeout: float = 1.0, *, with_will: bool = False) -> None:
        """Say good-bye, so that the will is not published (with MQTT 5 and `with_will` it is), and close. Never raises
        for a session that is dead; gives a link that takes nothing `timeout` seconds."""
        if self._link is None or self.is_closed:
            return
        self._connected.good_bye(with_will and self.protocol == "5")
        await asyncio.wait({self._connected.ended}, timeout=timeout)
        self._connected.close()
