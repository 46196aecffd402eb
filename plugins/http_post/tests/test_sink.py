"""The HTTP sink with the gateway's own encoding, and a real server (uvicorn) that says yes, no, later and somewhere else."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from structlog.testing import capture_logs

from gateway.config.model import GatewaySection
from gateway.core.clock import FakeClock
from gateway.core.context import Context
from gateway.core.live import LiveTable
from gateway.kit.http_client import HttpAnswer
from gateway.plugin import DeviceConfig, Kind, LinkError, RefusedError, TagConfig
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.testing import FakeSinkHost, TcpLink, bind, build_sink_config, eventually, records
from plugins.http_post import HttpPostSink
from plugins.http_post.answers import LONGEST_WAIT, wait_of
from tests.peers.certificates import Authority
from tests.peers.http_proxies import tinyproxy
from tests.peers.http_server import HttpServer
from tests.peers.oidc_provider import MACHINE, MACHINE_SECRET, oidc_provider, require_oidc_provider

COATER = bind(
    DeviceConfig(name="coater-1", driver="modbus"),
    {"inlet_temp": TagConfig(unit="°C"), "speed": TagConfig()},
    context=Context(site="north", line="coating"),
)


class Host(FakeSinkHost):
    """A host with the gateway's own encoder."""

    def encoder(self, topic: str, per_tag: bool) -> JsonEncoder:
        section = GatewaySection(name="line3-gw1", site="north")
        around = SinkSurroundings(section, "1.2.3", FakeClock(), LiveTable(), lambda: self.all_devices)
        return JsonEncoder(topic, per_tag, around)


@pytest.fixture
def host() -> Host:
    return Host([COATER], gateway="line3-gw1")


def config(url: str, **options: Any) -> Any:
    return build_sink_config(HttpPostSink, {"name": "historian", "url": url, "states": False, **options})


@asynccontextmanager
async def connected(url: str, host: Host, **options: Any) -> AsyncIterator[tuple[HttpPostSink, asyncio.Task[None]]]:
    sink = HttpPostSink(config(url, **options), host)
    await sink.connect()
    serving = asyncio.create_task(sink.serve())
    try:
        yield sink, serving
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        await sink.close()


async def ended(serving: asyncio.Task[None]) -> BaseException | None:
    await asyncio.wait([serving])
    return serving.exception()


# What is posted


