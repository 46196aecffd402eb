"""Values and events as they happen."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.event import Event
from gateway.plugin import Vouched
from gateway.trust.access import ALL
from gateway.trust.users import UserFile
from plugins.web import streams
from plugins.web.server import Connection
from plugins.web.tests.browser import Browser, answer, begun, chunks
from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import add, change, logged_in, token
from tests.app.plant import device


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks soon again, so that nothing is waited for."""
    monkeypatch.setattr(streams, "EVERY", 0.02)
    monkeypatch.setattr(streams, "ALIVE", 0.1)


class Heard:
    """One event of a stream."""

    def __init__(self, text: str) -> None:
        self.fields = dict(line.partition(": ")[::2] for line in text.splitlines())

    @property
    def data(self) -> Any:
        return json.loads(self.fields["data"])


@asynccontextmanager
async def listening(browser: Browser, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Heard]]:
    """The events of a stream, without what only shows that it lives."""

    async def heard(reader: asyncio.StreamReader) -> AsyncIterator[Heard]:
        text = ""
        async for part in chunks(reader):
            text += part.decode()
            *whole, text = text.split("\n\n")
            for each in whole:
                if "event: " in each and "event: alive" not in each and "event: news" not in each:
                    yield Heard(each)

    async with browser.connected() as (reader, writer):
        writer.write(browser.request("GET", f"/api/v1/stream/{path}", **headers))
        status, got = await begun(reader)
        assert (status, got["content-type"]) == (200, "text/event-stream; charset=utf-8"), got
        yield heard(reader)


def value(plant: Plant, number: float) -> None:
    plant.site.bench.value = number


async def until(heard: AsyncIterator[Heard], number: float, name: str = "temp") -> Heard:
    async for each in heard:
        if each.fields["event"] == "values" and each.data["tags"].get(name, [None])[0] == number:
            return each
    raise AssertionError("the stream has ended")


async def test_all_values_come_first_and_then_what_changes(running: Running) -> None:
    async with running() as plant, listening(plant.browser(), "values") as heard:
        await plant.more_is_read()
        first = await anext(heard)
        assert first.data["device"] == "oven"
        assert first.data["tags"].keys() <= {"temp", "speed"}
        value(plant, 7.5)
        got = await until(heard, 7.5)
        _, good, ts = got.data["tags"]["temp"]
        assert good is True
        assert ts > 1_600_000_000_000


async def test_who_comes_back_goes_on_where_he_was(running: Running) -> None:
    async with running() as plant, listening(plant.browser(), "values") as heard:
        value(plant, 2.0)
        last = (await until(heard, 2.0)).fields["id"]
        value(plant, 3.0)
        await until(heard, 3.0)
        value(plant, 4.0)
        await until(heard, 4.0)
        async with listening(plant.browser(), "values", last_event_id=last) as later:
            await until(later, 3.0)  # which is over, so whoever gets the whole state does not hear it


@pytest.mark.parametrize("id_", ["", "x", "other-5", "RUN-999999999", "RUN-x", "RUN--1"])
async def test_who_cannot_go_on_gets_all_of_it(running: Running, id_: str) -> None:
    async with running() as plant:
        await plant.more_is_read()
        async with listening(plant.browser(), "values", last_event_id=id_.replace("RUN", streams.RUN)) as heard:
            assert (await anext(heard)).data["tags"].keys() == {"temp", "speed"}


async def test_events_are_heard_and_what_was_missed_is_told(running: Running) -> None:
    async with running() as plant:
        async with listening(plant.browser(), "events") as heard:
            assert (await anext(heard)).fields["event"] == "gap"
            for number in (1, 2):
                plant.gateway.outbox.append_event(Event(f"e{number}", "test", "raised", "oven", 0, f"line\n{number}"))
            first, second = await anext(heard), await anext(heard)
            assert (first.data["event"], second.data["message"]) == ("e1", "line\n2")
        async with listening(plant.browser(), "events", last_event_id=first.fields["id"]) as heard:
            assert (await anext(heard)).data["event"] == "e2"


Ending = Callable[[Plant, Browser], Awaitable[object]]


