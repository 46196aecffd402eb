"""What the far side of a sink may ask for: what is done, what is not, and what is said of it."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.request_options import RequestOptions
from gateway.core.errors import GatewayError
from gateway.core.parsing import JsonObject
from gateway.kit import FarRequests, far_requests, read_question
from gateway.testing import FakeSinkHost

NOW = 1_790_000_000.0
WRITE = {"device": "coater-1", "tag": "drum_speed", "value": 12.5, "reason": "batch 4711"}


class Far:
    """A sink's far side."""

    def __init__(self, **options: Any) -> None:
        self.host = FakeSinkHost(answer={"result": "confirmed"})
        self.now = NOW
        self.reborn = 0
        asked = {
            "commands": ("write", "snapshot", "replay", "rebirth"),
            "writable": ("coater-*/drum_speed",),
            **options,
        }
        self.options = RequestOptions.model_validate(asked)
        self.connect()

    def connect(self) -> None:
        """A new connection of the same sink."""
        self.requests = FarRequests(self.options, self.host, "central", self._rebirth, lambda: self.now)

    def _rebirth(self) -> int:
        self.reborn += 1
        return 3

    async def ask(self, command: str, body: Any = None, **more: Any) -> JsonObject:
        payload = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        answer = await self.requests.answer(read_question(command, payload), **more)
        assert answer is not None
        return answer

    async def write(self, **members: Any) -> JsonObject:
        return await self.ask("write", {"arguments": WRITE, "sent": NOW * 1000, **members})


async def test_what_is_allowed_is_handed_to_the_table_of_commands_and_answered() -> None:
    far = Far()
    answer = await far.write(id="4711")
    expected = {"id": "4711", "command": "write", "gateway": "gateway-1", "ts": round(NOW * 1000)}
    assert answer == {**expected, "ok": True, "result": {"result": "confirmed"}}
    far.host.answer = [{"tag": "temp"}]
    assert (await far.ask("snapshot", {"arguments": {"device": "oven"}}))["result"] == [{"tag": "temp"}]
    await far.ask("snapshot", b"")  # what is empty asks for all
    span = {"from": 1_780_000_000_000, "to": 1_780_000_060_000, "devices": ["oven"]}
    await far.ask("replay", {"arguments": span, "sent": NOW * 1000, "id": 1})
    assert far.host.requests == [
        ("write", WRITE),
        ("tags", {"device": "oven"}),
        ("tags", {}),
        (
            "replay",
            {"sink": "central", "from_ns": 1_780_000_000 * 10**9, "to_ns": 1_780_000_060 * 10**9, "devices": ["oven"]},
        ),
    ]
    assert far.host.attempts == []  # the table has it in the trail


async def test_a_rebirth_is_done_by_the_sink_and_not_again_at_once() -> None:
    far = Far()
    assert (await far.ask("rebirth"))["result"] == {"devices": 3}
    far.connect()
    for _ in range(100):
        assert "told anew a moment ago" in (await far.ask("rebirth"))["error"]
    assert far.reborn == 1
    assert far.host.attempts[0] == ("rebirth", "")


