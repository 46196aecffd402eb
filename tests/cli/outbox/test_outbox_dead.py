"""`edge-gateway outbox dead`: looking at the files, acting through the gateway."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.core.context import Context
from tests.cli.conftest import Asked
from tests.outbox.making import Log, block, spec, take


async def refuse(log: Log) -> str:
    async with log.opened() as outbox:
        outbox.append(block(outbox.bind(spec(tags=2), Context(site="north")), 7))
        reader = outbox.reader("central")
        (record,) = await take(reader, 1)
        reader.refused(record, "topic not allowed: set another topic", final=True)
        return record.id


@pytest.fixture
def letter(tmp_path: Path) -> tuple[str, str]:
    """The id of a dead letter, and the directory of its log."""
    return asyncio.run(refuse(Log(tmp_path / "outbox"))), str(tmp_path / "outbox")


def test_list_and_show_need_no_gateway(letter: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    name, directory = letter
    assert main(["outbox", "dead", "list", "--dir", directory]) == 0
    told = capsys.readouterr().out
    assert name in told and "press-1" in told and "topic not allowed: set another topic" in told
    assert main(["outbox", "dead", "show", name, "--dir", directory, "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert [row["value"] for row in shown["record"]["readings"]] == ["7.0", "7.0"]
    assert main(["outbox", "dead", "show", "nothing", "--dir", directory]) == 1
    assert "no dead letter has the id nothing" in capsys.readouterr().err
    assert main(["outbox", "dead", "list", "--dir", directory, "--sink", "other"]) == 0
    assert "no dead letters" in capsys.readouterr().out


def test_a_damaged_letter_is_named(letter: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = Path(letter[1]).glob("dead/*.dead")
    path.write_bytes(path.read_bytes()[:100])
    assert main(["outbox", "dead", "list", "--dir", letter[1]]) == 1
    assert f"{path}: its checksum is wrong" in capsys.readouterr().out


def test_retry_and_drop_are_done_by_the_gateway(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers |= {"dead_retry": {"retried": ["a:data:1", "a:data:2"]}, "dead_drop": {"dropped": 1}}
    assert main(["outbox", "dead", "retry", "--all", "--sink", "central"]) == 0
    assert "2 dead letters sent again" in capsys.readouterr().out
    assert main(["outbox", "dead", "drop", "a:data:1"]) == 0
    assert "1 dead letter dropped" in capsys.readouterr().out
    assert gateway.requests == [
        ("dead_retry", {"ids": [], "sink": "central"}),
        ("dead_drop", {"ids": ["a:data:1"], "sink": None}),
    ]


@pytest.mark.parametrize("which", [[], ["--all", "a:data:1"]])
def test_what_is_meant_must_be_said(which: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "dead", "drop", *which]) == 2
    assert "name the ids, or say --all" in capsys.readouterr().err