async def _disabled(plant: Plant, _: Browser) -> None:
    change(plant, "anna", disabled=True)


async def _other_role(plant: Plant, _: Browser) -> None:
    change(plant, "anna", roles=("operator",))


async def _log_out(_: Plant, browser: Browser) -> None:
    assert (await browser.ask("DELETE", "/api/v1/session", x_csrf_token=browser.form)).status == 200


async def _idle(plant: Plant, _: Browser) -> None:
    for each in _logins(plant)._open.values():
        each.used -= 1801.0


async def _twelve_hours(plant: Plant, _: Browser) -> None:
    for each in _logins(plant)._open.values():
        each.began -= 12 * 3600.0 + 1


async def _end_of_provider(plant: Plant, _: Browser) -> None:
    _logins(plant).end("https://login.example")


def _logins(plant: Plant) -> Any:
    return plant.gateway.services._around.people


@pytest.mark.parametrize("stream", ["values", "events"])
@pytest.mark.parametrize(
    "ends", [_disabled, _other_role, _log_out, _idle, _twelve_hours], ids=lambda each: each.__name__
)
async def test_a_stream_ends_with_the_login_that_opened_it(running: Running, ends: Ending, stream: str) -> None:
    """Also one without news: nothing happens in `events`."""
    async with running("login_to_look = true") as plant:
        add(plant, "anna", "viewer")
        browser = await logged_in(plant, "anna")
        async with listening(browser, stream) as heard:
            await anext(heard)
            await ends(plant, browser)
            async for _ in heard:
                pass
        assert (await plant.browser().get("/api/v1/stream/values")).status == 401
        assert (await plant.browser().get("/api/v1/stream/events")).status == 401


async def test_a_stream_ends_with_the_login_that_a_provider_vouched_for(running: Running) -> None:
    async with running("login_to_look = true") as plant:
        browser = plant.browser()
        who = Vouched("anna", "4711", "https://login.example", ("viewer",))
        browser.cookies[f"session-{browser.port}"] = (await _logins(plant).let_in(who, "127.0.0.1", 1800.0)).key
        async with listening(browser, "events") as heard:
            await anext(heard)
            await _end_of_provider(plant, browser)
            async for _ in heard:
                pass


@pytest.mark.parametrize("why", ["revoked", "expired", "disabled"])
async def test_a_stream_ends_with_its_token(running: Running, why: str) -> None:
    async with running("login_to_look = true") as plant:
        add(plant, "anna", "viewer")
        secret = token(plant, "anna", "viewer")
        async with listening(plant.browser(), "events", authorization=f"Bearer {secret}") as heard:
            await anext(heard)
            if why == "disabled":
                change(plant, "anna", disabled=True)
            with UserFile(plant.site.path / "state").changing() as users:
                for name, each in list(users.tokens.items()):
                    if why == "revoked":
                        del users.tokens[name]
                    elif why == "expired":
                        users.tokens[name] = replace(each, until=1)
            async for _ in heard:
                pass
        refused = [line for line in plant.site.audit() if line["action"] == "login.refused"]
        assert len(refused) == 1


async def test_who_may_look_at_a_stream(running: Running) -> None:
    """As at anything else: a token that is limited to commands may not, nor may one that is none."""
    async with running("login_to_look = true") as plant:
        add(plant, "anna", "viewer")
        for stream in ("values", "events"):
            path = f"/api/v1/stream/{stream}"
            assert (await plant.browser().get(path)).status == 401
            assert (await plant.browser().get(path, authorization="Bearer egw_x_y")).status == 401
            only = token(plant, "anna", "viewer", only=("status",))
            assert (await plant.browser().get(path, authorization=f"Bearer {only}")).status == 403
            for role in sorted(ALL):
                add(plant, role, role)
                secret = token(plant, role, role)
                async with listening(plant.browser(), stream, authorization=f"Bearer {secret}") as heard:
                    await anext(heard)


