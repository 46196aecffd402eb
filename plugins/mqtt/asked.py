"""Requests that come in by the broker, on topics below the gateway's own, and their answers (docs/requests.md)."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from gateway.kit import FarRequests, Question, read_question
from gateway.plugin import LinkError, RequestOptions, SinkHost, cleaned, to_json
from gateway.plugin.mqtt import MqttSession, Received

REQUEST, RESPONSE = "_request", "_response"
"""Levels below the gateway's own topic."""
AT_ONCE = 16
"""Requests that may be under way."""
SAY_EVERY = 1.0
"""Seconds between two answers to what comes too often."""
LAST = 1.0
"""Seconds that what is under way gets at the end of a connection."""
LONGEST_TOPIC = 1000

CUT, REFUSALS, LEFT_OUT = "requests_cut", 3, 600.0
"""Connections in a row that ended over our wish to hear requests; after so many, they are not listened to for so many s."""
_COUNTS = "request_counts"


class Asked:
    """Of one connection. What is not answered is counted."""

    def __init__(
        self,
        options: RequestOptions,
        host: SinkHost,
        log: structlog.stdlib.BoundLogger,
        requests: FarRequests,
        own_topic: str,
        device_topics: Callable[[], Iterable[str]],
    ) -> None:
        self._options = options
        self._host = host
        self._log = log
        self._requests = requests
        self._own_topic = own_topic
        self._device_topics = device_topics
        self._default = f"{own_topic}/{RESPONSE}"
        self._session: MqttSession
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_at = -SAY_EVERY
        self.trouble = ""
        """Why nothing is heard, in words."""

    @property
    def status(self) -> dict[str, Any]:
        """For the sink's promise."""
        counts: dict[str, int] = self._host.memory.setdefault(_COUNTS, {"answered": 0, "refused": 0, "not answered": 0})
        return {**counts, **({"trouble": self.trouble} if self.trouble else {})}

    def _count(self, what: str) -> None:
        counts = self._host.memory.setdefault(_COUNTS, self.status)
        counts[what] += 1

    def listen(self, session: MqttSession) -> None:
        """Hear requests from now on, if the broker lets us; in a task of its own, so that no data waits for it."""
        self._session = session
        if self._options.commands:
            self._begin(self._subscribe())

    async def _subscribe(self) -> None:
        cut, until = self._host.memory.get(CUT, (0, 0.0))
        now = asyncio.get_running_loop().time()
        if cut >= REFUSALS and now < until:
            self.trouble = "the broker ends the connection over our wish to hear requests: allow it to read them"
            return
        topic = f"{self._own_topic}/{REQUEST}/+"
        try:
            await self._session.subscribe(topic)
        except LinkError as error:
            if self._session.is_closed:
                self._host.memory[CUT] = (cut % REFUSALS + 1, now + LEFT_OUT)
            self.trouble = f"requests are not heard: {error}"
            self._log.warning("the broker does not let us hear requests", topic=topic, reason=str(error))
        else:
            self._host.memory[CUT] = (0, 0.0)

    def message(self, message: Received) -> None:
        """One has come. Some brokers hand out what was not asked for, too."""
        where, _, _ = message.topic.rpartition("/")
        if where != f"{self._own_topic}/{REQUEST}":
            return
        if message.retained:  # it would be done again at each connection
            self._ignore(message, "it is retained: send requests without retain")
        elif len(self._tasks) >= AT_ONCE or not self._requests.admits():
            self._ignore(message, f"too many requests: {self._rate} are looked at, and {AT_ONCE} at once")
        else:
            self._begin(self._answer(message))

    @property
    def _rate(self) -> str:
        count, seconds = self._options.rate
        return f"{count} in {seconds:g} s"

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a request failed: a bug", exc_info=error)

    def _ignore(self, message: Received, why: str) -> None:
        """It is counted; once in a while somebody is told, and the audit trail."""
        self._count("not answered")
        now = asyncio.get_running_loop().time()
        if now < self._said_at + SAY_EVERY:
            return
        self._said_at = now
        self._begin(self._requests.refused(self._command(message), why))
        self._log.warning("a request is not done", topic=cleaned(message.topic), reason=why)
        if not message.retained:
            question = Question(self._command(message))
            self._say(message, question, {"command": question.command, "ok": False, "error": why})

    def _command(self, message: Received) -> str:
        return cleaned(message.topic.rpartition("/")[2], 100)

    async def _answer(self, message: Received) -> None:
        question = read_question(self._command(message), message.payload, message.dropped)
        wanted = message.response_topic or question.response_topic
        if wanted and not self._may_answer_on(wanted) and not question.problem:
            problem = f'answers may not go to "{cleaned(wanted, 200)}": allow it as response_topics in [sink.requests]'
            question = Question(question.command, id=question.id, digest=question.digest, problem=problem)
        body = await self._requests.answer(question, correlation=message.correlation, expires=message.expires)
        if body is not None:
            self._count("answered" if body["ok"] else "refused")
            self._say(message, question, body)

    def _say(self, message: Received, question: Question, body: Any) -> None:
        wanted = message.response_topic or question.response_topic
        topic = wanted if wanted and self._may_answer_on(wanted) else self._default
        why = self._session.answer(topic, to_json(body), message.correlation)
        if why and body.get("ok"):
            less = {**body, "error": f"it was done, and the answer cannot be sent: {why}"}
            less.pop("result")
            why = self._session.answer(topic, to_json(less), message.correlation)
        if why:
            self._log.warning("a request was not answered", topic=cleaned(topic), reason=why)

    def _may_answer_on(self, topic: str) -> bool:
        levels = topic.split("/")
        if topic == self._default or topic.startswith(f"{self._default}/"):
            return len(topic) <= LONGEST_TOPIC and not set("+#\0") & set(topic)
        if not topic or len(topic) > LONGEST_TOPIC or set("+#\0") & set(topic) or topic[0] == "$" or REQUEST in levels:
            return False
        if any(topic == own or topic.startswith(f"{own}/") for own in self._ours()):
            return False
        return any(_matches(pattern.split("/"), levels) for pattern in self._options.response_topics)

    def _ours(self) -> Iterable[str]:
        yield self._own_topic
        yield from filter(None, self._device_topics())

    async def close(self) -> None:
        """The connection ends: what is under way gets a moment."""
        tasks = set(self._tasks)
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=LAST)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=LAST)


def _matches(pattern: list[str], levels: list[str]) -> bool:
    """Whether a topic is what an MQTT filter means (MQTT 5 section 4.7)."""
    for index, level in enumerate(pattern):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(pattern) == len(levels)