@pytest.mark.parametrize(
    ("command", "payload", "why"),
    [
        ("write", b"{", "it is no JSON"),
        ("write", b"\xff\xfe", "it is no JSON"),
        ("write", b"[" * 100_000, "it is no JSON: it is nested too deep"),
        ("write", b'{"arguments":' + b'{"a":' * 20 + b"1" + b"}" * 21, "nested deeper than"),
        ("write", b"1" * 300_000, "it is larger than"),
        ("write", b"[]", "a request is a JSON object"),
        ("write", b'"write"', "a request is a JSON object"),
        ("write", b"null", "a request is a JSON object"),
        ("write", b'{"value": 3}', 'it has no member "value"; known are: arguments, id, response_topic, sent'),
        ("write", b'{"arguments": []}', '"arguments" must be an object'),
        ("write", b'{"id": ""}', '"id" must be a text'),
        ("write", b'{"id": true}', '"id" must be a text'),
        ("write", b'{"id": 1.5}', '"id" must be a text'),
        ("write", b'{"id": {}}', '"id" must be a text'),
        ("write", b'{"id": "\\ud800"}', '"id" must be a text'),
        ("write", b'{"sent": "now"}', '"sent" must be the time'),
        ("write", b'{"sent": NaN}', '"sent" must be the time'),
        ("write", b'{"sent": 1e400}', '"sent" must be the time'),
        ("write", b'{"sent": true}', '"sent" must be the time'),
        ("write", b'{"response_topic": 1}', '"response_topic" must be a topic'),
        ("write", b'{"arguments": {}}', '"sent" is missing'),
        ("wrote", b"{}", 'no request "wrote" is taken here; there are: write, snapshot, replay, rebirth'),
        ("\x1b[2J", b"{}", 'no request " [2J" is taken here'),
        ("", b"{}", 'no request "" is taken here'),
        ("rebirth", b'{"arguments": {"a": 1}}', "rebirth takes no arguments"),
        ("replay", b'{"arguments": {}, "sent": 1790000000000}', "replay: from must be a time"),
        ("replay", b'{"arguments": {"from": 1e3}, "sent": 1790000000000}', "replay: from must be a time"),
        ("replay", b'{"arguments": {"from": -1}, "sent": 1790000000000}', "replay: from must be a time"),
        ("replay", b'{"arguments": {"from": 1, "sink": "other"}, "sent": 1790000000000}', 'no argument "sink"'),
    ],
)
async def test_what_is_wrong_is_answered_with_the_reason_and_told_to_the_trail(
    command: str, payload: bytes, why: str
) -> None:
    far = Far()
    answer = await far.ask(command, payload)
    assert answer["ok"] is False
    assert why in answer["error"]
    assert json.dumps(answer)
    assert far.host.requests == []
    ((told, reason),) = far.host.attempts
    assert told == (command if command in far.options.commands else "unknown")  # no name of a stranger's choice
    assert why in reason


async def test_only_tags_on_the_list_are_written() -> None:
    far = Far()
    for device, tag in [
        ("coater-1", "temp"),
        ("mixer", "drum_speed"),
        ("coater-1/drum_speed", "x"),
        (["coater-1"], "drum_speed"),
    ]:
        answer = await far.ask("write", {"arguments": {**WRITE, "device": device, "tag": tag}, "sent": NOW * 1000})
        assert "may not be written by requests; writable names: coater-*/drum_speed" in answer["error"]
    assert far.host.requests == []
    assert len(far.host.attempts) == 4


async def test_what_is_old_or_from_the_future_is_not_done() -> None:
    far = Far()
    far.now = NOW + 31
    assert "it was asked 31.0 s ago" in (await far.write())["error"]
    far.now = NOW - 31
    assert "it comes from 31.0 s ahead" in (await far.write())["error"]
    assert far.host.requests == []
    far.now = NOW + 29
    assert (await far.write())["ok"]
    # what the transport throws away when it is old needs no time
    assert (await far.ask("write", {"arguments": WRITE, "id": 2}, expires=True))["ok"]
    assert len(far.host.requests) == 2


async def test_a_write_is_not_done_twice_over_connections_too() -> None:
    far = Far()
    first = await far.write(id="a")
    far.connect()
    again = await far.write(id="a")
    assert again == {**first, "repeated": True}
    later = await far.write(id="a", sent=NOW * 1000 + 5)  # a client that asks again tells the time anew
    assert later["repeated"]
    other = await far.ask("write", {"arguments": {**WRITE, "value": 13}, "id": "a", "sent": NOW * 1000})
    assert "a request of this id has asked for something else" in other["error"]
    assert len(far.host.requests) == 1
    assert (await far.write(id="b"))["ok"]
    assert len(far.host.requests) == 2


