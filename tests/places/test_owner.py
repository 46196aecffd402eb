"""Root works in a folder as its owner: links laid there lead nowhere, and what is made there the owner can read."""

import importlib
import os
import pkgutil
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway.cli
from gateway.cli import main
from gateway.core.clock import SystemClock
from gateway.places.owner import as_owner, owner
from gateway.trust.audit import AuditTrail, verify
from tests.peers.certificates import Authority

CONFIG = """[gateway]
name = "gw"
state_dir = "state"
[[device]]
name = "a"
driver = "simulated"
scan = "1s"
[device.tags]
t = { wave = "sine", mean = 1, amplitude = 1, period = "1min" }
"""
UID, GID = 61_234, 61_235
"""Of nobody on this machine."""
MEMBER, STRANGER = 61_236, 61_237

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, who may become another user: sudo make test")


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """All that commands import when they are called: this machine's Python may lie where only root reads."""
    for module in pkgutil.walk_packages(gateway.cli.__path__, "gateway.cli."):
        importlib.import_module(module.name)
    for name in ("cryptography.x509", "gateway.detect.explain", "gateway.alarms.evidence", "encodings.idna"):
        importlib.import_module(name)
    Authority(Path(tempfile.mkdtemp()))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody may enter, with the state directory of a gateway that runs as another user."""
    place = Path(tempfile.mkdtemp(prefix="owner-"))
    place.chmod(0o755)
    state = place / "state"
    state.mkdir(mode=0o750)
    os.chown(state, UID, GID)
    (place / "config.toml").write_text('[gateway]\nname = "gw"\nstate_dir = "state"\n')
    monkeypatch.setenv("EDGE_GATEWAY_CONFIG", str(place / "config.toml"))
    monkeypatch.setenv("EDGE_GATEWAY_SOCKET", str(place / "no.sock"))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def thumbprint(place: Path) -> str:
    """A certificate that the daemon has refused, of a server that it met."""
    issued = Authority(place).issue("plc-1")
    with as_owner(place / "state"):
        rejected = place / "state/pki/opcua/rejected"
        rejected.mkdir(parents=True, mode=0o700)
    (rejected / "plc-1.pem").write_bytes(issued.certificate.read_bytes())
    os.chown(rejected / "plc-1.pem", UID, GID)
    from gateway.trust.certificates import certificates

    return certificates(place / "state/pki/opcua")[0].thumbprint


def owners(folder: Path) -> set[int]:
    return {os.lstat(path).st_uid for path in (folder, *folder.rglob("*"))}


def as_user(uid: int, groups: list[int], *command: str) -> tuple[int, str]:
    """Exit code and output of a command that another user gives."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            for number in (1, 2):
                os.dup2(write, number)
            sys.stdout = sys.stderr = open(write, "w", closefd=False)  # noqa: SIM115
            code = main(list(command))
            sys.stdout.flush()
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_what_root_decides_the_daemon_can_read_and_all_of_it_is_the_daemons(place: Path, thumbprint: str) -> None:
    assert main(["trust", "accept", thumbprint, "--reason", "new PLC"]) == 0
    assert main(["trust", "revoke", thumbprint]) == 0
    assert main(["trust", "accept", thumbprint]) == 0
    assert owners(place / "state") == {UID}
    assert os.geteuid() == 0
    code, said = as_user(UID, [GID], "trust", "list")
    assert (code, "trusted" in said) == (0, True)
    code, said = as_user(UID, [GID], "audit", "verify")
    assert (code, "3 records" in said) == (0, True), said


def test_a_member_of_the_group_verifies_what_root_has_written_and_a_stranger_may_not(
    place: Path, thumbprint: str
) -> None:
    assert main(["trust", "accept", thumbprint]) == 0
    code, said = as_user(MEMBER, [GID], "audit", "verify")
    assert code == 0, said
    code, said = as_user(STRANGER, [STRANGER], "audit", "verify")
    assert code == 1
    assert "you may not read" in said
    code, said = as_user(MEMBER, [GID], "trust", "accept", thumbprint)
    assert code == 1
    assert "sudo" in said


def test_who_did_it_is_said_by_the_kernel(place: Path, thumbprint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    assert main(["trust", "accept", thumbprint]) == 0
    told = (place / "state/audit.jsonl").read_text()
    assert "somebody-else" not in told
    assert '"who":"' in told
    assert "root" in told


@pytest.mark.parametrize("name", ["audit.head.new", "audit.lock", "audit.jsonl", "audit.head"])
def test_a_link_that_the_daemons_user_has_laid_harms_no_file_of_root(place: Path, thumbprint: str, name: str) -> None:
    precious = place / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    link = place / "state" / name
    link.symlink_to(precious)
    os.lchown(link, UID, GID)
    main(["trust", "accept", thumbprint])
    assert precious.read_text() == "precious"
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


def test_output_goes_where_it_is_told_as_who_owns_that_folder(place: Path, tmp_path: Path) -> None:
    from gateway.cli.models.learn import _write

    precious = place / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    (place / "state/sub").symlink_to(place)
    os.lchown(place / "state/sub", UID, GID)
    with as_owner(place / "state"):
        _write(tmp_path / "model.onnx", b"model")
        with pytest.raises(PermissionError):
            _write(place / "state/sub/precious", b"model")
    assert precious.read_text() == "precious"
    assert (tmp_path / "model.onnx").read_bytes() == b"model"
    assert os.lstat(tmp_path / "model.onnx").st_uid == 0


@pytest.mark.parametrize(
    "command",
    ["audit show", "audit verify", "trust list", "outbox status", "outbox verify", "outbox peek", "outbox dead list",
     "outbox export", "receipts", "explain 123456", "check"],
)  # fmt: skip
@pytest.mark.parametrize("started", [False, True])
def test_no_command_of_root_leaves_anything_of_roots_in_the_state_directory(
    place: Path, command: str, started: bool
) -> None:
    if started:
        with as_owner(place / "state"):
            AuditTrail(place / "state/audit.jsonl", SystemClock()).write("gateway.start", "system")
            (place / "state/outbox").mkdir()
    main(command.split())
    assert owners(place / "state") == {UID}
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_check_by_root_names_what_the_daemons_user_may_not_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "config.toml").write_text(CONFIG)
    (place / "config.toml").chmod(0o600)
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert f"uid {UID}, as whom the gateway runs, may not read {place / 'config.toml'}" in said
    (place / "config.toml").chmod(0o644)
    assert main(["check"]) == 0


def test_the_owner_of_a_path_is_who_has_its_first_step_that_is_not_roots(place: Path) -> None:
    assert owner(place) == (0, 0)
    assert owner(place / "state/not/there") == (UID, GID)
    (place / "root-link").symlink_to(place / "state")
    assert owner(place / "root-link/audit.jsonl") == (UID, GID)
    (place / "state/home").symlink_to("/root")
    os.lchown(place / "state/home", UID, GID)
    assert owner(place / "state/home/.ssh") == (UID, GID)


def test_the_trail_stays_sound_where_root_and_the_daemon_write_in_turn(place: Path) -> None:
    path = place / "state/audit.jsonl"
    for number in range(6):
        with as_owner(place / "state"):
            AuditTrail(path, SystemClock()).write("x", f"writer {number}")
    assert verify(path).ok


def test_root_does_not_run_a_gateway_whose_state_is_another_users(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "config.toml").write_text(CONFIG)
    assert main(["run"]) == 1
    assert f"belongs to uid {UID}" in capsys.readouterr().err
    assert owners(place / "state") == {UID}
