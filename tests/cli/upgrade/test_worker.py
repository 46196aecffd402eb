"""An upgrade ends well wherever it is broken off."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.upgrade import worker

OLD, NEW = "0.1.0+deb12", "0.2.0+deb12"
UP = {
    "sinks": [{"name": "central", "state": "up", "last_acknowledged_s": 0.4, "acknowledged_records": 7}],
    "devices": [{"name": "press-1", "state": "up"}],
}

IDLE = {**UP, "sinks": [{"name": "central", "state": "up", "last_acknowledged_s": 3600.0, "acknowledged_records": 0}]}
"""A sink that is connected, and for which there was nothing of late."""


class Cut(BaseException):
    """The power is gone."""


class Machine:
    """What dpkg and systemd would do; the power fails after `cut` things that were done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed, self.whole, self.active = OLD, True, True
        self.starts: set[str] = {OLD, NEW}
        """Versions that start."""
        self.recorded: list[str] = []
        self.now = 0.0
        self.cut = -1

    def happen(self) -> None:
        self.cut -= 1
        if self.cut == 0:
            raise Cut

    def call(self, *words: str) -> tuple[int, str]:
        self.happen()
        match words:
            case ("dpkg", "--install", path):
                self.whole = False
                self.happen()  # in the middle of it
                self.installed = OLD if Path(path) == worker.OLD else NEW
                self.whole = True
                self.active = self.installed in self.starts
                self.happen()  # behind it, before anybody knows
            case ("systemctl", "show", _, _, "ActiveState", _):
                return 0, "active" if self.active else "failed"
            case ("systemctl", "show", _, _, "MainPID", _):
                return 0, f"4711 {self.installed}"
            case ("systemctl", "start", _):
                self.active = self.whole and self.installed in self.starts
            case ("/usr/bin/edge-gateway", "upgrade", "--record"):
                self.recorded.append((worker.load() or {})["outcome"])
                worker.STATE.replace(worker.LAST)
        return 0, ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    place = tmp_path / "place"
    place.mkdir()
    for name, file in {
        "STATE": "upgrade.json", "LAST": "last.json", "PROGRESS": "progress", "NEW": "new.deb", "OLD": "old.deb",
        "CONFIG": "config.tar", "AT_BOOT": "at-boot", "UNIT": "unit", "BOOT": "boot",
    }.items():  # fmt: skip
        monkeypatch.setattr(worker, name, place / file)
    monkeypatch.setattr(worker, "PLACE", place)
    monkeypatch.setattr(worker, "call", machine.call)
    monkeypatch.setattr(worker, "asked", lambda: UP if machine.active else None)
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: setattr(machine, "now", machine.now + seconds))
    monkeypatch.setattr(worker.time, "monotonic", lambda: machine.now)
    save = worker.save
    monkeypatch.setattr(worker, "save", lambda state: (machine.happen(), save(state), machine.happen()))
    worker.BOOT.write_text("this boot")
    yield machine


def begin(machine: Machine, **other: Any) -> None:
    """As `edge-gateway upgrade` leaves it before the worker starts."""
    machine.cut, machine.installed, machine.whole, machine.active = -1, OLD, True, True
    machine.recorded.clear()
    for path in (worker.LAST, worker.PROGRESS):
        path.unlink(missing_ok=True)
    for path in (worker.NEW, worker.OLD):
        path.write_text("a package")
    worker.AT_BOOT.write_text("")
    state = {
        "step": "ready", "from": OLD, "to": NEW, "by": "kim", "boot": "this boot", "watch": 3, "active": True,
        "before": worker.standing(UP),
    }  # fmt: skip
    worker.save({**state, **other})


def ended(machine: Machine) -> dict[str, Any]:
    """What is left when all is over; the gateway runs."""
    assert machine.whole and machine.active
    assert not worker.STATE.exists() and not worker.AT_BOOT.exists()
    assert len(machine.recorded) == 1
    found: dict[str, Any] = json.loads(worker.LAST.read_text())
    return found


def test_a_good_version_stays(machine: Machine) -> None:
    begin(machine)
    assert worker.main() == 0
    assert (machine.installed, ended(machine)["installed"]) == (NEW, True)
    assert machine.recorded == [f"{NEW} is installed"]


def test_a_version_that_does_not_start_goes_and_the_old_one_runs(machine: Machine) -> None:
    begin(machine)
    machine.starts = {OLD}
    assert worker.main() == 0
    assert machine.installed == OLD
    assert "it was not ready" in ended(machine)["outcome"]


