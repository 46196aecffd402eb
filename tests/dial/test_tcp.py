"""Which way a connection takes: a name's addresses, the interface it leaves by, proxies."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config.outbound import Outbound
from gateway.dial import AddressesError, ProxyError, Route, SourceError, open_socket, route, source
from gateway.dial.route import ProxyOptions, shown, without_zone
from tests.peers.http_proxies import microsocks, tinyproxy
from tests.peers.odd_servers import serving

pytestmark = pytest.mark.timeout(120)

NAME = "127.1"
"""No address to us, so the proxy looks it up, and finds 127.0.0.1 on all machines; "localhost" is ::1 first on some."""


@contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """Somebody who takes no connection, and refuses none."""
    with ExitStack() as open_ones:
        server = open_ones.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(0)
        for _ in range(3):
            queued = open_ones.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex((host, port))
        yield


@asynccontextmanager
async def greeter(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Says where it was asked from, and echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
        while data := await reader.read(1000):
            writer.write(data)

    async with serving(serve, host, port) as served:
        yield served


async def said(sock: socket.socket) -> str:
    """What the greeter says first; then it must echo."""
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        first = (await reader.readline()).decode().strip()
        writer.write(b"echo\n")
        assert await reader.readline() == b"echo\n"
        return first
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name server with these names."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host not in known:
            return real(host, *args, **kwargs)
        if kwargs.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        return [found for each in known[host] for found in real(each, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


async def test_a_dead_first_address_holds_nothing_up(names: dict[str, list[str]]) -> None:
    async with greeter("127.0.0.3") as port:
        names["plant"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        with full("127.0.0.2", port):  # and nothing at the first
            assert await said(await open_socket("plant", port, timeout=60)) == "127.0.0.1"


async def test_where_no_address_answers_each_is_named_with_its_reason(names: dict[str, list[str]]) -> None:
    names["plant"] = ["127.0.0.1", "127.0.0.2"]
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # nobody listens
        number = port.getsockname()[1]
        with full("127.0.0.2", number), pytest.raises(AddressesError) as caught:
            await open_socket("plant", number, timeout=1)
    assert str(caught.value) == "127.0.0.1: connection refused; 127.0.0.2: no answer within 1 s"


async def test_one_address_that_is_silent_is_a_time_out() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
    with full("127.0.0.2", port), pytest.raises(TimeoutError):
        await open_socket("127.0.0.2", port, timeout=0.3)


async def test_a_name_server_that_hangs_holds_up_nobody_else_and_has_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, calls, real = threading.Event(), [], socket.getaddrinfo

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "slow.plant" or kwargs.get("flags"):
            return real(host, *args, **kwargs)
        calls.append(host)
        gate.wait(100)
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with greeter() as port:
        for _ in range(10):
            with pytest.raises(OSError, match=r"was not looked up within 0.01 s: does the name server answer\?"):
                await open_socket("slow.plant", port, timeout=0.01)
        assert await said(await open_socket("127.0.0.1", port, timeout=60)) == "127.0.0.1"
        gate.set()
        assert await said(await open_socket("slow.plant", port, timeout=60)) == "127.0.0.1"
    assert len(calls) <= 2


async def test_what_is_given_up_leaves_no_socket_open(names: dict[str, list[str]]) -> None:
    names["plant"] = ["127.0.0.2", "127.0.0.3"]
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
    with full("127.0.0.2", port), full("127.0.0.3", port):
        before = len(list(Path("/proc/self/fd").iterdir()))
        dialling = asyncio.create_task(open_socket("plant", port))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_ipv6_with_and_without_a_zone() -> None:
    try:
        async with greeter("::1") as port:
            assert await said(await open_socket("::1", port)) == "::1"
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    assert shown("fe80::1%eth0", 1883) == "[fe80::1%eth0]:1883"
    assert (without_zone("fe80::1%eth0"), without_zone("10.0.0.1"), without_zone("a%b")) == (
        "fe80::1",
        "10.0.0.1",
        "a%b",
    )


async def test_a_connection_leaves_by_the_address_or_interface_that_is_wished() -> None:
    async with greeter() as port:
        assert await said(await open_socket("127.0.0.1", port, Route(source="127.0.0.9"))) == "127.0.0.9"
        assert await said(await open_socket("127.0.0.1", port, Route(source="lo"))) == "127.0.0.1"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("eth99", 'no network interface "eth99", but '),
        ("203.0.113.7", "source 203.0.113.7 is no address of this machine"),
        ("::1", "source ::1 is IPv6, and the far side's address is not"),
        ("a" * 64, "no network interface"),
    ],
)
async def test_a_source_that_is_none_is_told(source: str, words: str) -> None:
    async with greeter() as port:
        with pytest.raises(SourceError) as caught:
            await open_socket("127.0.0.1", port, Route(source=source))
    assert words in str(caught.value)


_CLIENT = """
import asyncio, sys
from gateway.dial import Route, open_socket
async def main():
    sock = await open_socket(sys.argv[1], 4000, Route(source=sys.argv[2]), 30)
    reader, writer = await asyncio.open_connection(sock=sock)
    print((await reader.read(100)).decode())
    writer.close()
