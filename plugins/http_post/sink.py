"""The HTTP sink. A record is acknowledged when the server has answered a request that held it with a status of success."""

import asyncio
import sys
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from gateway.kit import route
from gateway.plugin import (
    Device,
    Lane,
    LinkError,
    Message,
    Record,
    RefusedError,
    Sink,
    SinkHost,
    resolve,
)

from .answers import Meaning, explained, meaning, wait_of
from .batches import CONTENT_TYPES, Batch, joined, with_topic
from .config import HttpPostConfig

if TYPE_CHECKING:
    from gateway.kit.http_client import HttpAnswer, HttpClient

    from .access import Access

HELD = 5.0
"""Seconds for which the server is left alone with the connection open; for longer ones it is closed."""
BUSY = 30.0
"""The longest pause after answers that say to come later, and not when."""
TRIES = 3
"""How often a batch in doubt is posted again as it was, before its records go by themselves."""
SETTLED_AT_MOST = 20_000
"""Records that are known to be taken before the outbox has handed them out again."""
PROBES = 3
"""Records that are refused one by one, and none is taken: then the others are not tried."""
FAREWELL = 1.0
"""Seconds that the server gets to take the last words."""

DOUBT, SETTLED, PROVEN, TOLD = "doubt", "settled", "proven", "told"
LEFT_ALONE, BUSY_TIMES = "left_alone", "busy_times"
"""What one connection leaves for the next: the batch whose answer was lost, and how often it was posted again; ids of such
that were taken after all; whether the server ever took a record; what was said of devices, by topic; until when the server
wants to be left alone (loop time) and why; how often in a row it said so."""

EXPOSED = "the network can read the password or token: begin url with https://"