@pytest.mark.parametrize("body", ["json", "ndjson"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
async def test_records_arrive_in_batches_with_their_topics(host: Host, body: str, compress: bool) -> None:
    sent = records(COATER, 250)
    async with (
        HttpServer() as server,
        connected(server.url, host, body=body, compress=compress, window=250) as (sink, _),
    ):
        sink.send(sent)
        await eventually(lambda: len(host.taken) == 250)
    assert [len(batch) for batch in server.kept.values()] == [100, 100, 50]
    assert [each["id"] for each in server.messages] == [record.id for record in sent]
    first = server.messages[0]
    assert (first["topic"], first["values"]) == ("north/coating/coater-1", {"inlet_temp": 1.0, "speed": 2.0})
    assert sink.client.connections == 1


async def test_a_batch_is_bounded_by_bytes_and_a_large_record_goes_alone(host: Host) -> None:
    wide = bind(DeviceConfig(name="wide", driver="test"), {f"tag-{n}": TagConfig() for n in range(200)})
    async with HttpServer() as server, connected(server.url, host, batch_bytes="1 KiB") as (sink, _):
        sink.send([*records(COATER, 9), *records(wide, 1, first=500), *records(COATER, 1, first=600)])
        await eventually(lambda: len(host.taken) == 11)
    sizes = [int(each.headers["content-length"]) for each in server.requests]
    assert sorted(sizes)[-2] <= 1024 < max(sizes)


async def test_the_key_of_a_single_record_is_its_id(host: Host) -> None:
    sent = records(COATER, 3)
    async with HttpServer() as server, connected(server.url, host, batch=1) as (sink, _):
        sink.send(sent)
        await eventually(lambda: len(host.taken) == 3)
    assert list(server.kept) == [record.id for record in sent]


async def test_what_comes_slowly_lingers_and_events_do_not(host: Host) -> None:
    async with HttpServer() as server, connected(server.url, host, linger="60s", batch=20) as (sink, _):
        for record in records(COATER, 19):
            sink.send([record])
            await asyncio.sleep(0)
        sink.send(records(COATER, 1, kind=Kind.EVENT))
        await eventually(lambda: len(host.taken) == 20)
        ((batch),) = server.kept.values()
        assert "event" in batch[0] or ":alarm:" in batch[0]["id"], "first"
        sink.send(records(COATER, 20, first=100))
        await eventually(lambda: len(host.taken) == 40)


async def test_states_and_descriptions_are_posted_once_over_many_connections(host: Host) -> None:
    async with HttpServer() as server:
        for _ in range(3):
            async with connected(server.url, host, states=True) as (sink, _):
                sink.device_changed(COATER, True, "")
                sink.send(records(COATER, 1))
                await eventually(lambda: host.taken and not sink._statements and not sink.own_fault)
                host.taken.clear()
    topics = [each["topic"].removeprefix("north/") for each in server.messages if "values" not in each]
    assert sorted(set(topics)) == ["coating/coater-1/_state", "coating/coater-1/_tags", "line3-gw1/_state"]
    assert topics.count("coating/coater-1/_state") == topics.count("coating/coater-1/_tags") == 1
    assert [each["online"] for each in server.messages if each["topic"].endswith("gw1/_state")][-1] is False


async def test_refused_states_are_said_once_and_records_go_on(host: Host) -> None:
    def only_records(_: Request, said: list[dict[str, Any]]) -> Response | None:
        return None if "id" in said[0] else Response("not wanted", 400)

    with capture_logs() as logs:
        async with HttpServer(only_records) as server, connected(server.url, host, states=True) as (sink, _):
            for n in range(3):
                sink.device_changed(COATER, False, f"reason {n}")
                sink.send(records(COATER, 1, first=n + 1))
                await eventually(lambda: len(host.taken) == n + 1)  # noqa: B023
    assert len([each for each in logs if "states = false leaves them out" in each["event"]]) == 1


# What the server refuses


def names(bad: set[str], answer: Response) -> Any:
    def judge(_: Request, said: list[dict[str, Any]]) -> Response | None:
        return answer if any(each["id"] in bad for each in said) else None

    return judge


@pytest.mark.parametrize(("status", "final"), [(400, True), (413, True), (422, True), (500, False), (403, False)])
async def test_only_the_guilty_record_is_refused(host: Host, status: int, final: bool) -> None:
    sent = records(COATER, 100)
    bad = {sent[0].id, sent[57].id}
    async with (
        HttpServer(names(bad, Response("odd value", status))) as server,
        connected(server.url, host) as (sink, _),
    ):
        sink.send(sent)
        await eventually(lambda: len(host.taken) + len(host.refusals) == 100)
    assert {name for name, _, _ in host.refusals} == bad
    assert all(each == final for _, _, each in host.refusals)
    assert f"answers {status} (odd value)" in host.refusals[0][1]
    assert sorted(each["id"] for each in server.messages) == sorted({record.id for record in sent} - bad)
    assert len(server.requests) < 40, "found by halves"


async def test_before_it_ever_took_anything_nothing_is_refused_for_good(host: Host) -> None:
    async with (
        HttpServer(lambda *_: Response("what is this?", 400)) as server,
        connected(server.url, host) as (sink, _),
    ):
        sink.send(records(COATER, 100))
        await eventually(lambda: len(host.refusals) == 100)
    assert not any(final for _, _, final in host.refusals)
    assert len(server.requests) < 20, "not each of them is tried"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Response("who?", 401), r"answers 401 \(who\?\): correct user and password, token, oauth or a header"),
        (Response("", 404), "answers 404: is the path of url right"),
        (Response("", 405), "takes no POST there"),
        (Response("", 415), "set body, or compress = false"),
        (JSONResponse([{"status": 500}], 207), "each record by itself, which is not understood"),
        (Response("", 302, {"location": "https://elsewhere/x"}), "points to https://elsewhere/x: set url to that"),
    ],
    ids=["401", "404", "405", "415", "207", "302"],
)
async def test_a_wrong_address_or_login_ends_the_connection_and_no_record(
    host: Host, answer: Response, why: str
) -> None:
    async with HttpServer(lambda *_: answer) as server, connected(server.url, host) as (sink, serving):
        sink.send(records(COATER, 5))
        with pytest.raises(RefusedError, match=why):
            raise await ended(serving) or AssertionError("it goes on")
        assert sink.own_fault, "so that no record is suspected"
    assert not host.taken and not host.refusals
    assert len(server.requests) == 1


