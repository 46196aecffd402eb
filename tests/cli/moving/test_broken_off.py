"""A restore that is killed, or whose power goes, at any of its steps: the old or the new, never something between."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.moving import sealing
from gateway.cli.moving.moves import JOURNAL
from gateway.cli.run import _nothing_half_restored
from gateway.trust.audit_files import tail as last_records

KILLED = 99


def changes(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether something on disk is about to change."""
    if event == "open":
        return isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def moves_aside(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether a file that was there is about to go out of the way."""
    return event == "os.rename" and "before-restore-" in str(arguments[1])


@pytest.fixture(autouse=True)
def quick_key(monkeypatch):
    """A key that costs a guesser nothing, and a test neither."""
    monkeypatch.setattr(sealing, "_LOG_N", 10)


def killed_at(step: int, work: Callable[[], int], counts: Callable[..., bool] = changes) -> bool:
    """Do it in a process of its own, which ends without a word when so many things that count have happened and the next one
    is about to. False where it came to its end before."""
    child = os.fork()
    if not child:
        left = [step]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if counts(event, arguments):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(KILLED)

        sys.addaudithook(watch)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def standing(site) -> dict[str, bytes]:
    """What counts, without what was put aside, and without what grows with each restore."""
    return {
        name: data
        for name, data in site.files().items()
        if not name.startswith((".restore", "before-restore-", "state/before-restore-"))
        and not Path(name).name.startswith("audit.")
    }


@pytest.fixture
def changed(site, tmp_path, passphrase) -> Path:
    """A backup of a site, in which much was changed since: files came, went, and say something else."""
    file = tmp_path / "b.tar.gz"
    made = ["backup", str(file), "--secrets", "--passphrase-file", str(passphrase), "--config", str(site.config)]
    assert main(made) == 0
    site.config.write_text("# changed since\n" + site.config.read_text())
    (site.folder / "tags/press.csv").write_text("name,address,type\nwater,40003,float32\n")
    (site.folder / "own.key").write_text("another key")
    (site.folder / "ca.pem").unlink()
    (site.state / "alarms.json").write_text('{"alarms": ["since"]}')
    return file


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_restore_that_is_killed_at_any_step_is_undone_or_carried_through(
    site, changed, passphrase, tmp_path, stride, capsys
):
    def restoring() -> int:
        return main(["restore", str(changed), "--passphrase-file", str(passphrase), "--config", str(site.config)])

    def resuming() -> int:
        return main(["restore", "--resume", "--config", str(site.config)])

    old, ways = standing(site), set()
    saved = tmp_path / "saved"
    _copy(site.folder, saved)
    step = 0
    while killed_at(step, restoring):
        killed_at(step % 7, resuming)  # and whoever ends it is killed too
        assert resuming() == 0, step
        found = standing(site)
        new = "# changed since" not in found["config.toml"].decode()
        ways.add(new)
        if new:
            assert found["ca.pem"] and b"oil" in found["tags/press.csv"] and b"another" not in found["own.key"], step
            assert b"since" not in found["state/alarms.json"], step
            assert last_records(site.state / "audit.jsonl", 1)[0]["action"] == "backup.restored", step
        else:
            assert found == old, step
        assert not (site.folder / JOURNAL).exists()
        assert not list(site.folder.rglob(".*.restored")), step
        _copy(saved, site.folder)
        step += stride
        capsys.readouterr()
    assert step > 30
    assert ways == {False, True}
    assert restoring() == 0
    assert not list(site.folder.glob(".restore*")), "of those that were killed"


def _copy(source: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to)


def _cut(site, changed, passphrase) -> None:
    """As a power cut leaves it, behind the second file that was moved."""

    def restoring() -> int:
        return main(["restore", str(changed), "--passphrase-file", str(passphrase), "--config", str(site.config)])

    assert killed_at(2, restoring, moves_aside)
    assert (site.folder / JOURNAL).exists()


def test_a_start_ends_it_before_anything_of_it_is_believed(site, changed, passphrase, capsys):
    _cut(site, changed, passphrase)
    assert _nothing_half_restored(site.config)
    assert "has been carried through" in capsys.readouterr().err
    assert not (site.folder / JOURNAL).exists()


def test_the_next_restore_ends_it_first(site, changed, passphrase, capsys):
    _cut(site, changed, passphrase)
    assert main(["restore", str(changed), "--without-secrets", "--config", str(site.config)]) == 0
    assert not (site.folder / JOURNAL).exists()
    assert main(["restore", "--resume", "--config", str(site.config)]) == 0
    assert "no restore was broken off" in capsys.readouterr().out


@pytest.mark.parametrize("journal", ["", "forward\n", "forward\n{}", 'back   \n{"moves": [[1]]}', "\0" * 4096])
def test_a_journal_that_is_damaged_moves_nothing_and_is_named(site, capsys, journal):
    (site.folder / JOURNAL).write_text(journal)
    before = site.files()
    assert main(["restore", "--resume", "--config", str(site.config)]) == 1
    assert f"{JOURNAL} is damaged" in capsys.readouterr().err
    assert main(["run", "--config", str(site.config)]) == 78
    assert "a restore was broken off" in capsys.readouterr().err
    assert site.files() == before
