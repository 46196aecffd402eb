"""Verifying a trail that grows: only what is new is read, and nothing that was changed before it stays unseen."""

from pathlib import Path

import pytest

from gateway.core.clock import FakeClock
from gateway.trust import verify_on
from gateway.trust.audit import AuditTrail, verify
from gateway.trust.audit_files import parts, prepare_head
from gateway.trust.chain import Head
from gateway.trust.verify import TrailReport
from gateway.trust.verify_on import TrailWatch

LONG = 1e9


class Written:
    """A trail of several parts, and whoever watches it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        self.trail = AuditTrail(self.path, FakeClock(), part_size=4000)
        self.write(40)
        self.watch = TrailWatch(self.path)

    def write(self, count: int) -> None:
        for number in range(count):
            self.trail.write("write", "anna", new=number)

    def look(self) -> TrailReport:
        """As `verify` says it, too."""
        found = self.watch.look(LONG)
        assert found == verify(self.path)
        return found


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def lines_read(watch: TrailWatch, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of records that are looked at from now on."""
    read: list[int] = []
    line = verify_on.Walk.line

    def noted(self: verify_on.Walk, file: Path, number: int, data: bytes) -> None:
        line(self, file, number, data)
        read.append(self.end.n)

    monkeypatch.setattr(verify_on.Walk, "line", noted)
    return read


def test_what_was_verified_is_not_read_again(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(parts(written.path)) > 2
    assert written.look().ok
    read = lines_read(written.watch, monkeypatch)
    assert written.watch.look(LONG) is not None
    assert read == []
    written.write(15)  # and a part ends meanwhile
    report = written.watch.look(LONG)
    assert report is not None
    assert (report.ok, report.records, read) == (True, 55, list(range(41, 56)))


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_byte_that_is_changed_later_is_found(written: Written, which: int) -> None:
    assert written.look().ok
    part = parts(written.path)[which]
    data = bytearray(part.read_bytes())
    data[50] ^= 1
    part.write_bytes(data)
    assert not written.look().ok
    written.write(20)
    assert not written.look().ok


def test_a_part_that_goes_or_is_exchanged_is_found(written: Written) -> None:
    assert written.look().ok
    first, second, *_ = parts(written.path)
    kept = first.read_bytes()
    first.unlink()
    assert not written.look().ok
    first.write_bytes(kept)
    assert written.look().ok
    second.write_bytes(kept)
    assert not written.look().ok


def test_lines_cut_off_at_the_end_and_another_anchor_are_found(written: Written) -> None:
    assert written.look().ok
    data = written.path.read_bytes()
    written.path.write_bytes(data[: data[:-1].rfind(b"\n") + 1])
    assert not written.look().ok
    written.path.write_bytes(data)
    assert written.look().ok
    prepare_head(written.path, Head(7, "0" * 64)).replace(written.path.with_suffix(".head"))
    assert not written.look().ok
    written.path.with_suffix(".head").unlink()
    assert not written.look().ok


def test_damage_that_is_acknowledged_stays_so(written: Written) -> None:
    part = parts(written.path)[1]
    part.write_bytes(part.read_bytes().replace(b"anna", b"kim!", 1))
    assert not written.look().ok
    written.trail.acknowledge("quinn", "a test")
    assert written.look().ok
    written.write(20)
    report = written.look()
    assert (report.ok, len(report.acknowledged)) == (True, 1)


def test_a_torn_last_line_is_no_problem_and_read_when_it_is_whole(written: Written) -> None:
    assert written.look().ok
    with written.path.open("ab") as file:
        file.write(b'{"torn')
    assert written.look().torn == 6
    written.path.write_bytes(written.path.read_bytes()[:-6])
    assert written.look().ok


def test_a_look_that_is_too_short_goes_on_with_the_next(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_on, "_LOOK", 1)
    assert written.watch.look(-1.0) is None
    known = written.watch.records
    while (report := written.watch.look(-1.0)) is None:
        assert written.watch.records > known
        known = written.watch.records
    assert (report.ok, report.records) == (True, 40)


def test_all_of_it_is_read_anew_when_one_wants_it_and_every_day(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that the file system does not tell of."""
    assert written.look().ok
    read = lines_read(written.watch, monkeypatch)
    assert written.watch.look(LONG, anew=True) is not None
    assert len(read) == 40
    monkeypatch.setattr(verify_on, "ANEW", -1.0)
    assert written.watch.look(LONG) is not None
    assert len(read) == 80


def test_a_trail_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TrailWatch(tmp_path / "audit.jsonl").look(LONG)
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="audit"):
        TrailWatch(tmp_path / "audit.jsonl").look(LONG)
