"""Requests by a real broker: the lines of docs/requests.md as they stand there, and what must not be done. Who asks is
mosquitto's own program."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.core.parsing import JsonObject
from gateway.status import rendered
from gateway.testing import eventually
from tests.app.plant import Site, device
from tests.peers.broker import Broker, Subscriber

pytestmark = pytest.mark.timeout(300)
PATIENCE = 90.0
"""Seconds that a machine may take on which others are at work."""

PAGE = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    mosquitto_")]
TAGS = (
    "[device.tags]\ndrum_speed = { write = true, min = 0, max = 14, max_rate = '6000/min', unit = 'rpm' }\ntemp = {}\n"
)
OWN = "north/line3-gw1"
WRITE = {"device": "coater-1", "tag": "drum_speed", "value": 12.5, "reason": "batch 4711"}


def sink(port: int, more: str = "") -> str:
    where = f'[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {port}\nack_timeout = "60s"\n'
    commands = '[sink.requests]\ncommands = ["snapshot", "write", "replay", "rebirth"]\n'
    return f'{where}{commands}writable = ["coater-1/drum_speed"]\n{more}\n'


ACCESS = '[access]\nengineer = ["sink:central"]\n'


class Asking:
    """Who asks, and the gateway that is asked."""

    def __init__(self, site: Site, broker: Broker, gateway: Gateway) -> None:
        self.site, self.broker, self.gateway = site, broker, gateway

    async def run(self, line: str) -> str:
        """What a line of a shell prints; bash, since it may wait for a job."""
        where = f"-h 127.0.0.1 -p {self.broker.port}"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", line.replace("-h broker.plant.local", where) + "\nwait", stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE):
            out, _ = await process.communicate()
        return out.decode()

    async def ask(self, command: str, body: Any, *more: str) -> JsonObject:
        """The answer to a request; `more` arguments of mosquitto_rr."""
        text = body if isinstance(body, str) else json.dumps(body)
        process = await asyncio.create_subprocess_exec(
            "mosquitto_rr", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", f"{OWN}/_request/{command}",
            "-e", f"{OWN}/_response", "-m", text, *more, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            out, _ = await process.communicate()
        answer: JsonObject = json.loads(out)
        return answer

    async def publish(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), *arguments
        )
        assert await process.wait() == 0

    @property
    def counts(self) -> JsonObject:
        (found,) = rendered(self.gateway.status.now())["sinks"]
        counts: JsonObject = found["promise"]["requests"]
        return counts


@asynccontextmanager
async def asking(site: Site, broker: Broker, *tables: str) -> AsyncIterator[Asking]:
    site.gateway_line = "writes = true"
    site.write(*(tables or (sink(broker.port), ACCESS)), device("coater-1", tags=TAGS))
    site.config.write_text(site.config.read_text().replace('name = "g1"', 'name = "line3-gw1"'))
    listening = broker.log.read_text(errors="replace").count("_request/+")
    async with site.running() as gateway:
        await eventually(
            lambda: broker.log.read_text(errors="replace").count("_request/+") > listening,
            what="it listens",
            timeout=PATIENCE,
        )
        yield Asking(site, broker, gateway)


def now(ago: float = 0) -> int:
    return round((time.time() - ago) * 1000)


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    for program in ("mosquitto_rr", "mosquitto_pub"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install mosquitto-clients")
    directory = tmp_path / "broker"
    directory.mkdir()
    with Broker(directory) as running:
        yield running


async def test_the_lines_of_the_page_do_what_it_says(site: Site, broker: Broker) -> None:
    snapshot, write, listen, rebirth = LINES
    async with asking(site, broker) as far:
        answer = json.loads(await far.run(snapshot))
        assert {row["tag"] for row in answer["result"]} == {"drum_speed", "temp"}
        answer = json.loads(await far.run(write))
        assert (answer["id"], answer["ok"]) == ("4711", True)
        assert (answer["result"]["new"], answer["result"]["result"]) == (12.5, "confirmed")
        assert site.bench.written == [("drum_speed", 12.5)]
        with Subscriber(broker, f"{OWN}/_state") as states:
            states.wait_for(1)  # the retained one
            subscribed = broker.log.read_text(errors="replace").count("Sending SUBACK")
            ear = asyncio.create_task(far.run(listen.removesuffix("&")))
            await eventually(
                lambda: broker.log.read_text(errors="replace").count("Sending SUBACK") > subscribed, timeout=PATIENCE
            )
            await far.run(rebirth)
            answer = json.loads(await ear)
            assert (answer["id"], answer["result"]) == (17, {"devices": 1})
            assert not (await asyncio.to_thread(states.wait_for, 2, PATIENCE))[1].retained  # told anew, to who listens
        assert far.counts == {"answered": 3, "refused": 0, "not answered": 0}
    told = [(line["action"], line.get("command", "")) for line in site.audit() if line["who"] == "sink central"]
    assert told == [("request", "tags"), ("write", ""), ("write.result", ""), ("request", "rebirth")]


async def test_a_replay_sends_history_to_this_sink_again(site: Site, broker: Broker) -> None:
    async with asking(site, broker) as far:
        begun = now()
        with Subscriber(broker, "north/coater-1") as subscriber:
            await asyncio.to_thread(subscriber.wait_for, 3, PATIENCE)
            answer = await far.ask(
                "replay", {"sent": now(), "id": 1, "arguments": {"from": begun - 60_000, "to": now()}}
            )
            assert answer["ok"], answer["error"]
            await eventually(
                lambda: any(json.loads(message.payload).get("historical") for message in subscriber.received),
                timeout=PATIENCE,
            )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"arguments": {**WRITE, "value": 99}}, "99 is outside 0 to 14 rpm"),
        ({"arguments": {**WRITE, "value": "fast"}}, "'fast' is none"),
        ({"arguments": {**WRITE, "value": None}}, "write: value must be a number"),
        ({"arguments": {**WRITE, "value": {"a": 1}}}, "write: value must be a number"),
        ({"arguments": {**WRITE, "reason": " "}}, "write: reason must say why"),
        ({"arguments": {**WRITE, "force": True}}, 'write has no argument "force"'),
        ({"arguments": {**WRITE, "tag": "temp"}}, "coater-1/temp may not be written by requests"),
        ({"arguments": WRITE, "sent": now(3600)}, "and is not done after 30 s"),
        ({"arguments": WRITE, "sent": None}, '"sent" is missing'),
        ("{", "it is no JSON"),
    ],
    ids=lambda each: "" if isinstance(each, str) else str(each)[:60],
)
async def test_what_may_not_be_is_answered_with_the_reason(site: Site, broker: Broker, body: Any, why: str) -> None:
    async with asking(site, broker) as far:
        asked = {"sent": now(), **body} if isinstance(body, dict) else body
        answer = await far.ask("write", asked, "-D", "publish", "correlation-data", "x" * 100)
        assert answer["ok"] is False
        assert why in answer["error"]
        assert site.bench.written == []
        assert far.counts["refused"] == 1
    refused = [line for line in site.audit() if line["action"] == "request.refused"]
    assert [(line["who"], line["command"]) for line in refused] == [("sink central", "write")]
    assert why[:20] in refused[0]["why"]


@pytest.mark.parametrize("size", [300_000, 2_000_000])
async def test_a_giant_request_is_answered_and_costs_no_connection(site: Site, broker: Broker, size: int) -> None:
    giant = site.path / "giant"
    giant.write_bytes(b"x" * size)
    async with asking(site, broker) as far:
        with Subscriber(broker, f"{OWN}/_response") as subscriber:
            await far.publish("-t", f"{OWN}/_request/write", "-q", "1", "-f", str(giant))
            (answer,) = await asyncio.to_thread(subscriber.wait_for, 1, PATIENCE)
            assert "it is larger than 262144 bytes" in json.loads(answer.payload)["error"]
            assert (await far.ask("write", {"sent": now(), "arguments": WRITE}))["ok"]
        assert broker.log.read_text(errors="replace").count(" as line3-gw1 ") == 1, "one connection"


async def test_without_a_role_nothing_is_done(site: Site, broker: Broker) -> None:
    async with asking(site, broker, sink(broker.port)) as far:
        answer = await far.ask("write", {"sent": now(), "arguments": WRITE})
        assert "write needs the role engineer; sink central has: none" in answer["error"]
        assert site.bench.written == []
    assert [line["command"] for line in site.audit() if line["action"] == "access.refused"] == ["write"]


async def test_retained_and_repeated_requests_are_not_done_again(site: Site, broker: Broker) -> None:
    async with asking(site, broker) as far:
        body = {"sent": now(), "id": "once", "arguments": WRITE}
        kept = ("-r", "-q", "1", "-t", f"{OWN}/_request/write", "-m", json.dumps({**body, "id": "kept"}))
        first = await far.ask("write", body)
        again = await far.ask("write", body)
        assert again == {**first, "ts": again["ts"], "repeated": True}
        assert len(site.bench.written) == 1
        await far.publish(*kept)  # we are here: it comes as a message like others
        await eventually(lambda: len(site.bench.written) == 2, timeout=PATIENCE)
    async with asking(site, broker) as far:
        await eventually(lambda: far.counts["not answered"] == 1, timeout=PATIENCE)
        assert len(site.bench.written) == 2
    why = [line["why"] for line in site.audit() if line["action"] == "request.refused"]
    assert why == ["it is retained: send requests without retain"]


@pytest.mark.parametrize(
    "topic",
    [
        OWN,
        f"{OWN}/_state",
        "north/coater-1",
        "north/coater-1/x",
        "v1/coater-1",
        "v1/coater-1/x",
        f"{OWN}/_request/write",
        "$SYS/x",
        "mes/other",
    ],
)
async def test_answers_go_only_where_they_may(site: Site, broker: Broker, topic: str) -> None:
    more = 'response_topics = ["mes/answers/+", "north/#", "v1/#", "$SYS/#"]'
    table = sink(broker.port, more).replace("[sink.requests]", 'readings_topic = "v1/{device}"\n[sink.requests]')
    async with asking(site, broker, table, ACCESS) as far:
        with Subscriber(broker, arguments=["-t", "$SYS/x"]) as subscriber:
            for where in (topic, "mes/answers/a"):
                await far.publish(
                    "-t", f"{OWN}/_request/snapshot", "-m", json.dumps({"response_topic": where, "id": where})
                )
            await eventually(lambda: _answers(subscriber.received, "mes/answers/a") == 1, timeout=PATIENCE)
            await eventually(lambda: far.counts["refused"] == 1, timeout=PATIENCE)
            (refused,) = [each for each in subscriber.received if each.topic == f"{OWN}/_response"]
            assert "answers may not go to" in json.loads(refused.payload)["error"]
            assert json.loads(refused.payload)["id"] == topic
            assert _answers(subscriber.received, topic) == 0


def _answers(received: Sequence[Any], topic: str) -> int:
    return sum(each.topic == topic and '"ok":' in each.payload for each in received)


async def test_a_flood_of_requests_is_counted_and_data_goes_on(site: Site, broker: Broker) -> None:
    async with asking(site, broker) as far:
        with Subscriber(broker, "north/#") as subscriber:
            many = await asyncio.create_subprocess_exec(
                "mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", f"{OWN}/_request/rebirth", "-l", "-q", "1",
                stdin=asyncio.subprocess.PIPE,
            )  # fmt: skip
            await many.communicate(b"{}\n" * 3000)
            await eventually(lambda: sum(far.counts.values()) == 3000, timeout=PATIENCE)
            reborn = far.counts["answered"]
            assert 1 <= reborn <= 30  # one in ten seconds
            records = len(subscriber.received)
            await asyncio.to_thread(subscriber.wait_for, records + 5, PATIENCE)
            assert sum(each.topic == "north/coater-1/_tags" for each in subscriber.received) <= 1 + reborn
    told = [line for line in site.audit() if line["action"].startswith("request")]
    assert len(told) <= 20


async def test_a_broker_that_lets_nobody_listen_costs_no_data(site: Site, broker: Broker) -> None:
    broker.stop()
    rights = broker.directory / "rights"
    rights.write_text("topic write #\ntopic read north/coater-1\n")
    broker._lines = [f"acl_file {rights}"]
    broker.start()
    async with asking(site, broker) as far:
        with Subscriber(broker, "north/coater-1") as subscriber:
            await asyncio.to_thread(subscriber.wait_for, 3, PATIENCE)
        assert far.counts["refused"] == 0
