"""The fault proxy does what the tests that lean on it believe."""

import asyncio

import pytest

from tests.peers.proxy import FaultProxy, half, repeat


@pytest.fixture
async def echo_port():
    async def serve(reader, writer):
        try:
            while block := await reader.read(1000):
                writer.write(block)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def proxy(echo_port):
    async with FaultProxy("127.0.0.1", echo_port) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()


async def test_forwards_both_ways(client):
    reader, writer = client
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_cut_resets_connections_and_refuses_new_ones_until_restored(proxy, client):
    reader, writer = client
    writer.write(b"x")
    await reader.readexactly(1)
    proxy.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.restore()
    again, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"y")
    assert await again.readexactly(1) == b"y"
    writer.close()


async def test_freeze_holds_everything_back_and_restore_lets_it_through(proxy, client):
    reader, writer = client
    proxy.freeze()
    writer.write(b"late")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 0.1)
    await proxy.restore()
    assert await reader.readexactly(4) == b"late"


async def test_delay_keeps_the_order_and_the_throughput(client, proxy, monkeypatch):
    """Blocks wait side by side, not one after the other, which would take ten times two delays. Told by the waiting that was
    ordered, since a busy machine adds its own."""
    reader, writer = client
    sleep, ordered = asyncio.sleep, []

    def noted(seconds):
        ordered.append(max(0.0, seconds))
        return sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    proxy.delay = 0.1
    clock = asyncio.get_running_loop().time
    started = clock()
    for letter in b"abcdefghij":
        writer.write(bytes([letter]))
        await sleep(0.01)
    sent = clock() - started
    assert await reader.readexactly(10) == b"abcdefghij"
    assert clock() - started >= 0.2
    assert sum(ordered) < 2 * (0.2 + sent), "in each direction the delay, and what the sending took"


@pytest.mark.parametrize(("spoil", "arrives"), [(half, b"ab"), (repeat, b"abcdabcd")])
async def test_the_next_answer_can_be_spoilt(proxy, client, spoil, arrives):
    reader, writer = client
    proxy.spoil_next(spoil)
    writer.write(b"abcd")
    assert await reader.readexactly(len(arrives)) == arrives


async def test_the_end_of_a_connection_is_passed_on(proxy, client):
    reader, writer = client
    writer.write(b"x")
    await reader.readexactly(1)
    writer.write_eof()
    assert await reader.read() == b""
