import asyncio
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.core import arguments as must
from gateway.core.arguments import Argument
from gateway.core.command import Actor, Declared
from gateway.core.errors import GatewayError
from gateway.operate.commands import Commands
from gateway.operate.socket import clients
from gateway.operate.socket.clients import HELD, PLACES, RESERVED, RUNNING, Clients
from gateway.operate.socket.control import REQUEST, ControlServer
from gateway.testing import eventually


async def whoami(by: Actor) -> str:
    return by.name


async def add(by: Actor, a: int, b: int = 1) -> int:
    return a + b


async def refuse(by: Actor) -> None:
    raise GatewayError('no device "press-9"; there are: press-1')


async def bug(by: Actor) -> None:
    raise RuntimeError("boom")


async def unspeakable(by: Actor) -> object:
    return object()


async def never(by: Actor) -> None:
    await asyncio.Event().wait()


async def long(by: Actor, rows: int) -> Any:
    return ({"row": row, "text": "x" * 1000} for row in range(rows))


async def whole(by: Actor, size: int) -> Any:
    return {"text": "x" * size}


async def remarked(by: Actor) -> str:
    by.remarks.append("and more")
    return "done"


BODIES = {
    "whoami": whoami, "add": add, "refuse": refuse, "bug": bug, "unspeakable": unspeakable, "never": never, "long": long,
    "whole": whole, "remarked": remarked,
}  # fmt: skip
_NUMBER = Argument(must.whole())
TABLE = {
    **dict.fromkeys(BODIES, Declared()),
    "whoami": Declared(at_once=True),
    "add": Declared({"a": _NUMBER, "b": Argument(must.whole(), needed=False, default=1)}),
    "long": Declared({"rows": _NUMBER}),
    "whole": Declared({"size": _NUMBER}),
}
COMMANDS = Commands(BODIES, TABLE)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "run" / "control.sock"
    async with ControlServer(path, COMMANDS, patience=60.0):
        yield path


async def send(path: Path, raw: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 30)
    try:
        writer.write(raw)
        return dict(json.loads(await reader.readline()))
    finally:
        writer.close()
        await writer.wait_closed()


