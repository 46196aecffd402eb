import asyncio
import json
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.core.errors import GatewayError
from gateway.operate.control import CLIENTS, LINE_LIMIT, ControlServer


async def whoami(who: str) -> str:
    return who


async def add(who: str, a: int, b: int = 1) -> int:
    return a + b


async def refuse(who: str) -> None:
    raise GatewayError('no device "press-9"; there are: press-1')


async def bug(who: str) -> None:
    raise RuntimeError("boom")


async def unspeakable(who: str) -> object:
    return object()


async def never(who: str) -> None:
    await asyncio.Event().wait()


COMMANDS = {"whoami": whoami, "add": add, "refuse": refuse, "bug": bug, "unspeakable": unspeakable, "never": never}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "run" / "control.sock"
    async with ControlServer(path, COMMANDS, patience=60.0):
        yield path


async def send(path: Path, raw: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
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
    assert await ask(path, "whoami", who="somebody-else") == {"result": me}


@pytest.mark.parametrize(
    "raw",
    [
        b"\n", b"{\n", b"[]\n", b"7\n", b'"status"\n', b"null\n", b"\xff\xfe\n", b"GET / HTTP/1.1\r\n",
        b'{"command": "fly"}\n', b'{"command": ["add"]}\n', b'{"command": "add"}\n',
        b'{"command": "add", "arguments": 7}\n', b'{"command": "add", "arguments": {"c": 1}}\n',
        b'{"command": "add", "arguments": null}\n',
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_told_the_commands(path: Path, raw: bytes) -> None:
    with capture_logs() as logs:
        assert await send(path, raw) == {"error": f"not understood; the gateway knows: {', '.join(COMMANDS)}"}
    assert logs == []


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_in_json(raw: bytes) -> None:
    server = ControlServer(Path("unused"), COMMANDS)
    assert "error" in json.loads(asyncio.run(server._call(raw, "me")))


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
    assert await send(path, b"x" * (LINE_LIMIT + 2)) == {
        "error": f"the request is too long: {LINE_LIMIT} bytes at most"
    }


async def test_more_clients_than_allowed_are_told_so_and_the_others_are_served(path: Path) -> None:
    waiting = [await asyncio.open_unix_connection(path) for _ in range(CLIENTS)]
    for _, writer in waiting:
        writer.write(b'{"command": "never"}\n')
    turned_away = await ask(path, "add", a=1)
    assert turned_away == {"error": f"too many clients on the control socket: {CLIENTS} at a time"}
    waiting[0][1].close()
    for _, writer in waiting:
        writer.close()


async def test_a_client_that_goes_away_without_reading_disturbs_nobody(path: Path) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"command": "whoami"}\n')
    writer.transport.abort()
    assert await ask(path, "add", a=1) == {"result": 2}


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
