"""`edge-gateway backup` and `restore`: all of a gateway, in one file, onto the same or another PC."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading

import pytest

import gateway
from gateway.cli import main
from gateway.cli.moving import archive, moves, sealing
from gateway.cli.moving.archive import TAIL, ArchiveError, tail, unpack
from gateway.core.context import Context
from gateway.core.record import Lane
from gateway.outbox.format import identify
from gateway.outbox.inspect import LogFiles, verify
from gateway.supervise.owned import owned
from gateway.trust.audit import verify as verify_trail
from gateway.trust.audit_files import tail as last_records
from tests.cli.moving.conftest import SECRETS, fill_log
from tests.outbox.making import Log, fill, spec


@pytest.fixture(autouse=True)
def quick_key(monkeypatch):
    """A key that costs a guesser nothing, and a test neither."""
    monkeypatch.setattr(sealing, "_LOG_N", 10)


def backup(site, path, *options) -> int:
    return main(["backup", str(path), "--config", str(site.config), *map(str, options)])


def restored(site, path, *options) -> int:
    return main(["restore", str(path), "--config", str(site.config), *map(str, options)])


def names(path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def packed(files: dict[str, bytes], *odd: tarfile.TarInfo, about=None) -> bytes:
    """A backup of these files, with a right hash at its end."""
    about = {"format": 1, "version": "0.1.0", "config": "config.toml", **(about or {})}
    whole = {"backup.json": json.dumps(about).encode(), **files}
    listed = [
        {"name": name, "size": len(data), "mode": 0o600, "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in whole.items()
    ]
    raw = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packing, tarfile.open(fileobj=packing, mode="w") as tar:
        for name, data in [*whole.items(), *[(None, info) for info in odd]]:
            if name is None:
                tar.addfile(data)
                continue
            tar.addfile(_info(name, len(data)), io.BytesIO(data))
        manifest = json.dumps({"files": listed}).encode()
        tar.addfile(_info("manifest.json", len(manifest)), io.BytesIO(manifest))
    return raw.getvalue() + tail(hashlib.sha256(raw.getvalue()).digest())


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def test_another_pc_gets_all_of_it(site, other, tmp_path, passphrase, credentials, capsys):
    before = site.files()
    file = tmp_path / "gw1.egw.tar.gz"
    assert backup(site, file, "--secrets", "--passphrase-file", passphrase) == 0, capsys.readouterr()
    (credentials / "mqtt-password").unlink()
    assert restored(other, file, "--passphrase-file", passphrase) == 0, capsys.readouterr().err
    after = other.files()
    trail = after.pop("state/audit.jsonl"), after.pop("state/audit.head")
    assert after == {name: data for name, data in before.items() if not name.startswith("state/audit.")}
    assert trail[0].startswith(before["state/audit.jsonl"])
    assert (credentials / "mqtt-password").read_text() == "credential-of-the-service"
    assert (other.folder / "own.key").stat().st_mode & 0o777 == 0o600


def test_the_audit_trail_goes_on_and_says_that_it_was_restored(site, other, tmp_path):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    assert restored(other, file) == 0
    (record,) = last_records(other.state / "audit.jsonl", 1)
    assert (record["action"], record["n"]) == ("backup.restored", 4)
    assert record["machine"] and record["made"]
    assert verify_trail(other.state / "audit.jsonl").ok


def test_a_trail_that_goes_on_here_stays_and_the_older_one_lies_beside_it(site, tmp_path):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    before = (site.state / "audit.jsonl").read_bytes()
    assert restored(site, file) == 0
    assert (site.state / "audit.jsonl").read_bytes().startswith(before)
    assert (site.state / "audit-of-backup/audit.jsonl").read_bytes() == before


def test_without_secrets_none_is_in_the_file_and_each_is_named(site, tmp_path, capsys):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    content = b"".join(names(file).values())
    for name, secret in SECRETS.items():
        assert secret.strip() not in content
        assert any(str(site.folder / name) in line for line in told["left_out"]), name
    assert b"credential-of-the-service" not in content


def test_secrets_are_in_it_only_encrypted(site, tmp_path, passphrase):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file, "--secrets", "--passphrase-file", passphrase) == 0
    content = b"".join(names(file).values())
    assert not [name for name, secret in SECRETS.items() if secret.strip() in content]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_wrong_passphrase_changes_nothing(site, other, tmp_path, passphrase, capsys):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file, "--secrets", "--passphrase-file", passphrase) == 0
    passphrase.write_text("another one than before")
    assert restored(other, file, "--passphrase-file", passphrase) == 1
    assert "not the passphrase" in capsys.readouterr().err
    assert list(other.folder.iterdir()) == []


def test_a_short_passphrase_is_refused(site, tmp_path, passphrase, capsys):
    passphrase.write_text("short")
    assert backup(site, tmp_path / "b.tar.gz", "--secrets", "--passphrase-file", passphrase) == 1
    assert "12 characters" in capsys.readouterr().err
    assert not (tmp_path / "b.tar.gz").exists()


def test_every_changed_byte_and_every_missing_end_is_seen_before_anything_is_touched(site, other, tmp_path):
    file, bent = tmp_path / "b.tar.gz", tmp_path / "bent.tar.gz"
    assert backup(site, file) == 0
    whole = file.read_bytes()
    for at in [*range(0, len(whole), max(1, len(whole) // 60)), *range(len(whole) - TAIL, len(whole)), 4, 9]:
        bent.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert restored(other, bent) == 1, at
    for size in (0, 1, 20, len(whole) // 2, len(whole) - TAIL, len(whole) - 1):
        bent.write_bytes(whole[:size])
        assert restored(other, bent) == 1, size
    bent.write_bytes(whole + b"\0")
    assert restored(other, bent) == 1
    assert list(other.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../evil", "config/../../evil", "/etc/passwd", "config//x", "config/./x", "elsewhere/x", "config", "config/a\nb",
     "state\\..\\x", f"config/{'x' * 1200}"],
)  # fmt: skip
def test_a_file_that_would_lead_out_is_refused(other, tmp_path, name, capsys):
    file = tmp_path / "evil.tar.gz"
    file.write_bytes(packed({"config/config.toml": b"", name: b"evil"}))
    assert restored(other, file) == 1
    assert "leads out of it" in capsys.readouterr().err
    assert list(other.folder.iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(other, tmp_path, kind, capsys):
    odd = tarfile.TarInfo("config/link")
    odd.type, odd.linkname = kind, "/etc/shadow"
    file = tmp_path / "evil.tar.gz"
    file.write_bytes(packed({"config/config.toml": b""}, odd))
    assert restored(other, file) == 1
    assert "no plain file" in capsys.readouterr().err
    assert list(other.folder.iterdir()) == []


def test_a_bomb_is_refused_before_it_fills_the_disk(other, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(archive, "_SMALL", 1024 * 1024)
    file = tmp_path / "bomb.tar.gz"
    file.write_bytes(packed({"config/config.toml": b"", "state/zeros": bytes(64 * 1024 * 1024)}))
    assert file.stat().st_size < 200_000
    assert restored(other, file) == 1
    assert "made to fill a disk" in capsys.readouterr().err
    assert list(other.folder.iterdir()) == []


def test_one_that_has_no_room_is_refused(tmp_path):
    file = tmp_path / "large.tar.gz"
    file.write_bytes(packed({"config/config.toml": bytes(100_000)}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveError, match="make room"):
        unpack(file, tmp_path / "folder", 50_000)


def test_a_header_without_end_costs_no_memory(tmp_path):
    """tarfile reads the header of long names whole."""
    raw = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packing:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 512 * 1024 * 1024
        packing.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(512):
            packing.write(bytes(1024 * 1024))
    file = tmp_path / "evil.tar.gz"
    file.write_bytes(raw.getvalue() + tail(hashlib.sha256(raw.getvalue()).digest()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveError, match="no end"):
        unpack(file, tmp_path / "folder", 1 << 40)


@pytest.mark.parametrize(
    ("files", "about", "said"),
    [
        ({}, {}, "no configuration"),
        ({"config/config.toml": b""}, {"format": 2, "version": "9.9"}, "newer version"),
        ({"config/config.toml": b""}, {"version": "999.0.1"}, "install that version here first"),
        ({"config/config.toml": b""}, {"format": "x"}, "does not say what it is"),
    ],
)
def test_what_this_version_cannot_restore_is_refused_in_words(other, tmp_path, files, about, said, capsys):
    file = tmp_path / "odd.tar.gz"
    file.write_bytes(packed(files, about=about))
    assert restored(other, file) == 1
    assert said in capsys.readouterr().err
    assert [path.name for path in other.folder.iterdir()] == []


def test_any_other_file_is_no_backup(other, tmp_path, capsys):
    for content in (b"", b"PK\3\4", gzip.compress(b"hello"), os.urandom(5000)):
        (tmp_path / "x").write_bytes(content)
        assert restored(other, tmp_path / "x") == 1
    assert restored(other, tmp_path / "none") == 1
    assert restored(other, tmp_path) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_another_version_lists_otherwise_is_refused(other, tmp_path):
    whole = packed({"config/config.toml": b"a"})
    raw = gzip.decompress(whole).replace(b'"size": 1,', b'"size": 2,')
    body = gzip.compress(raw, mtime=0)
    file = tmp_path / "odd.tar.gz"
    file.write_bytes(body + tail(hashlib.sha256(body).digest()))
    assert restored(other, file) == 1


def test_check_says_what_is_in_it_and_changes_nothing(site, other, tmp_path, capsys):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    assert restored(other, file, "--check") == 0
    assert "is whole" in capsys.readouterr().out
    assert list(other.folder.iterdir()) == []


def test_it_does_not_touch_a_gateway_that_runs(site, tmp_path, capsys):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    before = site.files()
    with owned(site.state):
        assert restored(site, file) == 1
    assert "stop it first" in capsys.readouterr().err
    assert site.files() == before


def test_what_was_there_is_kept_aside(site, tmp_path):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    site.config.write_text("# changed since\n" + site.config.read_text())
    assert restored(site, file) == 0
    assert not site.config.read_text().startswith("# changed")
    (kept,) = site.folder.glob("before-restore-*/config.toml")
    assert kept.read_text().startswith("# changed since")


def test_what_root_restores_belongs_to_whom_its_folder_belongs(site, other, tmp_path):
    """The service, in the group of the folder, must read its tag files."""
    if os.getuid():
        pytest.skip("only root gives files away: sudo make test")
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    os.chown(other.folder, 0, 4711)
    assert restored(other, file) == 0
    for name in ("config.toml", "tags", "tags/press.csv"):
        assert (other.folder / name).stat().st_gid == 4711, name
    assert (other.folder / "tags").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("after", range(0, 8, 2))
def test_a_restore_that_fails_leaves_all_as_it_was(site, tmp_path, monkeypatch, after):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    site.config.write_text("# changed since\n" + site.config.read_text())
    before = site.files()
    taking, left = moves._take_place, [after]

    def fails(move):
        if not left[0]:
            raise OSError(28, "No space left on device", str(move.target))
        left[0] -= 1
        taking(move)

    monkeypatch.setattr(moves, "_take_place", fails)
    with contextlib.suppress(OSError):
        assert restored(site, file) == 1
    assert site.files() == before


async def test_records_that_nobody_has_are_restored_and_no_number_is_given_twice(site, other, tmp_path, capsys):
    log_id = await fill_log(site)
    file = tmp_path / "b.tar.gz"
    assert await asyncio.to_thread(backup, site, file, "--outbox", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["log"] == log_id
    assert told["sinks"]["central"]["data"] == 5
    assert await asyncio.to_thread(restored, other, file) == 0
    (folder,) = (other.state / "outbox/set-aside").iterdir()
    assert folder.name == f"{log_id}-restored"
    assert str(folder) in capsys.readouterr().out
    files = LogFiles(folder)
    report = verify(files)
    assert not report.problems
    assert sum(1 for _ in files.heads(files.segments(Lane.DATA))) == 20
    assert identify(other.state / "outbox").log != log_id
    assert main(["outbox", "verify", "--dir", str(folder)]) == 0


async def test_a_backup_of_a_log_that_is_being_written_is_a_log(site, other, tmp_path):
    """Made while readings come in: what was accepted before is in it, whole, and restore reads it."""
    file = tmp_path / "b.tar.gz"
    log = Log(site.state / "outbox")
    async with log.opened() as outbox:
        device = outbox.bind(spec(), Context(site="north"))
        await fill(outbox, device, range(50))
        made: list[int] = []
        thread = threading.Thread(target=lambda: made.append(backup(site, file, "--outbox")))
        thread.start()
        number = 50
        while thread.is_alive():
            await fill(outbox, device, range(number, number + 5))
            number += 5
        thread.join()
    assert made == [0]
    assert await asyncio.to_thread(restored, other, file) == 0
    (folder,) = (other.state / "outbox/set-aside").iterdir()
    files = LogFiles(folder)
    assert not verify(files).problems
    assert sum(1 for _ in files.heads(files.segments(Lane.DATA))) >= 50


async def test_a_log_that_is_here_already_stays_as_it_is(site, tmp_path, capsys):
    await fill_log(site)
    file = tmp_path / "b.tar.gz"
    assert await asyncio.to_thread(backup, site, file, "--outbox") == 0
    before = {name: data for name, data in site.files().items() if "outbox/" in name}
    assert await asyncio.to_thread(restored, site, file) == 0
    assert {name: data for name, data in site.files().items() if "outbox/" in name} == before
    assert "on this machine already" in capsys.readouterr().out


def test_an_unpacker_of_the_shelf_can_look_into_it(site, tmp_path):
    file = tmp_path / "b.tar.gz"
    assert backup(site, file) == 0
    about = json.loads(names(file)["backup.json"])
    assert (about["format"], about["gateway"], about["version"]) == (1, "gw1", gateway.__version__)


def test_a_backup_is_not_written_over_by_a_slip(site, tmp_path, capsys):
    file = tmp_path / "b.tar.gz"
    file.write_text("precious")
    assert backup(site, file) == 1
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "precious"
    assert backup(site, file, "--force") == 0


def test_a_configuration_that_does_not_pass_check_is_saved_all_the_same(site, tmp_path, capsys):
    site.config.write_text(site.config.read_text() + "\n[[device]]\nname = 3\n")
    file = tmp_path / "b.tar.gz"
    assert backup(site, file, "--json") == 0
    assert any("does not pass check" in line for line in json.loads(capsys.readouterr().out)["left_out"])
    assert "config/config.toml" in names(file)