async def test_a_redirect_is_followed_by_nobody(host: Host) -> None:
    async with HttpServer() as server:
        url = server.url.replace("/ingest", "/moved")
        async with connected(url, host, user="gw", password={"env": "HOME"}) as (sink, serving):
            sink.send(records(COATER, 1))
            assert isinstance(await ended(serving), RefusedError)
    assert not server.requests


# When the server is busy


@pytest.mark.parametrize("status", [429, 503, 409])
async def test_who_asks_for_a_moment_gets_it_and_the_same_request_again(host: Host, status: int) -> None:
    waits = iter([Response("slow down", status, {"retry-after": "0"})] * 3)
    async with HttpServer(lambda *_: next(waits, None)) as server, connected(server.url, host) as (sink, _):
        sink.send(records(COATER, 5))
        await eventually(lambda: len(host.taken) == 5)
    assert not host.refusals
    assert len({each.headers["idempotency-key"] for each in server.requests}) == 1
    assert len(server.requests) == 4


async def test_who_asks_for_longer_is_left_alone_also_by_the_next_connection(host: Host) -> None:
    later = Response("closed for repairs", 503, {"retry-after": "1800"})
    async with HttpServer(lambda *_: later) as server:
        async with connected(server.url, host) as (sink, serving):
            sink.send(records(COATER, 5))
            error = await ended(serving)
            assert isinstance(error, LinkError) and not isinstance(error, RefusedError)
            assert "answers 503 (closed for repairs): it is left alone for 1800 s" in str(error)
            assert sink.own_fault
        with pytest.raises(LinkError, match=r"it is left alone for 1[78]\d\d s more"):
            await HttpPostSink(config(server.url), host).connect()
        assert len(server.requests) == 1


