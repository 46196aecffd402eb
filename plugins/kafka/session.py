"""One session of the sink: records become messages of partitions, batches go to the brokers that lead them, answers come
back."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.protocol.transaction import InitProducerIdRequest

from gateway.kit import route
from gateway.plugin import Lane, LinkError, Record, RefusedError, SinkHost

from .answers import NO_IDEMPOTENCE, NO_SCHEMA, NOT_AUTHORISED, TAKEN, Then, in_words, then
from .cluster import Cluster
from .config import KafkaConfig
from .messages import Messages, Way
from .producer import Entry, Partition, Place, memory_of
from .schemas import Schemas
from .wire import Produce

LOOK_AGAIN = 1.0
"""Seconds between two questions for the same leader."""
LONGEST_THROTTLE = 300.0
"""Seconds; a broker that says more is not believed."""
UNTIMED = (
    "the brokers find the times of our records too far from their clock's: they go without a time of Kafka's, their own"
    " stands in the message; is the gateway's clock right? For history set message.timestamp.type=LogAppendTime at the topic"
)
SAID_UNTIMED = "said_untimed"
NO_NUMBERS = "without numbers (no right to IdempotentWrite): a lost connection may bring repeats"


class KafkaSession:
    def __init__(self, config: KafkaConfig, host: SinkHost, log: Any) -> None:
        self._config = config
        self._host = host
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._cluster = Cluster(config, config.client_id or host.gateway)
        self._messages = Messages(config, host)
        self._schemas = Schemas(config.schema_registry, host.memory, route(config)) if config.schema_registry else None
        self._producer = memory_of(host.memory)
        self._partitions: dict[Place, Partition] = {}
        self._doubts: dict[str, Partition] = {}
        """Records of the batches in doubt, by id."""
        self._unplaced: dict[str, list[tuple[Way, Record, list[Entry]]]] = defaultdict(list)
        """Records whose topic is looked up, by topic."""
        self._ready: set[Partition] = set()
        self._wanted: set[str] = set()
        """Topics to be looked up."""
        self._asked: dict[str, float] = {}
        """Topics that were, and when."""
        self._news = asyncio.Event()
        self._broken: asyncio.Future[LinkError] = self._loop.create_future()
        self._throttled_until = 0.0
        self._taken = 0

    @property
    def promise(self) -> Mapping[str, Any]:
        """What this session is, for `status`."""
        said: dict[str, Any] = {
            "protocol": "Kafka",
            "encryption": "TLS" if self._config.tls else "none",
            "cluster": self._cluster.id,
            "brokers": self._cluster.brokers,
            "acks": "all",
            "batches_under_way": sum(each.under_way is not None for each in self._partitions.values()),
        }
        if self._producer.id < 0:
            said["weaker"] = NO_NUMBERS
        if self._loop.time() < self._throttled_until:
            said["throttled"] = "the brokers ask us to be slower (quota)"
        return said

    @property
    def progress(self) -> int:
        """Changes with each batch that is taken, and while the brokers have told us to wait."""
        now = self._loop.time()
        return self._taken + int(now * 1000) if now < self._throttled_until else self._taken

    async def connect(self) -> None:
        """Raises LinkError, RefusedError; then nothing is left open."""
        await self._cluster.connect()
        try:
            await self._number()
        except BaseException:
            await self._cluster.close()
            raise
        for place in self._producer.doubtful:
            partition = self._partition(place)
            self._doubt(partition)
            self._want(place[0])

    async def _number(self) -> None:
        """Have a producer id: the one that the connection before had, if it was of the same cluster."""
        producer, config = self._producer, self._config
        meant = (config.servers, config.topic, config.key, config.max_request_size)
        if (producer.cluster, producer.meant) != (self._cluster.id, meant):
            producer.renew()
            producer.doubtful.clear()
            producer.taken.clear()
            producer.cluster, producer.meant = self._cluster.id, meant
        if producer.id >= 0:
            return
        answer = await self._cluster.any().ask(InitProducerIdRequest(None, 60_000))
        if answer.error_code in (NO_IDEMPOTENCE, NOT_AUTHORISED):
            self._log.warning(f"Kafka writes {NO_NUMBERS}")
        elif answer.error_code != TAKEN:
            raise LinkError(f"the brokers give no producer id yet: {in_words(answer.error_code)}; are they starting?")
        else:
            producer.id, producer.epoch = answer.producer_id, answer.producer_epoch

    async def serve(self) -> None:
        """Looks up leaders and dials brokers, until a connection ends."""
        working = asyncio.ensure_future(self._work())
        ends: set[asyncio.Future[Any]] = {working, self._broken, self._cluster.ended}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            await asyncio.wait({working})
        for ended in (self._broken, self._cluster.ended):
            if ended.done():
                raise ended.result()
        working.result()

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if wanted := [*self._wanted]:
                self._wanted.clear()
                await self._look_up(wanted)
                now = self._loop.time()
                self._asked.update(dict.fromkeys(wanted, now))
                for topic in wanted:
                    self._place(topic)
            for node in {self._leader(each) for each in self._ready}:
                if node >= 0 and self._cluster.link(node) is None:
                    await self._reach(node)
            self._pump()

    async def _look_up(self, topics: Sequence[str]) -> None:
        await self._cluster.look_up(topics)
        for topic in topics if self._schemas else ():
            assert self._schemas is not None
            if topic in self._cluster.leaders and (trouble := await self._schemas.trouble_with(topic)):
                del self._cluster.leaders[topic]
                self._cluster.troubles[topic] = (NO_SCHEMA, trouble)

    async def _reach(self, node: int) -> None:
        try:
            await self._cluster.reach(node)
        except LinkError as error:
            for partition in [each for each in self._ready if self._leader(each) == node]:
                self._refuse(partition, str(error), certain=True)

    # Records become messages

    def send(self, records: Sequence[Record]) -> None:
        """Hand over; each is answered to the host."""
        known: list[Record] = []
        taken, doubts = self._producer.taken, self._doubts
        for record in records:
            name = record.id
            if taken and name in taken:
                del taken[name]
                known.append(record)
            elif doubts and (partition := doubts.get(name)) is not None:
                partition.awaited[name] = record
                self._ready.add(partition)
            else:
                way, entries = self._messages.of(record, name)
                if not entries:
                    known.append(record)
                elif (leaders := self._cluster.leaders.get(way.topic)) is not None:
                    self._queue(way, leaders, record, entries)
                else:
                    self._unplaced[way.topic].append((way, record, entries))
                    self._want(way.topic)
        if known:
            self._host.acknowledged(known)
        self._pump()

    def _queue(self, way: Way, leaders: Sequence[int], record: Record, entries: list[Entry]) -> None:
        if self._schemas is not None:
            self._schemas.sign(way.topic, entries)
        partition = self._partition((way.topic, way.number % len(leaders)))
        partition.add(entries, record.lane is Lane.ALARM)
        self._ready.add(partition)

    def _partition(self, place: Place) -> Partition:
        partition = self._partitions.get(place)
        if partition is None:
            config = self._config
            partition = Partition(place, self._producer, config.max_request_size, config.compression == "gzip")
            self._partitions[place] = partition
        return partition

    def _doubt(self, partition: Partition) -> None:
        if (batch := self._producer.doubtful.get(partition.place)) is not None:
            self._doubts.update((each.id, partition) for each in batch.completes)
            self._ready.add(partition)

    # Where they go

    def _want(self, topic: str) -> None:
        """Have it looked up; not twice in a moment."""
        if topic in self._cluster.troubles and self._loop.time() < self._asked.get(topic, 0.0) + LOOK_AGAIN:
            self._loop.call_soon(self._place, topic)
            return
        self._wanted.add(topic)
        self._news.set()

    def _place(self, topic: str) -> None:
        """What waited for this topic goes to its partitions, or is refused."""
        waiting = self._unplaced.pop(topic, [])
        if (trouble := self._cluster.troubles.get(topic)) is not None:
            code, reason = trouble
            for _, record, _ in waiting:
                self._host.refused(record, reason, then(code) is Then.NEVER)
            for partition in [each for each in self._ready if each.place[0] == topic]:
                self._refuse(partition, reason, certain=True)
        else:
            for way, record, entries in waiting:
                self._queue(way, self._cluster.leaders[topic], record, entries)
        self._pump()

    def _leader(self, partition: Partition) -> int:
        topic, number = partition.place
        leaders = self._cluster.leaders.get(topic, ())
        return leaders[number] if number < len(leaders) else -1

    def _pump(self) -> None:
        """Send a batch for each partition that has something and nothing under way, to each broker in as few requests as its
        size allows."""
        if not self._ready or self._broken.done():
            return
        for_broker: dict[int, list[Partition]] = defaultdict(list)
        for partition in list(self._ready):
            if not partition.has_work:
                self._ready.discard(partition)
                continue
            node = self._leader(partition)
            if node >= 0 and self._cluster.link(node) is not None:
                self._ready.discard(partition)
                for_broker[node].append(partition)
            elif partition.place[0] not in self._cluster.leaders:
                self._want(partition.place[0])
            elif node < 0:
                self._refuse(partition, f"{in_words(5)} (partition {partition.place[1]})", certain=True)
            else:
                self._news.set()
        for node, partitions in for_broker.items():
            self._produce(node, partitions)

    def _produce(self, node: int, partitions: Sequence[Partition]) -> None:
        link = self._cluster.link(node)
        assert link is not None
        while partitions:
            topics: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
            size, sent = 0, 0
            for partition in partitions:
                if size >= self._config.max_request_size:
                    break
                topic, number = partition.place
                data = partition.next_batch().data
                topics[topic].append((number, data))
                size += len(data)
                sent += 1
            under_way, partitions = partitions[:sent], partitions[sent:]
            request = Produce(int(self._config.ack_timeout * 750), list(topics.items()))
            self._asked_of(link.ask(request), {each.place: each for each in under_way})

    # What comes back

    def _asked_of(self, answer: "asyncio.Future[Any]", under_way: dict[Place, Partition]) -> None:
        def answered(done: "asyncio.Future[Any]") -> None:
            if done.cancelled() or done.exception() is not None:
                return  # the connection has ended: `serve` tells why, and `close` keeps what is in doubt
            try:
                self._heard(done.result(), under_way)
            except LinkError as error:
                self._break(error)

        answer.add_done_callback(answered)

    def _heard(self, answer: Any, under_way: dict[Place, Partition]) -> None:
        done: list[Record] = []
        uncounted = ""
        for topic, partitions in answer.topics:
            for number, code, *rest in partitions:
                partition = under_way.pop((topic, number), None)
                if partition is None or partition.under_way is None:
                    raise LinkError("a broker answers for a partition that was not asked for")
                said = rest[-1] if rest and isinstance(rest[-1], str) else None
                if then(code) is Then.RENEW:
                    uncounted = in_words(code, said)
                    self._settled(partition)
                    partition.uncounted()
                else:
                    self._one_answer(partition, code, said, done)
        if under_way:
            raise LinkError("a broker leaves out a partition in its answer")
        if answer.throttle_time_ms > 0:
            self._throttled_until = self._loop.time() + min(answer.throttle_time_ms / 1000, LONGEST_THROTTLE)
        if done:
            self._host.acknowledged(done)
        if uncounted:
            raise LinkError(
                f"the brokers have lost count of this producer ({uncounted}): it begins anew, and what was on its way may"
                " come twice"
            )
        self._pump()

    def _one_answer(self, partition: Partition, code: int, said: str | None, done: list[Record]) -> None:
        follows = then(code)
        if follows is Then.TAKEN:
            self._taken += 1
            self._settled(partition)
            done += partition.taken()
            self._ready.add(partition)
        elif follows is Then.NEVER:
            self._settled(partition)
            for record in partition.never():
                self._host.refused(record, in_words(code, said), True)
            self._ready.add(partition)
        elif follows is Then.WITHOUT_TIME:
            self._settled(partition)
            partition.without_times()
            if not self._host.memory.get(SAID_UNTIMED):
                self._host.memory[SAID_UNTIMED] = True
                self._log.warning(UNTIMED, topic=partition.place[0])
            self._ready.add(partition)
        elif follows is Then.HOPELESS:
            raise RefusedError(f"topic {partition.place[0]}: {in_words(code, said)}")
        else:
            reason = self._why(partition, code, said)
            self._refuse(partition, reason, certain=follows is Then.NOT_NOW)
            self._asked.pop(partition.place[0], None)

    def _why(self, partition: Partition, code: int, said: str | None) -> str:
        topic = partition.place[0]
        if code == NOT_AUTHORISED:
            return f'not authorised: let {self._cluster.who} write to topic "{topic}" (kafka-acls.sh --add --producer)'
        if code == NO_IDEMPOTENCE:
            return f"not authorised: give {self._cluster.who} IdempotentWrite on the cluster (kafka-acls.sh --add --producer)"
        return f'topic "{topic}", partition {partition.place[1]}: {in_words(code, said)}'

    def _refuse(self, partition: Partition, reason: str, certain: bool) -> None:
        """Nothing of this partition for now; what waits goes back to the gateway, which knows when to try again. Then it is
        asked anew who leads it."""
        self._ready.discard(partition)
        self._cluster.leaders.pop(partition.place[0], None)
        for record in partition.not_now(certain):
            self._host.refused(record, reason, False)
        if (batch := self._producer.doubtful.get(partition.place)) is not None:
            self._doubts.update((each.id, partition) for each in batch.completes)

    def _settled(self, partition: Partition) -> None:
        """The batch in doubt, if this one was, is no more."""
        batch = partition.under_way
        if self._doubts and batch is not None and batch.lost:
            for record in batch.completes:
                self._doubts.pop(record.id, None)

    def _break(self, why: LinkError) -> None:
        if not self._broken.done():
            self._broken.set_result(why)

    async def check(self) -> str:
        """What was found, in words."""
        cluster, topics = self._cluster, self._messages.topics()
        await cluster.look_up(topics, rights=True)
        found = [f"Kafka cluster {cluster.id or 'without an id'}", f"{cluster.brokers} broker(s)"]
        found += map(cluster.found, topics)
        if self._schemas is not None:
            found += [await self._schemas.found(topic) for topic in topics]
        found.append("idempotent" if self._producer.id >= 0 else f"weaker: {NO_NUMBERS}")
        return ", ".join(found)

    async def close(self) -> None:
        """Keep what is in doubt for the next connection, and close."""
        for partition in self._partitions.values():
            partition.lost()
        await self._cluster.close()