async def ask(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    return await send(path, json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")


async def test_a_request_is_answered_with_its_result(path: Path) -> None:
    assert await ask(path, "add", a=2, b=3) == {"result": 5}


async def test_a_request_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    async with ControlServer(tmp_path / "control.sock", COMMANDS, patience=1.0):
        unended = b'{"command": "add", "arguments": {"a": 2}}'
        assert await send(tmp_path / "control.sock", unended) == {"error": "no request came within 1 s"}


async def test_the_asker_is_known_by_name_and_cannot_claim_another(path: Path) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    assert await ask(path, "whoami") == {"result": me}
    assert "no argument" in (await ask(path, "whoami", who="somebody-else"))["error"]


FORM = 'not understood: a request is {"command": NAME, "arguments": {…}}'


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        *((raw, FORM) for raw in (
            b"\n", b"{\n", b"[]\n", b"7\n", b'"status"\n', b"null\n", b"\xff\xfe\n", b"GET / HTTP/1.1\r\n", b"{}x\n",
            b'{"command": "add", "arguments": {"a": 1}, "who": "root"}\n', b"[" * 100_000 + b"\n",
            b'{"command": "add", "arguments": {"a": ' + b"9" * 5000 + b"}}\n",
        )),
        (b"{}\n", 'not understood: "command" must be a name, and "arguments" a table'),
        (b'{"command": ["add"]}\n', 'not understood: "command" must be a name, and "arguments" a table'),
        (b'{"command": "add", "arguments": 7}\n', 'not understood: "command" must be a name, and "arguments" a table'),
        (b'{"command": "add", "arguments": null}\n', 'not understood: "command" must be a name'),
        (b'{"command": "ad"}\n', 'no command "ad", did you mean "add"?'),
        (b'{"command": "\\u001b[2J\\ud800"}\n', 'no command "\\x1b[2J\\ud800"'),
        (b'{"command": "add"}\n', 'add needs the argument "a"'),
        (b'{"command": "add", "arguments": {"a": 1, "c": 1}}\n', 'add has no argument "c"; it takes: a, b'),
        (b'{"command": "refuse", "arguments": {"c": 1}}\n', 'refuse has no argument "c"; it takes none'),
        *((b'{"command": "add", "arguments": {"a": ' + odd + b"}}\n", "add: a must be") for odd in (
            b"true", b"1.0", b"null", b"[]", b"{}", b'"1"', b"NaN", b"Infinity", b"1e400", b"9223372036854775808",
        )),
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_told_why(path: Path, raw: bytes, told: str) -> None:
    with capture_logs() as logs:
        answer = await send(path, raw)
    assert answer.keys() == {"error"}
    assert answer["error"].startswith(told)
    assert logs == []


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_in_json(raw: bytes) -> None:
    server = ControlServer(Path("unused"), COMMANDS)

    async def answer() -> bytes:
        task = asyncio.current_task()
        assert task is not None
        client = server.clients.admit(0, task)
        assert client is not None
        return (await server._answer(client, Actor("me"), raw))[0]

    assert "error" in json.loads(asyncio.run(answer()))


async def test_a_list_of_any_length_is_answered_as_it_is_read(path: Path) -> None:
    answer = await ask(path, "long", rows=30_000)
    assert [row["row"] for row in answer["result"]] == list(range(30_000))
    assert await ask(path, "long", rows=0) == {"result": []}


async def test_an_answer_that_is_longer_than_may_be_held_is_refused(path: Path) -> None:
    assert "too long" in (await ask(path, "whole", size=HELD))["error"]


async def test_a_remark_stands_beside_the_result(path: Path) -> None:
    assert await ask(path, "remarked") == {"result": "done", "remarks": ["and more"]}


async def test_a_refusal_reaches_the_person_word_for_word(path: Path) -> None:
    assert await ask(path, "refuse") == {"error": 'no device "press-9"; there are: press-1'}


@pytest.mark.parametrize(("command", "name"), [("bug", "RuntimeError: boom"), ("unspeakable", "TypeError")])
async def test_a_bug_in_a_command_is_logged_and_the_server_goes_on(path: Path, command: str, name: str) -> None:
    with capture_logs() as logs:
        answer = await ask(path, command)
    assert name in answer["error"]
    assert "traceback is in the gateway's log" in answer["error"]
    assert [entry["event"] for entry in logs] == ["a command failed"]
    assert await ask(path, "add", a=1) == {"result": 2}


async def test_a_request_that_is_too_long_is_refused(path: Path) -> None:
    assert await send(path, b"x" * (REQUEST + 2)) == {"error": f"the request is too long: {REQUEST} bytes at most"}


@asynccontextmanager
async def serving(path: Path, patience: float = 60.0) -> AsyncIterator[ControlServer]:
    async with ControlServer(path, COMMANDS, patience=patience) as server:
        yield server


@asynccontextmanager
async def connected(path: Path, number: int, request: bytes = b"") -> AsyncIterator[list[socket.socket]]:
    """So many clients, who have asked for this and read nothing."""
    lines = [socket.socket(socket.AF_UNIX) for _ in range(number)]
    for line in lines:
        await asyncio.to_thread(line.connect, str(path))
        line.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(line, request)
    try:
        yield lines
    finally:
        for line in lines:
            line.close()


@pytest.mark.parametrize(
    "request_",
    [b"", b'{"command"', b'{"command": "long", "arguments": {"rows": 100000}}\n'],
    ids=["mute", "half", "deaf"],
)
async def test_clients_who_do_nothing_lock_nobody_out(tmp_path: Path, request_: bytes) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as server, connected(path, 3 * PLACES, request_):
        for _ in range(50):
            assert await ask(path, "add", a=1) == {"result": 2}
        assert len(server.clients) <= PLACES + RESERVED


async def test_what_clients_do_not_read_is_bounded_and_they_are_put_out_in_time(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    asked = json.dumps({"command": "whole", "arguments": {"size": HELD // 4}}).encode() + b"\n"
    # Of a machine that stands still for two seconds, nobody is out of patience before his request is read.
    async with serving(path, patience=4.0) as server, connected(path, PLACES, asked):
        await eventually(lambda: server.clients.held > 0)
        while len(server.clients):
            assert server.clients.held <= HELD
            await asyncio.sleep(0.01)
        while await ask(path, "add", a=1) != {"result": 2}:
            pass  # this machine stood still, and we were out of patience too


async def test_a_client_who_reads_drop_by_drop_keeps_one_portion_of_a_long_list_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    asked = b'{"command": "long", "arguments": {"rows": 1000000}}\n'
    async with serving(path) as server, connected(path, 1, asked) as (line,):
        for _ in range(100):
            await asyncio.get_running_loop().sock_recv(line, 100)
        assert server.clients.held < 1_000_000


async def test_a_thousand_who_connect_and_hang_up_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as server:
        for number in range(1000):
            async with connected(path, 1, b'{"command": "whoami"}\n' if number % 2 else b""):
                pass
        assert await ask(path, "add", a=1) == {"result": 2}
        await eventually(lambda: not len(server.clients))


async def test_commands_of_one_user_that_run_are_few_and_the_others_wait(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(path) as server, connected(path, PLACES, b'{"command": "never"}\n'):
        await eventually(lambda: len(server.clients) == PLACES)
        assert sum(client.running for client in server.clients._clients) <= RUNNING
        assert (await ask(path, "whoami"))["result"], "what waits for nothing is answered beside them"


class Crowd:
    """Connections of several users, without sockets."""

    def __init__(self) -> None:
        self.clients = Clients()
        self.clients._favoured = {0}

    def come(self, uid: int) -> clients.Client | None:
        return self.clients.admit(uid, asyncio.create_task(asyncio.Event().wait()))  # type: ignore[arg-type]


async def test_a_user_who_fills_all_places_loses_one_to_another_user_and_none_is_taken_of_those_who_hold_few() -> None:
    crowd = Crowd()
    few = [crowd.come(1001), crowd.come(1002)]
    many = [crowd.come(1000) for _ in range(2 * PLACES)]
    assert crowd.come(1003) is not None
    assert all(client is not None and not client.put_out for client in few)
    assert sum(client is not None and not client.put_out for client in many) == PLACES - 3


async def test_root_gets_in_where_all_others_run_commands() -> None:
    crowd = Crowd()
    for uid in range(1000, 1000 + PLACES):
        if client := crowd.come(uid):
            client.running = True
    assert crowd.come(2000) is None
    assert crowd.come(0) is not None


async def test_who_waits_longest_for_a_client_is_put_out_and_never_one_whose_command_runs() -> None:
    crowd = Crowd()
    found = [crowd.come(1000) for _ in range(PLACES)]
    for number, client in enumerate(found):
        assert client is not None
        client.moved, client.running = float(number), number == 0
    assert crowd.come(1000) is not None
    assert [client.put_out for client in found if client] == [False, True, *[False] * (PLACES - 2)]


async def test_no_more_files_for_a_while_neither_ends_nor_spins_the_server(tmp_path: Path) -> None:
    """In a process of its own, whose limit of open files is lowered to what it has."""
    script = f"""
import asyncio, os, resource, time
from pathlib import Path
from tests.operate.test_control import COMMANDS, ControlServer

async def main():
    async with ControlServer(Path({str(tmp_path / "control.sock")!r}), COMMANDS):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        full = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (full, hard))
        before = time.process_time()
        print("full", flush=True)
        await asyncio.sleep(2.0)
        print(time.process_time() - before, flush=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        await asyncio.sleep(120)

asyncio.run(main())
"""
    program = [sys.executable, "-c", script]
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()) == b"full\n"
        async with connected(tmp_path / "control.sock", 20):
            spent = float(await process.stdout.readline())
            assert spent < 1.5, "of 2 s"
            assert await ask(tmp_path / "control.sock", "add", a=1) == {"result": 2}
    finally:
        process.kill()
        await process.wait()


async def test_a_client_that_goes_away_without_reading_disturbs_nobody(path: Path) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"command": "whoami"}\n')
    writer.transport.abort()
    assert await ask(path, "add", a=1) == {"result": 2}


async def test_who_sends_no_end_of_the_line_but_ends_is_answered(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"command": "add", "arguments": {"a": 1}}')
    writer.write_eof()
    assert json.loads(await reader.readline()) == {"result": 2}
    writer.close()


async def test_the_socket_is_for_owner_and_group_only(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_a_second_gateway_on_the_same_socket_refuses_to_start(path: Path) -> None:
    with pytest.raises(GatewayError, match=r"another gateway answers on .*stop it first"):
        await ControlServer(path, COMMANDS).__aenter__()
    assert await ask(path, "add", a=1) == {"result": 2}


async def test_the_socket_of_a_killed_gateway_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    async with ControlServer(path, COMMANDS):
        assert await ask(path, "add", a=1) == {"result": 2}
    assert not path.exists()


async def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("precious")
    with pytest.raises(GatewayError, match=r"control socket .*config\.toml"):
        await ControlServer(path, COMMANDS).__aenter__()
    assert path.read_text() == "precious"


async def test_a_place_where_no_socket_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="--socket names another place"):
        await ControlServer(tmp_path / ("x" * 200), COMMANDS).__aenter__()


async def test_closing_ends_what_is_still_being_answered(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(path, COMMANDS):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "never"}\n')
        assert await ask(path, "add", a=1) == {"result": 2}
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