def test_retry_after_is_understood_in_all_its_forms_and_bounded() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)

    def wait(value: str, **headers: str) -> float | None:
        return wait_of(HttpAnswer(503, {"retry-after": value, **headers}, b""), now if not headers else None)

    assert wait("120") == 120
    assert wait("0") == 0
    assert wait("1.5") == 1.5
    assert wait(format_datetime(now + timedelta(seconds=90), usegmt=True)) == 90
    assert wait(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert wait("Fri, 31 Dec 9999 23:59:59 GMT") == LONGEST_WAIT
    assert wait("9" * 90) == LONGEST_WAIT
    assert wait("Thu, 01 Jan 2032 00:01:00 GMT", date="Thu, 01 Jan 2032 00:00:00 GMT") == 60, (
        "by the server's own clock"
    )
    for nonsense in ("", "-1", "soon", "１２", "1e5", "Fri, 99 Foo 2027", "nan", "inf"):
        assert wait(nonsense) is None, nonsense


# Who we are


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"user": "gw", "password": {"env": "POST_SECRET"}}, ("authorization", "Basic Z3c6c2VjcmV0")),
        ({"token": {"env": "POST_SECRET"}}, ("authorization", "Bearer secret")),
        ({"headers": {"X-Api-Key": {"env": "POST_SECRET"}, "X-Site": "north"}}, ("x-api-key", "secret")),
    ],
    ids=["basic", "bearer", "header"],
)
async def test_it_shows_what_it_was_given(
    host: Host, options: dict[str, Any], header: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POST_SECRET", "secret")
    async with HttpServer() as server, connected(server.url, host, **options) as (sink, _):
        sink.send(records(COATER, 1))
        await eventually(lambda: host.taken)
    assert server.requests[0].headers[header[0]] == header[1]


def oauth(url: str, **options: Any) -> dict[str, Any]:
    return {"oauth": {"token_url": url, "client_id": MACHINE, "client_secret": {"env": "POST_SECRET"}, **options}}


async def test_tokens_of_a_certified_provider_are_shown_and_renewed_before_they_end_and_when_they_are_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_oidc_provider()
    monkeypatch.setenv("POST_SECRET", MACHINE_SECRET)
    revoked: set[str] = set()

    def judge(request: Request, _: Any) -> Response | None:
        return Response("revoked", 401) if request.headers["authorization"] in revoked else None

    async with oidc_provider({}) as provider, HttpServer(judge) as server:
        await provider.serve("http://127.0.0.1:1/")
        options = oauth(f"{provider.issuer}/token")
        async with connected(server.url, host, batch=1, **options) as (sink, _):
            sink.send(records(COATER, 3))
            await eventually(lambda: len(host.taken) == 3)
            shown = [each.headers["authorization"] for each in server.requests]
            assert len(set(shown)) == 1 and shown[0].startswith("Bearer ")
            assert await asyncio.to_thread(_active, provider.issuer, shown[0][7:])
            revoked.add(shown[0])
            sink.send(records(COATER, 1, first=10))
            await eventually(lambda: len(host.taken) == 4)
            token, _until = host.memory["token"]
            host.memory["token"] = (token, 0.0)  # as if it ended now
            sink.send(records(COATER, 1, first=20))
            await eventually(lambda: len(host.taken) == 5)
        assert len({each.headers["authorization"] for each in server.requests}) == 3
        monkeypatch.setenv("POST_SECRET", "wrong")
        with pytest.raises(RefusedError, match=r"oauth: .* gives no token: 401 invalid_client .*correct client_id"):
            await HttpPostSink(config(server.url, **options), Host([COATER])).connect()


def _active(issuer: str, token: str) -> bool:
    """Whether the provider itself knows the token."""
    from urllib.parse import quote, urlencode

    body = urlencode({"token": token, "client_id": MACHINE}).encode()
    request = urllib.request.Request(f"{issuer}/token/introspection", body)
    secret = f"{quote(MACHINE, safe='')}:{quote(MACHINE_SECRET, safe='')}"
    import base64

    request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bool(json.load(answer)["active"])


async def test_a_token_that_is_refused_twice_is_asked_for_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POST_SECRET", MACHINE_SECRET)
    asked = 0

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        body = b'{"access_token": "t%d", "token_type": "Bearer", "expires_in": 1e300}' % asked
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(provider, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
    async with (
        HttpServer(lambda *_: Response("no", 401)) as server,
        connected(server.url, host, **oauth(url)) as (sink, task),
    ):
        sink.send(records(COATER, 1))
        assert isinstance(await ended(task), RefusedError)
    running.close()
    assert (asked, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b'{"access_token": 5}',
        b'{"access_token": "a\\r\\nb"}',
        b'{"access_token":"a","token_type":"mac"}',
        b"{" * 99,
    ],
)
async def test_a_provider_that_makes_no_sense_gives_no_token(
    host: Host, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POST_SECRET", MACHINE_SECRET)

    async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(provider, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
    async with HttpServer() as server:
        with pytest.raises(RefusedError, match="oauth"):
            await HttpPostSink(config(server.url, **oauth(url)), host).connect()
    running.close()


async def test_tls_with_a_certificate_of_our_own(tmp_path: Path, host: Host) -> None:
    authority = Authority(tmp_path)
    its, own = authority.issue("127.0.0.1"), authority.issue("gw")
    shown = {"certificate": str(own.certificate), "key": str(own.key)}
    async with HttpServer(tls=(str(its.certificate), str(its.key), str(authority.certificate))) as server:
        async with connected(server.url, host, tls={"ca": str(authority.certificate), **shown}) as (sink, _):
            assert sink.promise["encryption"] == "TLSv1.3"
            sink.send(records(COATER, 150))
            await eventually(lambda: len(host.taken) == 150)
        with pytest.raises(RefusedError, match="unknown authority"):
            await HttpPostSink(config(server.url), host).connect()
        async with connected(server.url, host, tls={"ca": str(authority.certificate)}) as (sink, serving):
            sink.send(records(COATER, 1))
            assert "ask for a certificate of ours" in str(await ended(serving))


# Connections


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_it_works_on_the_loop_of_the_daemon(tmp_path: Path, host: Host, encrypted: bool) -> None:
    authority = Authority(tmp_path)
    its = authority.issue("127.0.0.1")

    async def deliver() -> None:
        files = (str(its.certificate), str(its.key), "") if encrypted else None
        options: dict[str, Any] = {"tls": {"ca": str(authority.certificate)}} if encrypted else {}
        async with HttpServer(tls=files) as server, connected(server.url, host, **options) as (sink, _):
            sink.send(records(COATER, 200))
            await eventually(lambda: len(host.taken) == 200)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(deliver())


async def test_a_check_leaves_nothing_and_says_what_it_found(host: Host) -> None:
    async with HttpServer() as server:
        found = await HttpPostSink(config(server.url), host).check()
        assert found == "HTTP/1.1, encryption: none, HEAD is answered by 405"
        found = await HttpPostSink(config(f"{server.url}x"), host).check()
        assert found.endswith("HEAD is answered by 404: is the path of url right?")
    assert not server.kept and not server.requests


async def test_it_goes_through_a_proxy(tmp_path: Path, host: Host) -> None:
    with tinyproxy(tmp_path) as port:
        proxy = {"url": f"http://127.0.0.1:{port}"}
        async with HttpServer() as server, connected(server.url, host, proxy=proxy) as (sink, _):
            sink.send(records(COATER, 50))
            await eventually(lambda: len(host.taken) == 50)


async def test_a_server_that_closes_idle_connections_is_no_lost_link(host: Host) -> None:
    async with HttpServer() as server, TcpLink(server.port) as link:
        url = f"http://127.0.0.1:{link.port}/ingest"
        async with connected(url, host) as (sink, serving):
            for n in range(5):
                sink.send(records(COATER, 2, first=1 + 2 * n))
                await eventually(lambda: len(host.taken) == 2 * n + 2)  # noqa: B023
                link.drop()
                await eventually(lambda: not sink.client.idle)
            assert not serving.done()
    assert not host.refusals and not server.repeats


async def test_what_is_in_doubt_goes_again_as_it_was(host: Host) -> None:
    sent = records(COATER, 60)
    async with HttpServer() as server, TcpLink(server.port) as link:
        url = f"http://127.0.0.1:{link.port}/ingest"

        cuts = 0

        def taken_and_cut(*_: Any) -> None:
            nonlocal cuts
            cuts += 1
            if cuts <= 2:  # the first on a kept connection, which is made anew by itself
                asyncio.get_running_loop().call_soon(link.drop)  # kept, and the answer is lost

        server.answer = taken_and_cut
        async with connected(url, host, batch=30) as (sink, serving):
            sink.send(sent)
            assert isinstance(await ended(serving), LinkError)
        assert not host.taken
        async with connected(url, host, batch=30) as (sink, _):
            sink.send([*records(COATER, 5, first=900), *sent[:10]])  # others first, and not all at once
            await eventually(lambda: len(host.taken) == 15)
            sink.send(sent[10:])
            await eventually(lambda: len(host.taken) == 65)
    ids = [each["id"] for each in server.messages]
    assert len(ids) == len(set(ids)) == 65
    assert sum(server.repeats.values()) == 2


async def test_what_is_in_doubt_and_ends_each_connection_goes_record_by_record(host: Host) -> None:
    sent = records(COATER, 10)

    def cut_over_the_fifth(_: Any, said: list[dict[str, Any]]) -> None:
        if any(each["id"] == sent[4].id for each in said):
            link.drop()

    async with HttpServer(cut_over_the_fifth) as server, TcpLink(server.port) as link:
        url = f"http://127.0.0.1:{link.port}/ingest"
        for _ in range(4):
            async with connected(url, host) as (sink, serving):
                sink.send(sent)
                assert isinstance(await ended(serving), LinkError)
        async with connected(url, host) as (sink, _):
            sink.send(sent[:4])
            await eventually(lambda: len(host.taken) == 4)


async def test_a_server_that_never_answers_is_given_up(host: Host) -> None:
    async with HttpServer() as server, TcpLink(server.port) as link:
        url = f"http://127.0.0.1:{link.port}/ingest"
        async with connected(url, host, ack_timeout="200ms") as (sink, serving):
            await link.hold()
            sink.send(records(COATER, 1))
            assert "gives no whole answer within 0.2 s" in str(await ended(serving))


# The configuration


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "historian"}, "write an address such as"),
        ({"url": "ftp://a/b"}, "write an address such as"),
        ({"url": "https://a:0/"}, "write an address such as"),
        ({"url": "https://u:p@a/"}, "keys of their own"),
        ({"url": "https://a/#x"}, "is never sent"),
        ({"url": "http://a/", "tls": True}, "needs a url that begins with https"),
        ({"url": "http://a/", "token": {"env": "X"}}, "everybody on the network can read"),
        ({"user": "a", "token": {"env": "X"}}, "user, token: only one of them"),
        ({"token": {"env": "X"}, "headers": {"authorization": "x"}}, "only one of them"),
        ({"password": {"env": "X"}}, "password: needs user"),
        ({"headers": {"Content-Length": "5"}}, "the gateway writes this one itself"),
        ({"headers": {"a b": "x"}}, "is no name of a header"),
        ({"headers": {"A": "x\r\ny"}}, "on one line"),
        (oauth("http://login.plant.local/token"), "must begin with https"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        build_sink_config(HttpPostSink, {"url": "https://historian.plant.local/", **options})