def test_a_version_that_ends_while_it_is_watched_goes(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(machine)
    shown = worker.shown
    monkeypatch.setattr(
        worker, "shown", lambda name: f"{machine.now}" if name == "MainPID" else shown(name)
    )  # another process each time
    assert worker.main() == 0
    assert machine.installed == OLD
    assert "did not go on running" in ended(machine)["outcome"]


@pytest.mark.parametrize("again", ["this boot", "another boot"])
@pytest.mark.parametrize("starts", [{OLD, NEW}, {OLD}], ids=["good", "bad"])
def test_wherever_the_power_fails_a_gateway_that_works_runs_in_the_end(
    machine: Machine, starts: set[str], again: str
) -> None:
    for cut in range(1, 200):
        begin(machine)
        machine.starts, machine.cut = starts, cut
        worker.BOOT.write_text("this boot")
        try:
            worker.main()
            break
        except Cut:
            machine.cut = -1
        worker.BOOT.write_text(again)
        if worker.STATE.exists():
            assert worker.AT_BOOT.exists() or worker.load()["step"] == "finished", "nobody would end it"
            machine.active = machine.whole and machine.installed in starts
            assert worker.main() == 0
        if worker.STATE.exists():  # cut between the end and its record, which the next upgrade writes
            assert worker.load()["step"] == "finished"
            machine.call("/usr/bin/edge-gateway", "upgrade", "--record")
        found = ended(machine)
        assert machine.installed == (NEW if found.get("installed") else OLD), f"cut {cut}"
        assert machine.installed in starts
    else:
        pytest.fail("it never came to its end")
    assert cut > 10


def test_power_that_fails_again_and_again_while_the_old_one_comes_back_does_no_harm(machine: Machine) -> None:
    begin(machine)
    for cut in (4, 3, 4, 5, 2, 6):
        machine.cut = cut
        with pytest.raises(Cut):
            worker.main()
    machine.cut = -1
    assert worker.main() == 0
    assert machine.installed == OLD
    assert "interrupted" in ended(machine)["outcome"]


def test_a_package_that_dpkg_refuses_changes_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(machine)
    call = worker.call
    refused = ("dpkg", "--install", str(worker.NEW))
    monkeypatch.setattr(
        worker, "call", lambda *words: (1, "dpkg: error: bad archive") if words == refused else call(*words)
    )
    assert worker.main() == 0
    assert machine.installed == OLD
    assert "bad archive" in ended(machine)["outcome"]


def test_it_waits_for_another_program_that_installs_packages(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(machine)
    call = worker.call
    busy = [(2, "dpkg: error: dpkg frontend lock was locked by another process with pid 5")] * 3
    monkeypatch.setattr(worker, "call", lambda *words: busy.pop() if words[0] == "dpkg" and busy else call(*words))
    assert worker.main() == 0
    assert (machine.installed, busy) == (NEW, [])
    assert "waiting for it" in worker.PROGRESS.read_text()


def test_the_configuration_is_what_it_was(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, changed, came = (tmp_path / name for name in ("kept.toml", "changed.toml", "came.toml"))
    for path in (kept, changed):
        path.write_text("as it was")
    with tarfile.open(worker.CONFIG, "w") as archive:
        for path in (kept, changed):
            archive.add(path, str(path.relative_to("/")))
    inode = kept.stat().st_ino
    changed.write_text("as the new version wrote it")
    came.write_text("came since")
    worker.restore()
    assert (changed.read_text(), came.read_text(), kept.stat().st_ino) == ("as it was", "came since", inode)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (UP, UP, ""),
        (UP, None, "does not answer"),
        (UP, {**UP, "sinks": [{"name": "central", "state": "up", "acknowledged_records": 0}]}, "no sink has acknowledged"),
        (UP, {**UP, "devices": [{"name": "press-1", "state": "down"}]}, "no device is up"),
        ({**UP, "sinks": [{"name": "central", "state": "down", "last_acknowledged_s": 9.0}]}, {**UP, "sinks": []}, ""),
        (IDLE, IDLE, ""),
        (IDLE, {**UP, "sinks": [{"name": "central", "state": "down"}]}, "no sink is connected; before, central was"),
        (None, {"sinks": [], "devices": []}, ""),
    ],
    ids=["as good", "silent", "delivers nothing", "reads nothing", "sink away before", "idle", "idle before", "not asked"],
)  # fmt: skip
def test_the_new_version_must_be_as_good_as_the_old_one(
    before: dict[str, Any] | None, after: dict[str, Any] | None, said: str
) -> None:
    found = worker.worse(worker.standing(before), after)
    assert said in found and bool(said) == bool(found)


def test_it_needs_nothing_of_the_package_that_it_replaces() -> None:
    text = Path(worker.__file__).read_text()
    assert "gateway." not in "\n".join(line for line in text.splitlines() if line.startswith(("import", "from")))
