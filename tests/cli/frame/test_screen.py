"""No text from outside moves the cursor, forges a line or ends the output, whichever command prints it; JSON stays exact."""

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.cli.frame import COMMANDS
from gateway.cli.frame.screen import Screen, control
from gateway.cli.frame.terminal import colour, table
from gateway.core.errors import GatewayError
from gateway.operate.logs import set_up
from tests.cli.conftest import Asked

HOSTILE = "a\x1b[2J\x1b[H\nedge-gateway: all is well\r\x9b31m\u202e\u2066\x00\x7f\ud800\u200bb\x0b\x85\u2028"
SHAPES = json.loads((Path(__file__).parents[2] / "golden/answers-0.1.json").read_text())["answers"]
FIXED = {"hour": "2026-11-22T02:00:00Z", "quality": "bad: x"}
"""What is parsed by the command, or decides which lines there are."""

ASKING = {
    "status": "status", "tags": "tags", "read": "read oven-1/temp", "write": "write oven-1/temp 5 --reason x",
    "call": "call oven-1 oven heat --reason x", "alarms": "alarms", "acknowledge": "alarms ack 1234",
    "shelve": "alarms shelve 1234 --for 1h --reason x", "unshelve": "alarms unshelve 1234", "models": "models list",
    "model_approve": "models approve m --reason x", "model_rollback": "models rollback m --reason x",
    "model_retire": "models retire m --reason x", "reload": "reload", "receipts": "receipts",
    "browse": "browse oven-1", "probe": "probe oven-1 hr:0", "dead_retry": "outbox dead retry --all",
    "dead_drop": "outbox dead drop --all", "drain": "outbox drain", "replay": "outbox replay --sink s --from 2026-11-22",
    "history_import": "history import --device d --from 2026-11-22",
    "plan": "config diff", "batches": "batch list", "batch_start": "batch start B --device oven-1",
    "batch_set": "batch set --device oven-1 --phase p", "batch_end": "batch end B", "batch": "batch show B",
    "batch_correct": "batch correct --device oven-1 --batch B --from 2026-11-22 --to 2026-11-23 --reason x",
}  # fmt: skip
_OPEN = {
    "open": {"text": {"batch": {"value": "text", "by": "text", "rule": "truth", "since": "number"}}},
    "ended": [{"batch": "text", "device": "text", "from": "number", "to": "number"}], "repeated": "truth",
}  # fmt: skip
_GAVE = {
    "read": "number", "readings": "number", "not_accepted": "number", "missed_polls": "number", "interrupted": "truth",
    "incomplete": "truth", "gaps": [{"reason": "text", "from": "number", "to": "number"}],
    "sinks": {"text": {"acknowledged": "number", "pending": "number", "dropped": {"text": "number"},
                       "complete_to": "number"}},
}  # fmt: skip
MORE = {
    "browse": [{"address": "text", "path": "text", "type": "text", "unit": "text", "description": "text"}],
    "probe": [[{"options": {"type": "text", "order": "text"}, "value": "number"}] * 2] * 3,
    "dead_retry": {"retried": ["text"]},
    "dead_drop": {"dropped": "number"},
    **dict.fromkeys(("batches", "batch_start", "batch_set", "batch_end"), _OPEN),
    "batch": {
        **_GAVE,
        "batch": "text",
        "open": "truth",
        "complete": "truth",
        "complete_to": "number",
        "times": [{"device": "text", "from": "number", "to": "number"}],
        "devices": {"text": _GAVE},
    },
    "batch_correct": {"devices": ["text"], "corrected": {"batch": "text"}},
    "plan": {"applicable": "truth", "changes": ["text"], "problems": ["text"]},
    "history_import": {
        "device": "text", "from": "number", "to": "number", "tags": "number", "tags_done": "number", "running": "truth",
        "done": "truth", "outcome": "text", "readings": "number", "known": "number", "bad": "number",
        "refused": [{"tag": "text", "why": "text"}], "refused_tags": "number", "last": "number",
    },
}  # fmt: skip


def filled(shape: Any, text: str, key: str = "") -> Any:
    """An answer of this shape, all of whose texts are this one."""
    if isinstance(shape, dict):
        return {name: filled(each, text, name) for name, each in shape.items()}
    if isinstance(shape, list):
        return [filled(each, text, key) for each in shape]
    known = {"text": FIXED.get(key, text), "number": 0 if key == "pending" else 1, "truth": key != "running"}
    return known.get(shape, shape) if isinstance(shape, str) else shape


def answer(command: str, text: str) -> Any:
    return filled({**SHAPES, **MORE}[command], text)


def is_quiet(output: str) -> bool:
    return all(
        char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co") for char in output
    )


