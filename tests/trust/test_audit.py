"""What was written into the audit trail stays provably as it was, through restarts, power cuts and full disks; what was
changed is named with its line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway
from gateway.core.clock import FakeClock, SystemClock
from gateway.trust import audit_files
from gateway.trust.audit import AuditError, AuditTrail, verify
from gateway.trust.chain import read

REPOSITORY = Path(gateway.__file__).parents[1]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def written(path, count=5, **options):
    trail = AuditTrail(path, FakeClock(), **options)
    for number in range(count):
        trail.write("tag.write", "kim", target=f"coater-1/speed {number}", old=80.0, new=82.5, why="CR-1187 ‰ ünïcode")
    return trail


def records(path):
    return [read(line) for part in audit_files.parts(path) for line in part.read_bytes().splitlines(keepends=True)]


def test_a_record_says_what_who_when_and_where_it_stands(path, monkeypatch):
    AuditTrail(path, FakeClock(wall=1_795_300_800_123_456_789)).write("config.reload", "kim", old="a", new="b")
    (record,) = records(path)
    assert re.fullmatch(r"[+-]\d\d:\d\d", record.pop("tz"))
    assert re.fullmatch(r"[0-9a-f]{64}", record.pop("hash"))
    assert record == {
        "n": 1, "ts": "2026-11-21T22:40:00.123Z", "who": "kim", "action": "config.reload", "old": "a", "new": "b",
        "prev": "0" * 64,
    }  # fmt: skip


def test_the_chain_goes_on_after_a_restart(path):
    written(path, 3)
    written(path, 2)
    assert [record["n"] for record in records(path)] == [1, 2, 3, 4, 5]
    verdict = verify(path)
    assert verdict.ok
    assert verdict.records == 5


def test_fields_of_the_trails_own_cannot_be_given(path):
    with pytest.raises(ValueError, match="fills ts"):
        AuditTrail(path, FakeClock()).write("x", "kim", ts="yesterday")


@pytest.mark.parametrize("value", [{10: "a", 9: "b"}, "\udc80 odd file name", ("a", 1), 10**30, -0.0, "\x00\r\n\u2028"])
def test_whatever_json_holds_stays_verifiable(path, value):
    trail = AuditTrail(path, FakeClock())
    trail.write("x", "kim", value=value)
    trail.write("y", "kim")
    assert verify(path).ok


def test_what_json_cannot_hold_harms_nothing(path):
    trail = written(path, 1)
    for value in (float("nan"), object(), b"bytes"):
        with pytest.raises(AuditError, match="cannot be written into the audit trail"):
            trail.write("x", "kim", value=value)
    trail.write("y", "kim")
    assert verify(path).records == 2


# Tampering

TAMPERED = {
    "flipped": (lambda lines: [*lines[:2], lines[2].replace(b"82.5", b"99.9"), *lines[3:]], 3, "was changed"),
    "deleted": (lambda lines: [*lines[:2], *lines[3:]], 3, "record 3 is missing"),
    "two deleted": (lambda lines: [*lines[:1], *lines[3:]], 2, "records 2 to 3 are missing"),
    "first deleted": (lambda lines: lines[1:], 1, "record 1 is missing"),
    "repeated": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "repeated or out of order"),
    "reordered": (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, "record 2 is missing"),
    "garbage": (lambda lines: [*lines[:2], b"hello\n", *lines[2:]], 3, "no JSON"),
    "foreign": (lambda lines: [*lines[:2], b'{"n":3}\n', *lines[2:]], 3, "no audit record"),
    "spaced": (lambda lines: [lines[0].replace(b'":', b'": ', 1), *lines[1:]], 1, "was changed"),
    "nan": (lambda lines: [lines[0].replace(b"82.5", b"NaN", 1), *lines[1:]], 1, "no JSON"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampering_is_named_with_its_line(path, kind):
    written(path)
    tamper, line, why = TAMPERED[kind]
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    verdict = verify(path)
    assert not verdict.ok
    assert (verdict.problem.line, verdict.problem.file) == (line, str(path))
    assert why in verdict.problem.message


def test_a_record_replaced_by_a_well_made_one_is_found(path, tmp_path):
    written(path)
    other = tmp_path / "other" / "audit.jsonl"
    other.parent.mkdir()
    trail = written(other, 2)
    trail.write("tag.write", "mallory")
    lines, forged = path.read_bytes().splitlines(keepends=True), other.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], forged[2], *lines[3:]]))
    assert verify(path).problem.line == 4
    path.write_bytes(b"".join([*lines[:2], forged[2]]))
    assert "missing at the end" in verify(path).problem.message


def test_the_last_record_replaced_by_a_well_made_one_is_found(path, tmp_path):
    written(path, 2)
    shutil.copytree(tmp_path, tmp_path / "copy")
    AuditTrail(tmp_path / "copy" / "audit.jsonl", FakeClock()).write("forged", "mallory")
    AuditTrail(path, FakeClock()).write("true", "kim")
    shutil.copy(tmp_path / "copy" / "audit.jsonl", path)
    assert "names another record" in verify(path).problem.message


@pytest.mark.parametrize("left", [0, 1, 4])
def test_records_cut_off_at_the_end_are_missed(path, left):
    written(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    verdict = verify(path)
    assert verdict.records == left
    assert re.search(f"records {left + 1} to 5 are missing at the end", verdict.problem.message)


def test_a_missing_anchor_is_said(path):
    written(path)
    path.with_suffix(".head").unlink()
    assert "nobody can say" in verify(path).problem.message


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "audit.jsonl"
    written(path, 3)
    return path, path.read_bytes()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_is_found(sound, data):
    path, content = sound
    position = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]))
    path.write_bytes(content[:position] + bytes([byte]) + content[position + 1 :])
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.records == content[:position].count(b"\n")


@given(st.binary(max_size=300))
@settings(max_examples=40, deadline=None)
def test_a_trail_opens_on_any_rubbish_and_does_not_hide_it(tmp_path_factory, rubbish):
    path = tmp_path_factory.mktemp("fuzz") / "audit.jsonl"
    path.write_bytes(rubbish)
    AuditTrail(path, FakeClock()).write("x", "kim")
    verdict = verify(path)
    assert verdict.ok == (b"\n" not in rubbish)


@pytest.mark.parametrize("damage", ["cut", "flip last", "no head", "all gone"])
def test_a_damaged_trail_goes_on_and_keeps_pointing_at_the_damage(path, damage):
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "cut":
        path.write_bytes(b"".join(lines[:3]))
    elif damage == "flip last":
        path.write_bytes(b"".join([*lines[:4], lines[4].replace(b"82.5", b"99.9")]))
    elif damage == "no head":
        path.with_suffix(".head").unlink()
    else:
        path.unlink()
    trail = AuditTrail(path, FakeClock())
    trail.write("gateway.start", "system")
    *_, noted, start = (read(line) for line in path.read_bytes().splitlines(keepends=True)[-2:])
    assert noted["action"] == "audit.damaged"
    assert start["action"] == "gateway.start"
    assert start["n"] == 7
    verdict = verify(path)
    assert not verdict.ok
    if damage == "no head":
        assert "audit.head was missing" in verdict.problem.message
        assert (verdict.problem.line, verdict.records) == (6, 7)


def damaged(path, damage):
    """Written, damaged while nothing ran, and gone on with."""
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "cut": lines[:3],
        "flip": [*lines[:2], lines[2].replace(b"82.5", b"99.9"), *lines[3:]],
        "flip last": [*lines[:4], lines[4].replace(b"82.5", b"99.9")],
        "removed": [*lines[:1], *lines[3:]],
        "moved": [lines[0], lines[2], lines[1], *lines[3:]],
        "rubbish": [*lines[:2], b"\x00\xff\n{}\n", *lines[2:], b"rubbish\n"],
        "no head": lines,
        "all gone": [],
    }
    path.write_bytes(b"".join(changed[damage]))
    if damage == "no head":
        path.with_suffix(".head").unlink()
    trail = AuditTrail(path, FakeClock())
    trail.write("gateway.start", "system")
    return trail


DAMAGES = ["cut", "flip", "flip last", "removed", "moved", "rubbish", "no head", "all gone"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_that_somebody_has_acknowledged_is_told_and_no_problem_any_more(path, damage):
    trail = damaged(path, damage)
    assert not verify(path).ok
    assert trail.acknowledge("kim", "the disk was exchanged")
    verdict = verify(path)
    assert verdict.ok, verdict.problem
    assert {(each.who, each.why) for each in verdict.acknowledged} == {("kim", "the disk was exchanged")}
    assert trail.acknowledge("kim", "again") == []
    trail.write("gateway.stop", "system")
    assert AuditTrail(path, FakeClock()).damage == ""
    assert verify(path).ok


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("later", ["flip", "cut", "no head"])
def test_new_damage_after_an_acknowledgement_fails_again(path, damage, later):
    damaged(path, damage).acknowledge("kim", "the disk was exchanged")
    lines = path.read_bytes().splitlines(keepends=True)
    if later == "flip":
        path.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b'"kim"', b'"lee"')]))
    elif later == "cut":
        path.write_bytes(b"".join(lines[:-1]))
    else:
        path.with_suffix(".head").unlink()
    assert not verify(path).ok
    trail = AuditTrail(path, FakeClock())
    trail.write("gateway.start", "system")
    assert not verify(path).ok
    trail.acknowledge("kim", "looked at that too")
    assert verify(path).ok


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_line_can_be_removed_under_cover_of_an_acknowledgement(path, damage):
    damaged(path, damage).acknowledge("kim", "the disk was exchanged")
    assert verify(path).ok
    lines = path.read_bytes().splitlines(keepends=True)
    for first in range(len(lines)):
        for last in range(first, len(lines)):
            path.write_bytes(b"".join([*lines[:first], *lines[last + 1 :]]))
            assert not verify(path).ok, f"lines {first + 1} to {last + 1} removed"
    for place, line in enumerate(lines):
        path.write_bytes(b"".join([*lines[:place], line[:-2] + b" \n", *lines[place + 1 :]]))
        assert not verify(path).ok, f"line {place + 1} changed"
        path.write_bytes(b"".join([*lines[:place], line, *lines[place:]]))
        assert not verify(path).ok, f"line {place + 1} repeated"


def test_an_acknowledgement_by_another_process_is_heard_of(path):
    trail = damaged(path, "no head")
    assert trail.damage
    trail.head()
    assert trail.damage
    AuditTrail(path, FakeClock()).acknowledge("kim", "looked")
    trail.head()
    assert not trail.damage


# Power cuts, kills, full disks


@pytest.mark.parametrize("torn", [b"{", b'{"action":"x"', b"\x00\x00\x00\x00"])
def test_a_half_written_line_is_set_aside_and_recorded(path, torn):
    written(path, 2)
    with path.open("ab") as file:
        file.write(torn)
    before = verify(path)
    assert before.ok
    assert before.torn == len(torn)
    AuditTrail(path, FakeClock()).write("gateway.start", "system")
    sealed = records(path)[2]
    assert sealed["action"] == "audit.sealed"
    assert path.with_name(sealed["target"]).read_bytes() == torn
    after = verify(path)
    assert after.ok
    assert (after.records, after.torn) == (4, 0)


def test_power_lost_between_record_and_anchor_is_no_damage(path):
    trail = written(path, 2)
    head = path.with_suffix(".head").read_bytes()
    trail.write("x", "kim")
    path.with_suffix(".head").write_bytes(head)
    assert verify(path).ok
    AuditTrail(path, FakeClock()).write("y", "kim")
    assert [record["action"] for record in records(path)][2:] == ["x", "y"]
    assert verify(path).ok


def python(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, **options
    )


WRITER = """
import sys; from pathlib import Path
from gateway.core.clock import SystemClock; from gateway.trust.audit import AuditTrail
trail = AuditTrail(Path(sys.argv[1]), SystemClock(), part_size=2000)
while True:
    trail.write("x", "kim"); print(flush=True)