async def test_without_an_id_the_same_bytes_are_the_same_write() -> None:
    far = Far()
    await far.write()
    assert (await far.write())["repeated"]
    assert "repeated" not in await far.write(sent=NOW * 1000 + 1)
    assert "repeated" not in await far.ask("write", {"arguments": WRITE, "sent": NOW * 1000}, correlation=b"1")
    assert (await far.ask("write", {"arguments": WRITE, "sent": NOW * 1000}, correlation=b"1"))["repeated"]
    assert len(far.host.requests) == 3


async def test_a_repeat_while_the_first_is_under_way_is_not_answered() -> None:
    far = Far()
    gate = asyncio.Event()

    async def slowly(command: str, arguments: Any = None) -> Any:
        await gate.wait()
        return {"result": "confirmed"}

    far.host.request = slowly  # type: ignore[method-assign]
    first = asyncio.ensure_future(far.write(id="a"))
    await asyncio.sleep(0)
    payload = json.dumps({"arguments": WRITE, "sent": NOW * 1000, "id": "a"}).encode()
    assert await far.requests.answer(read_question("write", payload)) is None
    gate.set()
    assert (await first)["ok"]


async def test_a_write_that_was_broken_off_is_not_begun_again() -> None:
    far = Far()

    async def never(command: str, arguments: Any = None) -> Any:
        await asyncio.Event().wait()

    far.host.request = never  # type: ignore[method-assign]
    first = asyncio.ensure_future(far.write(id="a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    far.connect()
    again = await far.write(id="a")
    assert again["error"] == "broken off: it may have been done, or not"


async def test_what_a_write_failed_over_is_said_again_and_a_refusal_of_ours_is_forgotten() -> None:
    far = Far()
    far.host.answer = GatewayError("coater-1 has not answered: it may have been carried out")
    assert "may have been carried out" in (await far.write(id="a"))["error"]
    far.host.answer = {"result": "confirmed"}
    again = await far.write(id="a")
    assert again["repeated"]
    assert "may have been carried out" in again["error"]
    far.options = far.options.model_copy(update={"writable": ("mixer/*",)})
    far.connect()
    assert "may not be written" in (await far.write(id="b"))["error"]
    far.options = far.options.model_copy(update={"writable": ("coater-1/*",)})
    far.connect()
    assert (await far.write(id="b"))["ok"]


async def test_a_bug_is_answered_too() -> None:
    far = Far()
    far.host.answer = ZeroDivisionError("oh")
    assert (await far.ask("snapshot"))["error"] == "ZeroDivisionError: a bug; see the gateway's log"


async def test_answers_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_requests, "KEPT", 3)
    far = Far()
    for number in range(3):
        assert (await far.write(id=number))["ok"]
    assert "the answers to 3 requests are kept" in (await far.write(id=3))["error"]
    for kept in far.requests._memory.answers.values():
        kept.at -= 61
    assert (await far.write(id=3))["ok"]
    assert len(far.requests._memory.answers) == 1


def test_a_flood_gets_what_the_rate_allows() -> None:
    far = Far(rate="5/h")
    assert [far.requests.admits() for _ in range(8)] == [True] * 5 + [False] * 3


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
async def test_whatever_comes_is_answered(payload: bytes) -> None:
    answer = await Far().ask("snapshot", payload)
    assert isinstance(answer["ok"], bool)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["write", "snapshot", "replay", "rebirth", "x"]),
    st.dictionaries(st.sampled_from(["arguments", "id", "sent", "response_topic"]), json_values)
    | st.fixed_dictionaries({"arguments": st.dictionaries(st.text(max_size=6), json_values)}),
)
async def test_whatever_json_comes_is_answered_with_json(command: str, body: JsonObject) -> None:
    far = Far()
    answer = await far.ask(command, body, expires=True)
    assert json.loads(json.dumps(answer))["ok"] in (True, False)
    assert not answer.get("error", "").endswith("log"), answer  # no bug
