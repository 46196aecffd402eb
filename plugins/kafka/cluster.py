"""The brokers of a cluster: who is there, who leads which partition, and a connection to each that is needed."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.protocol.admin import CreateTopicsRequest

from gateway.kit import route, shown
from gateway.plugin import LinkError, RefusedError, cleaned

from .answers import NOT_AUTHORISED, TOPIC_INVALID, UNKNOWN_TOPIC, in_words
from .config import KafkaConfig, address
from .login import log_in
from .wire import BrokerLink, Metadata, dial_broker

DIAL = 10.0
"""Seconds for one broker; with several, the next one is asked then."""
MOST_BROKERS, MOST_PARTITIONS = 10_000, 100_000
"""Beyond, what a broker says is not believed."""
WRITE = 4
"""The bit of a topic's rights that allows writing (AclOperation)."""
UNTOLD = -(2**31)
EXISTS = 36


class Cluster:
    """Of one session of the sink."""

    def __init__(self, config: KafkaConfig, client_id: str) -> None:
        self._config = config
        self._client_id = client_id
        self._way = route(config)
        self._links: dict[int, BrokerLink] = {}
        """By the broker's number; the one that we began with under -1, until its number is known."""
        self._addresses: dict[int, tuple[str, int]] = {}
        self._dials: dict[int, asyncio.Task[BrokerLink]] = {}
        self.id = ""
        self.leaders: dict[str, list[int]] = {}
        """Topic → the broker that leads each partition, -1 where there is none."""
        self.troubles: dict[str, tuple[int, str]] = {}
        """Topics that cannot be written to now: error code and words."""
        self.rights: dict[str, int] = {}
        """Topic → bits of what we may do, where the broker tells."""
        self.ended: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()
        """Why the first connection that ended did."""

    @property
    def brokers(self) -> int:
        """How many the cluster has."""
        return len(self._addresses)

    async def connect(self) -> None:
        """To the first server that answers. Raises LinkError with what each said."""
        refusals: list[LinkError] = []
        for server in self._config.servers:
            try:
                self._links[-1] = await self._dial(*address(server))
                await self.look_up(())
            except LinkError as error:
                await self.close()
                self._links.clear()
                refusals.append(error)
            else:
                return
        if len(refusals) == 1:
            raise refusals[0]
        kind = RefusedError if all(isinstance(each, RefusedError) for each in refusals) else LinkError
        raise kind("; ".join(map(str, refusals)))

    async def look_up(self, topics: Iterable[str], rights: bool = False) -> None:
        """Learn who leads these topics; what is missing is made, if the configuration allows it. Raises LinkError."""
        names = list(topics)
        answer = await self._any().ask(Metadata(names, rights))
        missing = [topic for code, topic, *_ in answer.topics if code == UNKNOWN_TOPIC]
        if missing and self._config.create_topics and not rights:
            told = await self._make(missing)
            answer = await self._any().ask(Metadata(names))
            self._learn(answer)
            self.troubles.update({topic: why for topic, why in told.items() if topic in self.troubles})
        else:
            self._learn(answer)

    def _learn(self, answer: Any) -> None:
        if len(answer.brokers) > MOST_BROKERS or sum(len(each[3]) for each in answer.topics) > MOST_PARTITIONS:
            raise RefusedError(f"broker {self._any().name} speaks of too many brokers or partitions")
        self.id = cleaned(answer.cluster_id or "")
        self._addresses = {node: (str(host), port) for node, host, port, _ in answer.brokers}
        if -1 in self._links and len(self._addresses) == 1:
            # The only broker is the one that we speak with, whatever it calls itself: behind a forwarded port its own
            # name may lead nowhere.
            self._links[next(iter(self._addresses))] = self._links.pop(-1)
        for code, topic, _, partitions, *more in answer.topics:
            found = {number: leader for _, number, leader, *_ in partitions}
            if code or not found or sorted(found) != list(range(len(found))):
                self.leaders.pop(topic, None)
                self.troubles[topic] = (code or UNKNOWN_TOPIC, self._why_not(code or UNKNOWN_TOPIC, topic))
                continue
            self.troubles.pop(topic, None)
            self.leaders[topic] = [found[number] for number in range(len(found))]
            if more:
                self.rights[topic] = more[0]

    def _why_not(self, code: int, topic: str) -> str:
        words = in_words(code)
        if code == UNKNOWN_TOPIC:
            return (
                f'topic "{topic}" does not exist: make it (kafka-topics.sh --create --topic {topic} --partitions 6), or set '
                "create_topics = true"
            )
        if code == NOT_AUTHORISED:
            return f'{words}: let {self.who} write to topic "{topic}" (kafka-acls.sh --add --producer --topic {topic})'
        return (
            f'topic "{topic}": {words}' if code == TOPIC_INVALID else f'topic "{topic}": {words}; look at the brokers'
        )

    @property
    def who(self) -> str:
        """Who we are at the brokers, in words."""
        return f"user {self._config.user}" if self._config.user else "this client"

    async def _make(self, topics: list[str]) -> dict[str, tuple[int, str]]:
        """Make topics with the defaults of the cluster. Returns why one could not be made."""
        answer = await self._any().ask(
            CreateTopicsRequest([(topic, -1, -1, [], []) for topic in topics], int(DIAL * 1000), False)
        )
        told = {}
        for topic, code, *more in answer.topic_errors:
            if code not in (0, EXISTS):
                said = in_words(code, more[0] if more and isinstance(more[0], str) else None)
                told[topic] = (code, f'topic "{topic}" does not exist, and making it (create_topics) failed: {said}')
        return told

    def _any(self) -> BrokerLink:
        for link in self._links.values():
            if not link.ended.done():
                return link
        raise LinkError("no connection to any broker")

    def any(self) -> BrokerLink:
        """A broker to ask what any of them can answer. Raises LinkError."""
        return self._any()

    def link(self, node: int) -> BrokerLink | None:
        """The connection to a broker, if there is one."""
        return self._links.get(node)

    async def reach(self, node: int) -> BrokerLink:
        """The connection to a broker, made if need be. Raises LinkError."""
        if (link := self._links.get(node)) is not None:
            return link
        if node not in self._addresses:
            raise LinkError("the partition has no leader at present: are brokers down?")
        host, port = self._addresses[node]
        try:
            link = await self._dial(host, port)
        except LinkError as error:
            kind = RefusedError if isinstance(error, RefusedError) else LinkError
            raise kind(
                f"{error} (so broker {node} calls itself: if it is not down, set its advertised.listeners to what this"
                " machine can reach)"
            ) from error
        self._links[node] = link
        return link

    async def _dial(self, host: str, port: int) -> BrokerLink:
        try:
            async with asyncio.timeout(DIAL):
                link = await dial_broker(host, port, self._config.tls, self._way, self._client_id)
                try:
                    await log_in(link, self._config)
                except BaseException:
                    await link.close()
                    raise
        except TimeoutError as error:
            raise LinkError(f"broker {shown(host, port)} does not answer within {DIAL:g} s") from error
        link.ended.add_done_callback(self._one_ended)
        return link

    def _one_ended(self, ended: "asyncio.Future[LinkError]") -> None:
        if not self.ended.done() and not ended.cancelled():
            self.ended.set_result(ended.result())

    def found(self, topic: str) -> str:
        """What was found of a topic that was looked up with our rights, in words. Raises RefusedError."""
        if (trouble := self.troubles.get(topic)) is not None:
            if trouble[0] == UNKNOWN_TOPIC and self._config.create_topics:
                return f"topic {topic} will be made"
            raise RefusedError(trouble[1])
        rights = self.rights.get(topic, UNTOLD)
        if rights != UNTOLD and not rights >> WRITE & 1:
            raise RefusedError(
                f"{self.who} may not write to topic {topic} (kafka-acls.sh --add --producer --topic {topic})"
            )
        may = "we may write" if rights != UNTOLD else "whether we may write this broker does not tell"
        return f"topic {topic} with {len(self.leaders[topic])} partition(s), {may}"

    async def close(self) -> None:
        """Close all connections. Afterwards one that ended before counts no more."""
        await asyncio.gather(*(link.close() for link in self._links.values()))
        self._links.clear()
        self.ended = asyncio.get_running_loop().create_future()
