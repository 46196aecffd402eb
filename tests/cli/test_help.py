"""`edge-gateway help`, and docs/troubleshooting.md: each message that the program can print leads to a chapter."""

import io
import re
from functools import cache
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.frame import COMMANDS
from gateway.cli.pages import messages as messages_of
from gateway.cli.pages.help import topics
from gateway.cli.pages.messages import Saying, likest, messages, paragraph_of, paragraphs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")


@cache
def everything() -> list[Saying]:
    return list(messages())


def test_every_message_leads_to_its_chapter() -> None:
    among, found = paragraphs(PAGE), everything()
    assert len(found) > 700
    lost = [f"{each.file}:{each.line}: {each.by}: {each.text}" for each in found if paragraph_of(each, among) is None]
    assert lost == [], "say in docs/troubleshooting.md which chapter is about it"


def test_a_message_of_a_new_room_would_be_lost() -> None:
    assert paragraph_of(Saying("it went wrong", "gateway/newroom/part.py", 1, "GatewayError"), paragraphs(PAGE)) is None


def test_every_chapter_is_about_some_message_and_every_rule_counts() -> None:
    among, found = paragraphs(PAGE), everything()
    titles = {chapter.title for each in found if (chapter := paragraph_of(each, among))}
    assert {each.title for each in among} - titles == set()


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (
            "config.toml:3: [gateway]: there is only one: write [gateway], in one pair of brackets",
            "The configuration has a mistake",
        ),
        ("no gateway answers on /run/edge-gateway/control.sock (No such file or directory)", "No gateway answers"),
        (
            'credential "mqtt-password" is missing: sudo edge-gateway secret set mqtt-password, then restart the service',
            "A secret is missing",
        ),
        (
            "config.toml:3: password: a secret never stands in this file: write where it is kept",
            "The configuration has a mistake",
        ),
        ("config.toml:8: not valid TOML at column 3: the closing quote is missing", "The configuration has a mistake"),
        ("the gateway on /run/x gave no answer within 70 s; see its log", "No gateway answers"),
    ],
)
def test_a_message_as_it_is_printed_finds_its_chapter(said: str, title: str) -> None:
    message = likest(said)
    assert message is not None
    chapter = paragraph_of(message, paragraphs(PAGE))
    assert chapter is not None
    assert chapter.title == title


def test_a_message_is_found_without_reading_those_of_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    in_file = messages_of._in_file
    monkeypatch.setattr(messages_of, "_in_file", lambda inner, text: read.append(inner) or in_file(inner, text))
    assert likest("config.toml:8: not valid TOML at column 3: the closing quote is missing") is not None
    assert 0 < len(read) < 100


def test_help_lists_topics_shows_pages_and_chapters_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", listed, re.MULTILINE) for name in ("configuration", "modbus", "troubleshooting"))
    assert main(["help", "configuration"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("# Configuration")
    assert "<!--" not in page
    assert main(["help", "outbox", "drain"]) == 0
    assert capsys.readouterr().out.startswith("## outbox drain")
    assert main(["help", "no gateway answers on /x"]) == 0
    assert "Exit code 3" in capsys.readouterr().out
    assert main(["help", 'config.toml:12: device "p": hots: unknown key, did you mean "host"?']) == 0
    assert "The configuration has a mistake" in capsys.readouterr().out
    assert main(["help", "confguration"]) == 1
    assert "did you mean configuration?" in capsys.readouterr().err


def test_every_page_and_every_command_is_a_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= set(topics())
    for command in COMMANDS:
        assert main(["help", command]) == 0, command
        assert len(capsys.readouterr().out) > 30


def test_on_a_terminal_a_long_page_goes_through_the_pager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = tmp_path / "shown"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {shown}\n")
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.setattr("sys.stdout", Terminal())
    assert main(["help", "configuration"]) == 0
    assert shown.read_text(encoding="utf-8").startswith("# Configuration")