"""


def test_kill_9_at_any_moment_loses_no_record_that_was_written(path):
    safe = 0
    for _ in range(5):
        with python(WRITER, path) as writer:
            for _ in range(7):
                safe += bool(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            safe += len(writer.stdout.readlines())
        verdict = verify(path)
        assert verdict.ok, verdict.problem
        assert safe <= verdict.records <= safe + 5
    assert len(audit_files.parts(path)) > 1


def test_a_full_disk_is_an_error_and_the_trail_stays_sound(path):
    code = """
import resource, sys; from pathlib import Path
from gateway.core.clock import SystemClock; from gateway.trust.audit import AuditTrail, AuditError, verify
path = Path(sys.argv[1]); trail = AuditTrail(path, SystemClock()); trail.write("x", "kim")
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
try:
    trail.write("y", "kim", why="z" * 300)
except AuditError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
trail.write("after", "kim"); print(verify(path).ok, verify(path).records)
"""
    with python(code, path) as writer:
        told, outcome = writer.communicate(timeout=100)[0].splitlines()
    assert re.search(r"audit\.jsonl cannot be written: (No space left|File too large)", told)
    assert outcome == "True 2"


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(AuditError, match=r"nowhere.*cannot be written: No such file"):
        AuditTrail(tmp_path / "nowhere" / "audit.jsonl", FakeClock())


# Parts, and several writers


def test_older_parts_stay_in_the_chain(path):
    written(path, 20, part_size=1000)
    parts = audit_files.parts(path)
    assert len(parts) > 3
    assert all(part.stat().st_size <= 1000 for part in parts)
    assert verify(path).records == 20
    parts[1].rename(path.with_name("hidden"))
    verdict = verify(path)
    assert verdict.problem.file == str(parts[2])
    assert "are missing" in verdict.problem.message


def test_the_last_records_are_told_oldest_first_over_the_parts_and_a_broken_line_in_its_place(path):
    written(path, 20, part_size=1000)
    last = audit_files.parts(path)[-1]
    assert len(last.read_bytes().splitlines()) < 4, "they reach into an older part"
    assert [record["n"] for record in audit_files.tail(path, 4)] == [17, 18, 19, 20]
    assert [record["n"] for record in audit_files.tail(path, 100)] == [*range(1, 21)]
    last.write_bytes(last.read_bytes()[:-1] + b"}\n")
    told = audit_files.tail(path, 2)
    assert told[0]["n"] == 19
    assert "broken" in told[1]


def test_a_stop_between_two_parts_harms_nothing(path):
    written(path, 4)
    path.rename(audit_files.older_part(path, 1))
    AuditTrail(path, FakeClock()).write("x", "kim")
    assert verify(path).records == 5
    assert verify(path).ok


def test_several_writers_make_one_chain_that_verifies_while_they_write(path):
    trails = [AuditTrail(path, SystemClock(), part_size=3000) for _ in range(2)]

    def write(trail, who):
        for _ in range(25):
            trail.write("x", who)

    threads = [threading.Thread(target=write, args=(trails[number % 2], f"writer {number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        verdict = verify(path)
        assert verdict.ok, verdict.problem
    for thread in threads:
        thread.join()
    verdict = verify(path)
    assert verdict.ok
    assert verdict.records == 100


def test_the_files_are_not_for_everybody(path):
    written(path, 1)
    for file in path.parent.iterdir():
        assert not file.stat().st_mode & 0o027, f"{file}: {file.stat().st_mode & 0o777:o}"


# The program in docs/audit.md


def test_the_documented_check_agrees(path, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "audit.md").read_text(), re.DOTALL)

    def check():
        return subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=100).stderr

    written(path, 10, part_size=1000)
    assert check() == ""
    intact = path.read_bytes()
    path.write_bytes(intact.replace(b"82.5", b"99.9", 1))
    assert "was changed" in check()
    path.write_bytes(b"")
    assert "missing at the end" in check()
    first = audit_files.parts(path)[0]
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[1:]))
    assert "is missing" in check()


def test_a_missing_trail_is_not_called_sound(path):
    with pytest.raises(FileNotFoundError):
        verify(path)


def test_the_umask_does_not_open_the_files(path):
    old = os.umask(0)
    try:
        written(path, 1)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("synced", "said"), [(True, None), (False, "not synchronised"), (None, "unknown")])
def test_a_record_says_when_the_clock_behind_its_time_was_not_synchronised(tmp_path, synced, said):
    trail = AuditTrail(tmp_path / "audit.jsonl", FakeClock(synced=synced))
    trail.write("gateway.start", "system")
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert json.loads(line).get("clock") == said


# What somebody may lay where the trail's files belong


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 100_000, b'{"n": true, "hash": "' + b"0" * 64 + b'"}', b'{"n": -1, "hash": "' + b"0" * 64 + b'"}',
     b'{"n": 1e400, "hash": "x"}', b'{"n": ' + b"9" * 5000 + b', "hash": "x"}', b'{"n": 5, "hash": "abc"}', b"\xff" * 100,
     b'{"n": 5, "hash": 5}', b" " * 10_000_000],
)  # fmt: skip
def test_a_spoilt_anchor_is_damage_that_stays_visible(path, content):
    written(path)
    path.with_suffix(".head").write_bytes(content)
    if len(content) > 4096:  # not ours, and nobody knows how much more of it there is
        with pytest.raises(AuditError, match="longer than"):
            AuditTrail(path, FakeClock())
        return
    trail = AuditTrail(path, FakeClock())
    trail.write("gateway.start", "system")
    assert "audit.head" in trail.damage
    assert AuditTrail(path, FakeClock()).damage == ""
    assert "audit.head was missing or illegible" in verify(path).problem.message


@pytest.mark.parametrize("name", ["audit.head", "audit.jsonl", "audit.lock"])
def test_what_is_no_regular_file_is_an_error_and_never_damage(path, name):
    written(path)
    path.with_name(name).unlink()
    os.mkfifo(path.with_name(name))
    with pytest.raises(AuditError, match="FIFO"):
        AuditTrail(path, FakeClock()).write("x", "kim")
    path.with_name(name).unlink()
    assert not any(record["action"] == "audit.damaged" for record in records(path))


def test_an_anchor_that_may_not_be_read_is_an_error_and_never_damage(path, monkeypatch):
    written(path)
    monkeypatch.setattr(
        audit_files, "read_regular", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(AuditError, match="Permission denied"):
        AuditTrail(path, FakeClock()).write("x", "kim")
    assert len(records(path)) == 5


@pytest.mark.parametrize("name", ["audit.head.new", "audit.000000000006.torn", "audit.jsonl", "audit.lock"])
def test_links_are_not_followed(path, tmp_path, name):
    written(path)
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    if name.endswith(".torn"):
        with path.open("ab") as file:
            file.write(b'{"half')
    path.with_name(name).unlink(missing_ok=True)
    path.with_name(name).symlink_to(precious)
    if name in ("audit.jsonl", "audit.lock"):
        with pytest.raises(AuditError):
            AuditTrail(path, FakeClock()).write("x", "kim")
    else:
        AuditTrail(path, FakeClock()).write("x", "kim")
        assert verify(path).ok
    assert precious.read_text() == "precious\n"


def test_a_link_that_leads_nowhere_does_not_keep_the_verification_for_ever(path):
    written(path)
    path.with_name("audit.000000000001.jsonl").symlink_to("nowhere")
    with pytest.raises(OSError, match="link leads nowhere"):
        verify(path)


def test_a_line_without_end_is_no_record_and_takes_no_memory(path):
    written(path)
    with path.open("ab") as file:
        for _ in range(20):
            file.write(b"x" * 1_000_000)
        file.write(b"\n")
    assert verify(path).problem.line == 6
    trail = AuditTrail(path, FakeClock())
    trail.write("x", "kim")
    assert not verify(path).ok


def test_fields_without_end_are_cut_and_the_record_stays_sound(path):
    trail = AuditTrail(path, FakeClock())
    trail.write("config.refused", "kim", why="x" * 10_000_000, changes=["y"] * 1_000_000, deep={"a": ["z" * 100_000]})
    with pytest.raises(AuditError, match="bytes at most"):
        trail.write("config.refused", "kim", why=["x" * 60_000] * 1000)
    assert path.stat().st_size < 300_000
    assert verify(path).ok
    assert "10000000 characters" in records(path)[0]["why"]


def test_a_disk_that_takes_no_anchor_takes_no_record(path, monkeypatch):
    trail = written(path)
    monkeypatch.setattr(
        audit_files, "prepare_head", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(AuditError, match="No space left"):
        trail.write("x", "kim")
    monkeypatch.undo()
    assert len(records(path)) == 5
    trail.write("y", "kim")
    assert verify(path).ok


def test_where_a_trail_ends_is_told_whoever_wrote_last(path):
    trail = written(path)
    written(path, 2)
    assert (trail.head().n, trail.head().hash) == (7, records(path)[-1]["hash"])
