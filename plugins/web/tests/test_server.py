"""Whoever reaches the port may send anything: it is refused and counted, and the road does not notice."""

import asyncio
import ssl
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from gateway.testing import eventually
from plugins.web import server
from plugins.web.tests.browser import Browser, answer
from plugins.web.tests.conftest import Plant, Running
from tests.peers.certificates import Authority


async def counted(plant: Plant, why: str) -> float:
    """How often that was refused, as the metrics say."""
    for line in (await plant.browser().get("/metrics")).body.decode().splitlines():
        if line.startswith(f'edge_gateway_web_refused_total{{why="{why}"}}'):
            return float(line.split()[-1])
    return 0.0


async def counts(plant: Plant, why: str, least: float = 1) -> None:
    """Wait until that is counted."""
    while await counted(plant, why) < least:
        await plant.more_is_read()


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fetc/passwd", "//etc/passwd", "/%00", "/%ff"],
)
async def test_paths_that_lead_elsewhere_lead_nowhere(running: Running, path: str) -> None:
    async with running() as plant:
        got = await plant.browser().get(path)
        assert (got.status, got.detail) == (404, "there is no such page")


async def test_every_answer_carries_what_browsers_need_to_be_strict(running: Running) -> None:
    async with running() as plant:
        for path in ("/healthz", "/nothing"):
            headers = (await plant.browser().get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.1.2.3", "", "[::1", "localhost@evil.example"],
)
async def test_a_host_of_another_site_is_refused(running: Running, host: str) -> None:
    async with running() as plant:
        assert (await plant.browser().get("/healthz", host=host)).status == 421
        await counts(plant, "answered 421")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.:9000", "127.0.0.1:1", "[::1]:8080", "gw1.plant.local"])
async def test_a_host_that_is_ours_is_served(running: Running, host: str) -> None:
    async with running('names = ["gw1.plant.local"]') as plant:
        assert (await plant.browser().get("/healthz", host=host)).status == 200


async def test_two_hosts_are_none(running: Running) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n")
        assert (await answer(reader)).status in (400, 421)


@pytest.mark.parametrize(
    "said", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}]
)
async def test_what_a_page_of_another_site_sends_is_refused(running: Running, said: dict[str, str]) -> None:
    async with running() as plant:
        got = await plant.browser().ask("POST", "/healthz", b"{}", **said)
        assert (got.status, got.detail) == (403, "this request comes from a page of another site")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_a_gigabyte_is_refused_before_it_is_sent(running: Running, head: bytes) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(head)
        got = await answer(reader)
        assert got.status in (400, 413)
        assert got.headers["connection"] == "close"
        with suppress(ConnectionError):
            assert await reader.read() == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
        b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 10_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
    ],
    ids=["header", "line", "headers", "tls", "http2", "negative", "both lengths"],
)
async def test_what_is_no_request_ends_its_connection_alone(running: Running, sent: bytes) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(sent)
        with suppress(ConnectionError):
            said = await reader.read()
            assert not said or said.split()[1] in (b"400", b"413", b"421")
            assert not said or b"application/problem+json" in said
        assert (await plant.browser().get("/healthz")).status == 200
        await plant.more_is_read()


async def test_a_thousand_slow_ones_lock_nobody_out(running: Running) -> None:
    async with running() as plant, AsyncExitStack() as stack:
        for number in range(1_000):
            _, writer = await stack.enter_async_context(plant.browser().connected())
            writer.write(b"GET /healthz HTTP/1.1\r\nx-%d: " % number)
            if number % 250 == 0:
                assert (await plant.browser().get("/healthz")).status == 200
                await plant.more_is_read()
        assert (await plant.browser().get("/healthz")).status == 200
        await counts(plant, "put out as the slowest", 1_000 - server.PLACES)


async def test_who_sends_no_whole_request_is_put_out(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    monkeypatch.setattr(server, "BODY_PATIENCE", 0.1)
    monkeypatch.setattr(server, "LOOK", 0.05)
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        monkeypatch.setattr(server, "PATIENCE", 60.0)
        await counts(plant, "too slow")


async def test_requests_on_one_connection_are_answered_in_turn(running: Running) -> None:
    async with running() as plant, plant.browser().connected() as (reader, writer):
        writer.write(
            b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nHEAD /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
        assert (await answer(reader)).json() == {"alive": True}
        assert (await answer(reader, head=True)).status == 200


async def test_another_program_at_the_port_is_told_and_all_else_goes_on(running: Running, unused_tcp_port: int) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port):
        taken = f'[[service]]\nname = "second"\nplugin = "web"\nport = {unused_tcp_port}\n'
        async with running("", taken) as plant:
            while not (parts := (await plant.site.ask("status"))["parts"]):
                await plant.more_is_read()
            assert f"port {unused_tcp_port}: Address already in use" in parts[0]["reason"]
            assert (await plant.browser().get("/healthz")).status == 200


async def test_a_missing_library_is_named_with_the_command_that_installs_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).endswith("plugins/web/server.py"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn.config", None)
    with pytest.raises(AssertionError, match=r"-m pip install argon2-cffi"):
        async with running():
            pass


async def test_a_renewed_certificate_is_shown_to_whoever_comes_next(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RENEW", 0.05)
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    own = first.issue("127.0.0.1")
    contexts = [ssl.create_default_context(cafile=str(each.certificate)) for each in (first, second)]

    async def is_shown(context: ssl.SSLContext) -> bool:
        with suppress(ssl.SSLError):
            return (await Browser(plant.address, context).get("/healthz")).status == 200
        return False

    async with running(f'host = "0.0.0.0"\ntls = {{ certificate = "{own.certificate}", key = "{own.key}" }}') as plant:
        own.certificate.write_bytes(b"half")
        for _ in range(5):
            assert await is_shown(contexts[0]), "until the new one can be used"
        second.issue("127.0.0.1")
        await eventually(lambda: is_shown(contexts[1]))
        assert not await is_shown(contexts[0])


async def test_over_tls_it_shows_its_certificate(running: Running, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("127.0.0.1")
    tls = f'host = "0.0.0.0"\ntls = {{ certificate = "{own.certificate}", key = "{own.key}" }}'
    async with running(tls) as plant:
        assert plant.address.startswith("https://")
        context = ssl.create_default_context(cafile=str(authority.certificate))
        assert (await Browser(plant.address, context).get("/healthz")).status == 200
        assert (await Browser(plant.address, context).get("/metrics")).status == 401, "others may look"
        with pytest.raises(ssl.SSLError):
            await Browser(plant.address, ssl.create_default_context()).get("/healthz")
        async with Browser(plant.address).connected() as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with suppress(ConnectionError):
                assert b"alive" not in await reader.read()
        assert (await Browser(plant.address, context).get("/healthz")).status == 200