class HttpPostSink(Sink[HttpPostConfig]):
    def __init__(self, config: HttpPostConfig, host: SinkHost) -> None:
        super().__init__(config, host)
        self._encoder = host.encoder(config.topic, config.per_tag)
        self._alarms: deque[Record] = deque()
        self._data: deque[Record] = deque()
        self._since = 0.0
        """When the first of those that wait came, by the loop's clock."""
        self._statements: dict[str, Message] = {}
        """What is to be said of devices, by topic; the latest."""
        self._said: set[str] = set()
        self._news = asyncio.Event()
        self._client: HttpClient | None = None
        self._access: Access | None = None
        self._answers = 0
        self._own_fault = False
        self._waits = ""
        """Why nothing is sent at the moment."""
        parts = urlsplit(config.url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._url = f"{parts.scheme}://{parts.netloc}{parts.path}"

    @property
    def window(self) -> int:
        return self.config.window

    @property
    def client(self) -> "HttpClient":
        """The connection. Raises LinkError before there is one."""
        if self._client is None:
            raise LinkError("not connected")
        return self._client

    @property
    def promise(self) -> Mapping[str, Any]:
        if self._client is None:
            return {}
        said: dict[str, Any] = {"protocol": "HTTP/1.1", "encryption": self._client.encryption, "answers": self._answers}
        if self._waits:
            said["waits"] = self._waits
        return {**said, "exposed": EXPOSED} if self.config.exposed else said

    @property
    def progress(self) -> int:
        moving = self._client.unsent if self._client is not None else 0
        return (self._answers << 40) + moving + (int(asyncio.get_running_loop().time()) if self._waits else 0)

    @property
    def own_fault(self) -> bool:
        return self._own_fault

    async def connect(self) -> None:
        until, why = self.host.memory.get(LEFT_ALONE, (0.0, ""))
        if (left := until - asyncio.get_running_loop().time()) > 0:
            raise LinkError(f"{why}: it is left alone for {left:.0f} s more")
        await self._open()
        self._tell(self._encoder.gateway_state(online=True))

    async def _open(self) -> None:
        try:
            from gateway.kit.http_client import HttpClient

            from .access import Access
        except ModuleNotFoundError as error:
            raise RefusedError(
                f"HTTP needs a library that is not installed ({error.name}): {sys.executable} -m pip install h11"
            ) from error
        self._client = HttpClient(self.config.url, tls=self.config.tls, route=route(self.config))
        self._access = Access(self.config, self.host.memory)
        try:
            await self._client.open()
            await self._access.header()
        except BaseException:
            await self._closed()
            raise

    async def serve(self) -> None:
        if DOUBT in self.host.memory:
            await self._resolve()
        while True:
            if batch := self._next_batch():
                await self._deliver(batch)
            elif self._statements:
                await self._say()
            else:
                await self._something_to_do()

    # What waits

    def send(self, records: Sequence[Record]) -> None:
        if not (self._alarms or self._data):
            self._since = asyncio.get_running_loop().time()
        for record in records:
            (self._alarms if record.lane is Lane.ALARM else self._data).append(record)
        if self.host.memory.get(SETTLED):
            self._acknowledge_settled()
        self._news.set()

    async def _something_to_do(self) -> None:
        """Wait for news, or until a wait for more of them is over."""
        self._news.clear()
        loop = asyncio.get_running_loop()
        pause = max(0.0, self._since + self.config.linger - loop.time()) if self._data else None
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            pass

    def _next_batch(self) -> Batch | None:
        """What goes next: events; readings, when a batch is full or has waited enough."""
        now = asyncio.get_running_loop().time()
        waits = len(self._data) < min(self.config.batch, self.window) and now < self._since + self.config.linger
        if not self._alarms and (waits or not self._data):
            return None
        records: list[Record] = []
        parts: list[list[bytes]] = []
        size = 0
        while (waiting := self._alarms or self._data) and len(records) < self.config.batch:
            part = [with_topic(each) for each in self._encoder.messages(waiting[0])]
            size += sum(map(len, part)) + len(part)
            if records and size > self.config.batch_bytes:
                break
            record = waiting.popleft()
            if part:
                records.append(record)
                parts.append(part)
            else:
                self.host.acknowledged([record])
        self._since = now
        return Batch(records, parts) if records else None

    # Posting

    async def _deliver(self, batch: Batch) -> None:
        """Post it; where a record in it may be to blame, its halves, down to the one that is."""
        todo, guilty, taken = [batch], [], False
        while todo:
            part = todo.pop()
            answer = await self._taken_seriously(lambda part=part: self._post(part))  # type: ignore[misc]
            what = meaning(answer.status)
            if what is Meaning.TAKEN:
                self.host.memory[PROVEN] = taken = True
                self.host.acknowledged(part.records)
            elif len(part) > 1:
                todo += reversed(part.halves())
            else:
                reason = explained(answer, self._url, self._who)
                guilty.append((part.records[0], reason, what is Meaning.SUSPECT))
                if len(guilty) >= PROBES and not taken:
                    guilty += [(record, reason, False) for rest in reversed(todo) for record in rest.records]
                    break
        proven = bool(self.host.memory.get(PROVEN))
        for record, reason, final in guilty:  # before it ever took anything, everything may be wrong
            self.host.refused(record, reason, final and proven)

    async def _resolve(self) -> None:
        """Post the batch in doubt again as it was, however the outbox hands its records out: what the server then has need
        not be sent under another key."""
        batch, tries = self.host.memory.pop(DOUBT)
        if tries >= TRIES:
            return
        self._own_fault = True  # none of the records that wait meanwhile has anything to do with how this ends
        try:
            answer = await self._taken_seriously(lambda: self._asked(batch.body(self.config.body), batch.key))
        except BaseException:
            self.host.memory[DOUBT] = (batch, tries + 1)
            raise
        self._own_fault = False
        if meaning(answer.status) is Meaning.TAKEN:
            self.host.memory[PROVEN] = True
            settled = {**self.host.memory.get(SETTLED, {}), **dict.fromkeys(batch.ids)}
            self.host.memory[SETTLED] = dict.fromkeys(list(settled)[-SETTLED_AT_MOST:])
            self._acknowledge_settled()

    def _acknowledge_settled(self) -> None:
        settled: dict[str, None] = self.host.memory[SETTLED]
        for waiting in (self._alarms, self._data):
            done = [record for record in waiting if record.id in settled]
            if done:
                left = [record for record in waiting if record.id not in settled]
                waiting.clear()
                waiting += left
                for record in done:
                    del settled[record.id]
                self.host.acknowledged(done)

    async def _post(self, batch: Batch) -> "HttpAnswer":
        try:
            answer = await self._asked(batch.body(self.config.body), batch.key)
        except BaseException:
            self.host.memory[DOUBT] = (batch, 0)
            raise
        return answer

    async def _taken_seriously(self, post: "Callable[[], Awaitable[HttpAnswer]]") -> "HttpAnswer":
        """The answer to what is posted, again where the server wants it later or with another token. Raises LinkError, and
        RefusedError for what a person must mend."""
        assert self._access is not None
        renewed = False
        while True:
            answer = await post()
            self._answers += 1
            what = meaning(answer.status)
            if what is Meaning.LOGIN and self._access.renewable and not renewed:
                self._access.forget()
                renewed = True
            elif what is Meaning.LATER:
                await self._leave_alone(answer)
            elif what in (Meaning.LOGIN, Meaning.WRONG):
                self._own_fault = True
                raise RefusedError(explained(answer, self._url, self._who))
            else:
                self.host.memory.pop(BUSY_TIMES, None)
                return answer

    async def _leave_alone(self, answer: "HttpAnswer") -> None:
        """As long as the server says; else longer and longer. Raises LinkError when that is long."""
        times = self.host.memory[BUSY_TIMES] = self.host.memory.get(BUSY_TIMES, 0) + 1
        asked = wait_of(answer)
        wait = min(BUSY, 2.0 ** min(times, 10) / 2) if asked is None else asked
        why = explained(answer, self._url, self._who)
        if wait > HELD:
            self._own_fault = True
            self.host.memory[LEFT_ALONE] = (asyncio.get_running_loop().time() + wait, why)
            raise LinkError(f"{why}: it is left alone for {wait:.0f} s")
        self._waits = why
        try:
            await asyncio.sleep(wait)
        finally:
            self._waits = ""

    async def _asked(self, body: bytes, key: str) -> "HttpAnswer":
        """Raises LinkError when no whole answer comes within `ack_timeout`, unless the network still takes what was said."""
        assert self._access is not None
        headers = {"Content-Type": CONTENT_TYPES[self.config.body], **({"Idempotency-Key": key} if key else {})}
        for name, said in self.config.headers.items():
            headers[name] = said if isinstance(said, str) else resolve(said)
        headers |= await self._access.header()
        if self.config.compress:
            body = await asyncio.to_thread(zlib.compress, body, 1, 31)
            headers["Content-Encoding"] = "gzip"
        asking = asyncio.ensure_future(self.client.ask("POST", self._target, headers, body))
        unsent = sys.maxsize
        try:
            while not (await asyncio.wait([asking], timeout=self.config.ack_timeout))[0]:
                if (now := self.client.unsent) in (0, unsent):
                    raise LinkError(f"{self._url} gives no whole answer within {self.config.ack_timeout:g} s")
                unsent = now
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    @property
    def _who(self) -> str:
        config = self.config
        if config.user:
            return f'user "{config.user}", or its password'
        if config.oauth is not None:
            return f"client_id {config.oauth.client_id}, or what its token is good for (scope, audience)"
        return "token" if config.token is not None else "user and password, token, oauth or a header: none is set"

    # Descriptions and states

    def device_changed(self, device: Device, online: bool, reason: str) -> None:
        self._tell(self._encoder.description(device))
        self._tell(self._encoder.state(device, online, reason))
        self._tell(self._encoder.gateway_state(online=True))

    def _tell(self, message: Message) -> None:
        """Say it, if it is not what was said last."""
        if self.config.states and self.host.memory.setdefault(TOLD, {}).get(message.topic) != _hash(message):
            self._statements[message.topic] = message
            self._news.set()

    async def _say(self) -> None:
        """Post what there is to say of devices, in one request; one that is refused is not said again."""
        said, self._statements = self._statements, {}
        body = joined(map(with_topic, said.values()), self.config.body)
        self._own_fault = True
        answer = await self._taken_seriously(lambda: self._asked(body, ""))
        self._own_fault = False
        if meaning(answer.status) is not Meaning.TAKEN:
            reason = explained(answer, self._url, self._who)
            if reason not in self._said and len(self._said) < 100:
                self._said.add(reason)
                self.log.warning(
                    "the server does not take descriptions or states; states = false leaves them out", reason=reason
                )
        told = self.host.memory.setdefault(TOLD, {})
        for topic, message in said.items():
            told[topic] = _hash(message)

    async def check(self) -> str:
        """Connects, has a token where one is needed, and asks by HEAD, which leaves nothing there."""
        await self._open()
        assert self._access is not None
        try:
            async with asyncio.timeout(self.config.ack_timeout):
                answer = await self.client.ask("HEAD", self._target, await self._access.header())
            if meaning(answer.status) is Meaning.LOGIN:
                raise RefusedError(explained(answer, self._url, self._who))
            found = f"HTTP/1.1, encryption: {self.client.encryption}, HEAD is answered by {answer.status}"
            return found + (": is the path of url right?" if answer.status in (404, 410) else "")
        except TimeoutError as error:
            raise LinkError(f"{self._url} gives no answer within {self.config.ack_timeout:g} s") from error
        finally:
            await self._closed()

    async def close(self) -> None:
        """Say that the gateway is offline, where the connection is idle, and close it."""
        self._alarms.clear()
        self._data.clear()
        if self._client is not None and self._client.idle and not self._own_fault:
            self._tell(self._encoder.gateway_state(online=False))
            if self._statements:
                try:
                    async with asyncio.timeout(FAREWELL):
                        await self._say()
                except (LinkError, TimeoutError):
                    pass
        await self._closed()

    async def _closed(self) -> None:
        for each in (self._client, self._access):
            if each is not None:
                await each.close()


def _hash(message: Message) -> int:
    """Of what it says, apart from when."""
    return hash(orjson.dumps({**orjson.loads(message.payload), "ts": None}))
