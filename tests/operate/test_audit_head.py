"""The end of the audit trail is told to the far side, so that somebody there can prove later what stood before it."""

import json
from pathlib import Path

from gateway.core.clock import FakeClock
from gateway.operate.audit_head import AuditHead
from gateway.operate.audit_log import AuditLog
from gateway.testing.events import EventList
from gateway.trust.audit import verify


def notes(path: Path) -> AuditLog:
    return AuditLog(path / "audit.jsonl", FakeClock())


async def test_the_head_names_the_last_record(tmp_path: Path) -> None:
    told = notes(tmp_path)
    for _ in range(3):
        told.require_now("x", "kim")
    event = await AuditHead(told, EventList(), FakeClock()).event()
    last = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])
    assert (event.kind, event.state, event.severity) == ("audit", "head", "info")
    assert dict(event.detail) == {"n": 3, "hash": last["hash"], "damage": ""}


async def test_a_head_that_was_told_betrays_a_chain_that_was_made_anew(tmp_path: Path) -> None:
    told = notes(tmp_path)
    told.require_now("tag.write", "kim", new=99)
    kept = (await AuditHead(told, EventList(), FakeClock()).event()).detail
    for file in tmp_path.iterdir():
        file.unlink()
    forged = notes(tmp_path)
    forged.require_now("tag.write", "kim", new=20)
    assert verify(tmp_path / "audit.jsonl").ok, "the files alone do not show it"
    record = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[kept["n"] - 1])
    assert record["hash"] != kept["hash"]


async def test_damage_is_told_with_it_as_an_alarm(tmp_path: Path) -> None:
    notes(tmp_path).require_now("x", "kim")
    (tmp_path / "audit.head").unlink()
    told = notes(tmp_path)
    told.require_now("gateway.start", "system")
    event = await AuditHead(told, EventList(), FakeClock()).event()
    assert event.severity == "alarm"
    assert "audit.head was missing" in event.message


async def test_a_trail_that_is_gone_beside_a_log_is_damage_that_stays_visible(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    told = notes(tmp_path)
    told.require_now("gateway.start", "system")
    assert "had run here before" in told.damage
    verdict = verify(tmp_path / "audit.jsonl")
    assert verdict.problem is not None
    assert "had run here before" in verdict.problem.message


async def test_a_trail_that_takes_nothing_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    event = await AuditHead(notes(tmp_path), EventList(), FakeClock()).event()
    assert (event.state, event.severity) == ("failed", "alarm")
    assert "audit trail" in event.message