async def test_a_hundred_who_do_not_read_cost_next_to_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "VIEWERS", 20)
    tags = "[device.tags]\n" + "".join(f"'a tag with a long name, number {number}' = {{}}\n" for number in range(500))
    async with running("", device("press", tags=tags)) as plant:
        opened = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", plant.browser().port, limit=1024)
            writer.write(plant.browser().request("GET", "/api/v1/stream/values"))
            await reader.readline()
            opened.append(writer)
        assert (await plant.browser().get("/api/v1/stream/values")).status == 503
        connections = [writer.transport for writer in opened]
        for number in range(100):
            value(plant, float(number))
            await plant.more_is_read()
        service = next(part for part in plant.gateway.services._parts.values())
        assert service.health.state == "up"
        assert all(not each.is_closing() for each in connections)
        held = [each for each in gc.get_objects() if isinstance(each, Connection) and not each.is_out]
        assert len(held) >= 20
        assert sum(each.transport.get_write_buffer_size() for each in held) < 20 * 256 * 1024
        for writer in opened:
            writer.transport.abort()


async def test_nobody_looks_so_nothing_is_looked_at(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = streams.Streams._look
    monkeypatch.setattr(streams.Streams, "_look", lambda self: (looks.append(1), look(self)))
    async with running() as plant:
        for _ in range(10):
            await plant.more_is_read()
        assert looks == []
        async with listening(plant.browser(), "values") as heard:
            await anext(heard)
            while not looks:
                await plant.more_is_read()


async def test_a_stop_does_not_wait_for_streams(running: Running) -> None:
    async with running() as plant:
        reader, writer = await asyncio.open_connection("127.0.0.1", plant.browser().port)
        writer.write(plant.browser().request("GET", "/api/v1/stream/values"))
        await reader.readline()
    with suppress(ConnectionError):
        await reader.read()
    writer.transport.abort()


async def test_a_stream_beats_when_nothing_else_comes_and_says_when_something_was_told(running: Running) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(plant.browser().request("GET", "/api/v1/stream/events"))
        while b"event: alive" not in await reader.readline():
            pass
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(plant.browser().request("GET", "/api/v1/stream/values?device=oven"))
        while b"event: values" not in await reader.readline():
            pass
        plant.gateway.outbox.append_event(Event("e1", "test", "raised", "oven", 0, "told"))
        while b"event: news" not in await reader.readline():
            pass


async def test_who_only_looks_hears_roles_in_place_of_names(running: Running) -> None:
    async with running() as plant:
        add(plant, "kim", "operator")
        kim = await logged_in(plant, "kim")
        async with listening(plant.browser(), "events") as heard, listening(kim, "events") as known:
            assert (await anext(heard)).fields["id"] == (await anext(known)).fields["id"]
            said = {"by": "kim (operator)", "comment": "seen"}
            plant.gateway.outbox.append_event(
                Event("e1", "test", "acknowledged", "oven", 0, "kim (operator) has it", detail=said)
            )
            got, whole = await told(heard), await told(known)
            assert (got.data["by"], got.data["message"]) == ("operator", "operator has it")
            assert (whole.data["by"], whole.fields["id"]) == ("kim (operator)", got.fields["id"])


async def told(heard: AsyncIterator[Heard]) -> Heard:
    return await anext(each async for each in heard if each.fields["event"] == "event")


async def test_a_device_that_there_is_not_is_told(running: Running) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(plant.browser().request("GET", "/api/v1/stream/values?device=none"))
        assert (await answer(reader)).status == 404


@pytest.mark.parametrize("about", ["", "oven"])
def test_who_is_late_gets_all_that_is_kept_in_portions_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    monkeypatch.setattr(streams, "AT_ONCE", 1000)
    ring = streams.Ring(20_000)
    for number in range(1000):
        ring.add(["oven", "press", None][number % 3], "event", {"number": number})
        if number % 7 == 0:
            ring.next += 1  # as when nobody looked for a while
    at, heard = ring.first, b""
    while at < ring.next:
        portions, at = ring.since(at, about)
        assert len(portions) < 1100
        heard += portions
    wanted = [portion for _, device, portion in ring._portions if about in ("", device) or device is None]
    assert heard == b"".join(wanted)
    assert ring.since(at, about) == (b"", ring.next)