asyncio.run(main())
"""
_SERVER = """
import socket, sys
with socket.create_server(("", 4000), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listens", flush=True)
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(sys.argv[1].encode())
"""


def test_on_a_pc_with_two_networks_the_interface_decides_which_of_two_machines_of_one_address_answers() -> None:
    """Two lines that an integrator has built alike, addresses and all."""
    ip = shutil.which("ip")
    if os.geteuid() or ip is None or subprocess.run([ip, "netns", "list"], capture_output=True).returncode:
        pytest.skip("needs root and network namespaces: sudo make test")
    mine, lines = f"gw{os.getpid()}", [f"line{n}-{os.getpid()}" for n in (1, 2)]

    def run(*command: str) -> None:
        subprocess.run([ip, *command], check=True, capture_output=True)

    with ExitStack() as undo:
        for name in (mine, *lines):
            run("netns", "add", name)
            undo.callback(subprocess.run, [ip, "netns", "del", name], capture_output=True)
        run("-n", mine, "link", "set", "lo", "up")
        for number, name in enumerate(lines, 1):
            run("-n", mine, "link", "add", f"plant{number}", "type", "veth", "peer", "name", "uplink", "netns", name)
            run("-n", mine, "address", "add", f"10.213.{number}.2/24", "dev", f"plant{number}")
            run("-n", mine, "address", "add", f"fe80::{number}/64", "dev", f"plant{number}", "nodad")
            run("-n", mine, "link", "set", f"plant{number}", "up")
            run("-n", name, "address", "add", f"10.213.{number}.1/24", "dev", "uplink")
            run("-n", name, "address", "add", "10.213.9.9/32", "dev", "lo")
            run("-n", name, "address", "add", "fe80::9/64", "dev", "uplink", "nodad")
            for device in ("lo", "uplink"):
                run("-n", name, "link", "set", device, "up")
            run(
                "-n", mine, "route", "add", "10.213.9.9", "via", f"10.213.{number}.1", "dev", f"plant{number}",
                "metric", str(number),
            )  # fmt: skip
            server = undo.enter_context(
                subprocess.Popen(
                    [ip, "netns", "exec", name, sys.executable, "-c", _SERVER, f"line {number}"],
                    stdout=subprocess.PIPE,
                )
            )
            undo.callback(server.kill)
            assert server.stdout is not None
            assert server.stdout.readline() == b"listens\n"
        for number in (1, 2):
            for target, source in (
                ("10.213.9.9", f"plant{number}"),
                (f"fe80::9%plant{number}", ""),
                (f"fe80::9%plant{number}", f"plant{number}"),
            ):
                client = [ip, "netns", "exec", mine, sys.executable, "-c", _CLIENT, target, source]
                answer = subprocess.run(client, capture_output=True, text=True, timeout=60)
                assert answer.stdout.strip() == f"line {number}", answer.stderr


def test_an_address_that_the_kernel_still_looks_at_is_not_left_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc/net/if_inet6 of an interface that came up just now: tentative, deprecated, another machine's too, one to use."""
    table = tmp_path / "if_inet6"
    monkeypatch.setattr(source, "_IF_INET6", table)
    one = "fe80000000000000{:016x} 07 40 20 {} plant1\n".format
    table.write_text(one(0xA, "40") + one(0xB, "a0") + one(0xC, "88") + one(0xD, "80"))
    assert source._ipv6("plant1", True) == "fe80::d%plant1"
    table.write_text(one(0xA, "40") + one(0xB, "a0"))
    assert source._ipv6("plant1", True) == "fe80::b%plant1"
    table.write_text(one(0xA, "40"))
    assert source._ipv6("plant1", True) == ""


def through(kind: str, port: int, user: str = "", password: str = "") -> Route:
    return Route(proxy=ProxyOptions(kind, "127.0.0.1", port, user, password))


async def reason(way: Route, host: str = "127.0.0.1", port: int = 1, timeout: float = 60) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        (await open_socket(host, port, way, timeout)).close()
    return caught.value


async def test_through_tinyproxy_with_and_without_a_login(tmp_path: Path) -> None:
    async with greeter() as port:
        with tinyproxy(tmp_path) as proxy:
            for host in ("127.0.0.1", NAME):
                assert await said(await open_socket(host, port, through("http", proxy), 60)) == "127.0.0.1"
            assert "does not reach 127.0.0.1:1 (5" in str(await reason(through("http", proxy)))
        with tinyproxy(tmp_path, "BasicAuth gw secret") as proxy:
            assert await said(await open_socket("127.0.0.1", port, through("http", proxy, "gw", "secret"), 60))
            bare = await reason(through("http", proxy))
            assert bare.person
            assert "it wants them: proxy = { user, password }" in str(bare)
            wrong = await reason(through("http", proxy, "gw", "wrong"))
            assert wrong.person
            assert "does not accept user and password" in str(wrong) or "(401" in str(wrong)
        with tinyproxy(tmp_path, "ConnectPort 443") as proxy:
            refused = await reason(through("http", proxy))
            assert refused.person
            assert "refuses 127.0.0.1:1 (403" in str(refused)


async def test_through_microsocks_with_and_without_a_login() -> None:
    async with greeter() as port:
        with microsocks() as proxy:
            for host in ("127.0.0.1", NAME):
                assert await said(await open_socket(host, port, through("socks5", proxy), 60)) == "127.0.0.1"
            away = await reason(through("socks5", proxy))
            assert not away.person
            assert "does not connect us with 127.0.0.1:1: nothing listens there" in str(away)
            assert "closed the connection: does it speak HTTP?" in str(await reason(through("http", proxy)))
        with microsocks("-u", "gw", "-P", "secret") as proxy:
            assert await said(await open_socket("127.0.0.1", port, through("socks5", proxy, "gw", "secret"), 60))
            assert "does not accept user" in str(await reason(through("socks5", proxy, "gw", "wrong")))
            assert "it wants a login: proxy = { user, password }" in str(await reason(through("socks5", proxy)))


@asynccontextmanager
async def odd_proxy(*answers: bytes, hold: bool = False) -> AsyncIterator[int]:
    """Says these things, each in answer to something."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await reader.read(1000)
            writer.write(each)
        if hold:
            await reader.read()
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serving(serve) as port:
        yield port


@pytest.mark.parametrize(
    ("kind", "answers", "words"),
    [
        ("http", [b"\x05\x00"], "closed the connection: does it speak HTTP?"),
        ("http", [b"SSH-2.0-OpenSSH\r\n"], "something that is no HTTP"),
        ("http", [b"HTTP/1.1 200 OK\r\nA: " + b"a" * 50_000], "something that is no HTTP"),
        ("http", [b"HTTP/1.1 200 O"], "closed the connection"),
        ("http", [b"HTTP/1.1 407 \x1b[2JNo\r\nProxy-Authenticate: Basic\r\n\r\n"], "it wants them"),
        ("http", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n"], "does not reach 127.0.0.1:1 (502 Bad Gateway)"),
        ("http", [b"HTTP/\r\n\r\n"], "does not reach 127.0.0.1:1"),
        ("http", [b""], "closed the connection"),
        ("socks5", [b"HTTP/1.1 400 Bad\r\n\r\n"], "does not speak SOCKS 5: does it speak HTTP?"),
        ("socks5", [b"\x05\xff"], "it wants a login"),
        ("socks5", [b"\x05\x02"], "it wants a login"),
        ("socks5", [b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)], "its rules forbid it: allow 127.0.0.1:1 there"),
        ("socks5", [b"\x05\x00", b"\x05\x63\x00\x01" + bytes(6)], "code 99"),
        ("socks5", [b"\x05\x00", b"\x05\x00\x00\x09" + bytes(6)], "something that is no SOCKS 5"),
        ("socks5", [b"\x05\x00", b"\x05\x00\x00"], "closed the connection"),
        ("socks5", [b"\x05"], "closed the connection"),
    ],
)
async def test_a_proxy_that_answers_anything_else_is_told(kind: str, answers: list[bytes], words: str) -> None:
    async with odd_proxy(*answers) as port:
        error = str(await reason(through(kind, port)))
    assert words in error
    assert "\x1b" not in error


@pytest.mark.parametrize(("kind", "half"), [("http", b"HTTP/1.1 200"), ("socks5", b"\x05"), ("http", b"")])
async def test_a_proxy_that_hangs_is_left_in_time(kind: str, half: bytes) -> None:
    async with odd_proxy(half, hold=True) as port:
        assert "has not answered within 0.3 s" in str(await reason(through(kind, port), timeout=0.3))


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("http", [b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nfirst"]),
        ("socks5", [b"\x05\x00", b"\x05\x00\x00\x03\x04namexxfirst"]),
        ("socks5", [b"\x05\x00", b"\x05\x00\x00\x04" + bytes(18) + b"first"]),
    ],
)
async def test_what_comes_right_behind_a_proxys_answer_is_the_far_sides(kind: str, answers: list[bytes]) -> None:
    async with odd_proxy(*answers) as port:
        sock = await open_socket("127.0.0.1", 1, through(kind, port), 60)
        with sock:
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"first"


async def test_a_proxy_that_is_away_is_told() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert f"proxy http://127.0.0.1:{port}: connection refused" in str(await reason(through("http", port)))


async def test_a_name_that_is_none_is_no_request() -> None:
    async with odd_proxy(b"\x05\x00", b"") as port:
        assert "is no name" in str(await reason(through("socks5", port), host="ü" * 70))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"url": "proxy:3128"}, 'write "http://HOST:PORT"'),
        ({"url": "https://proxy:3128"}, 'write "http://HOST:PORT"'),
        ({"url": "http://proxy"}, 'write "http://HOST:PORT"'),
        ({"url": "http://proxy:99999"}, 'write "http://HOST:PORT"'),
        ({"url": "http://gw:secret@proxy:3128"}, "a secret never stands in this file"),
        ({"url": "http://proxy:1", "user": "gw"}, "write both"),
        ({"url": "http://proxy:1", "user": "g:w", "password": {"env": "X"}}, 'must not contain ":"'),
    ],
)
def test_a_proxy_that_cannot_be_meant_is_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Outbound.model_validate({"proxy": written})


def test_a_route_is_what_the_configuration_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", "hidden")
    proxy = {"url": "socks5://[fd00::1]:1080", "user": "gw", "password": {"env": "PROXY_PASSWORD"}}
    way = route(Outbound.model_validate({"source": "eth1", "proxy": proxy}))
    assert way == Route("eth1", ProxyOptions("socks5", "fd00::1", 1080, "gw", "hidden"))
    assert "hidden" not in repr(way)
    assert str(way.proxy) == "socks5://[fd00::1]:1080"
    assert route(Outbound()) == Route()