@pytest.mark.parametrize("command", ASKING)
def test_answers_of_the_gateway_are_shown_on_their_own_lines_only(gateway: Asked, command: str, capsys: Any) -> None:
    printed = {}
    for text in ("harmless", HOSTILE):
        gateway.answers = {name: answer(name, text) for name in ASKING}
        gateway.answers["replay_status"] = answer("replay", text)
        main(ASKING[command].split())
        out, err = capsys.readouterr()
        assert is_quiet(out + err), ascii(out + err)
        printed[text] = out + err
    assert printed[HOSTILE].count("\n") == printed["harmless"].count("\n"), printed[HOSTILE]


@pytest.mark.parametrize("command", ["status", "tags", "read", "alarms", "models", "write", "reload", "call"])
def test_answers_in_json_are_exact(gateway: Asked, command: str, capsys: Any) -> None:
    hostile = HOSTILE.replace("\ud800", "\U0001f525")
    gateway.answers = {name: answer(name, hostile) for name in ASKING}
    main([*ASKING[command].split(), "--json"])
    out = capsys.readouterr().out
    assert json.loads(out) == answer(command, hostile)
    assert is_quiet(out)


@pytest.mark.parametrize("command", ASKING)
def test_errors_of_the_gateway_are_one_line(gateway: Asked, command: str, capsys: Any) -> None:
    gateway.answers = dict.fromkeys([*ASKING, "replay_status"], GatewayError(HOSTILE))
    main(ASKING[command].split())
    out, err = capsys.readouterr()
    assert is_quiet(out + err)
    assert "all is well" not in [line.removeprefix("edge-gateway: ") for line in (out + err).splitlines()]


def test_each_command_that_asks_the_gateway_is_tried_here() -> None:
    folder = Path(sys.modules["gateway.cli"].__file__ or "").parent
    asked = {
        name
        for file in folder.rglob("*.py")
        for name in re.findall(
            r'(?:\bask|\bcall)\((?:args|path|socket|socket_path\(args\.socket\)), "(\w+)"', file.read_text()
        )
    }
    assert asked - {"replay_status", "replay_cancel", "history_import_status", "history_import_cancel"} <= ASKING.keys()
    assert {line.split()[0] for line in ASKING.values()} <= COMMANDS.keys()


def test_lines_are_joined_in_one_place_only() -> None:
    folder = Path(sys.modules["gateway.cli"].__file__ or "").parent
    free = {"frame/terminal.py", "frame/screen.py"}
    free |= {"config/command_reference.py", "config/docs.py", "config/protocol_table.py"}
    free |= {
        "upgrade/package.py",
        "importing/__init__.py",
        "importing/telegraf.py",
        "setup/answers.py",
    }  # formats and files, not what is printed
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.py")}
    assert [name for name, file in files.items() if '"\\n".join(' in file.read_text() and name not in free] == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_our_own_colours_pass_and_those_of_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Screen(terminal, "text"))
    print(colour("red \x1b[32m", "red"), control("\x1b[K"))
    assert terminal.getvalue() == "\x1b[31mred \\x1b[32m\x1b[0m \x1b[K\n"


@given(st.text())
def test_no_text_leaves_its_cell(text: str) -> None:
    lines = table([("NAME", "VALUE"), ("x", text)])
    assert len(lines) == 2
    assert is_quiet("".join(lines))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_says_the_same_after_it_was_made_visible(text: str) -> None:
    stream = io.StringIO()
    Screen(stream, "json").write(json.dumps([text], ensure_ascii=False))
    assert json.loads(stream.getvalue()) == [text]
    assert is_quiet(stream.getvalue())


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_terminal_of_any_encoding_gets_the_whole_status(gateway: Asked, encoding: str, more: list[str]) -> None:
    status = answer("status", "Kessel 12 µm → 5 °C … 温度")
    status["devices"][0]["polls"] = 123_456
    gateway.answers = {"status": status}
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "EDGE_GATEWAY_SOCKET": str(gateway.path)}
    program = [sys.executable, "-m", "gateway", "status", *more]
    ran = subprocess.run(program, capture_output=True, env=environment, timeout=100, check=False)
    assert b"Traceback" not in ran.stderr, ran.stderr
    said = ran.stdout.decode(encoding)
    if more:
        assert json.loads(said) == status
    else:
        assert re.search(r"123.456 polls", said)
        assert "config" in said


def test_the_log_keeps_its_colours_and_foreign_text_forges_none_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", Screen(terminal, "text"))
    set_up("info")
    structlog.get_logger().warning("down", device="press-1", reason=HOSTILE)
    said = terminal.getvalue()
    assert said.count("\n") == 1
    assert "\x1b[33m" in said or "\x1b[35m" in said, ascii(said)
    assert "\x1b[2J" not in said
    assert "\\x1b[2J" in said
