"""Every command in the booted system, by root, by a member of the group, and by a stranger: done, or refused in words."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.frame import COMMANDS

from .booted import Booted
from .service import CONFIG, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

USERS = ("root", "tech", "guest1")
ANY = "x"
RIGHTS = {
    "run": "---", "check": "++-", "config show --effective": "++-", "config diff": "+--", "demo --keep /proc/none/demo": ANY,
    "status": "++-", "top --once": "++-", "open": "++-", "tags": "++-", "read mixer-1/temperature": "++-",
    "probe mixer-1 hr:0": "++-", "setup": "+--", "import telegraf /srv/rights/telegraf.conf": "+++",
    "discover 127.0.0.0/30": "+++", "browse mixer-1": "++-", "write mixer-1/temperature 3 --reason test": "+--",
    "call mixer-1 none none --reason test": "+--", "alarms": "++-", "learn --device mixer-1 -o /tmp/$USER.onnx": "++-",
    "models": "++-", "explain 123456": "++-", "reload": "+--", "outbox status": "++-", "outbox verify": "++-",
    "outbox peek": "++-", "outbox export": "++-", "outbox dead list": "++-", "outbox dead drop --all": "+--",
    "outbox drain --timeout 1s": "++-", "receipts --verify": "++-", "trust list": "+--", f"trust accept {64 * '0'}": "+--",
    "secret set none": "+--", "secret list": "+--", "secret remove none": "+--", "user list": "++-",
    "user add anna --role viewer --password-stdin": "+--", "audit show": "++-", "audit verify": "++-",
    "compare --broker 127.0.0.1:9 --ours a/# --theirs b/# --for 1s": "+++", "backup /tmp/$USER-backup.tar.gz": "++-",
    "restore /srv/rights/none.tar.gz": ANY, "support-bundle /tmp/$USER-bundle.tar.gz": ANY,
    "selftest outbox --cycles 1 --dir /proc/none": ANY, "plugin list": "+++", "plugin new /proc/none/x": ANY,
    "upgrade /srv/rights/none.deb": "+--", "upgrade --resume": "+--", "help setup": "+++", "schema": "+++",
    "batch list": "++-", "batch start B-1 --device mixer-1": "++-",
    "history import --device mixer-1 --from 2026-11-22": "+--",
}  # fmt: skip
"""What each may, in the order of USERS: + has a right to it, whatever comes of it; - is refused. ANY has nothing to do with
rights. Without a terminal."""
REFUSED = re.compile(
    r"you may not|needs the role|only root|no right to it|may not be read|Permission denied|usermod -aG|start the gateway as"
)
RUN = """
user=$1 n=0
cd /srv/rights
export USER=$user
while read -r line; do
    n=$((n + 1))
    code=0
    eval "timeout 250 runuser -u $user -- edge-gateway $line" </srv/rights/typed >"$user-$n.out" 2>"$user-$n.err" || code=$?
    echo $code >"$user-$n.code"
done <lines
"""


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    code: int
    said: str


def _done(folder: Path, user: str, number: int) -> Done:
    out, err, code = ((folder / f"{user}-{number}.{what}").read_text() for what in ("out", "err", "code"))
    return Done(int(code), out[:5000] + err)


@pytest.fixture(scope="module")
def answers(system: Booted) -> dict[str, list[Done]]:
    """Of each command line, by each user."""
    write(system, CONFIG)
    system.run("systemctl reset-failed edge-gateway; systemctl restart edge-gateway")
    system.run("id tech >/dev/null 2>&1 || useradd --groups gateway tech; id guest1 >/dev/null 2>&1 || useradd guest1")
    system.run("rm -rf /srv/rights; mkdir /srv/rights; echo '[[inputs.modbus]]' >/srv/rights/telegraf.conf")
    system.run("echo correct-horse-battery-staple >/srv/rights/typed")
    folder = system.path("/srv/rights")
    (folder / "lines").write_text("".join(f"{line}\n" for line in RIGHTS))
    (folder / "run.sh").write_text(RUN)
    system.run(f"for user in {' '.join(USERS)}; do sh /srv/rights/run.sh $user & done; wait")
    return {line: [_done(folder, user, number) for user in USERS] for number, line in enumerate(RIGHTS, 1)}


def test_the_table_has_every_command() -> None:
    assert {line.split()[0] for line in RIGHTS} == set(COMMANDS)


@pytest.mark.parametrize("line", RIGHTS)
def test_whoever_has_no_right_is_told_so_and_nobody_sees_a_traceback(line: str, answers: dict[str, list[Done]]) -> None:
    for user, may, done in zip(USERS, RIGHTS[line] * (3 if RIGHTS[line] == ANY else 1), answers[line], strict=True):
        assert "Traceback" not in done.said, user
        assert "Error:" not in done.said, user
        assert done.code in (0, 1, 2, 3, 78) and done.said.strip(), (user, done)
        if may != ANY:
            assert (done.code != 0 and bool(REFUSED.search(done.said))) == (may == "-"), (user, done)


def test_whoever_ran_it_what_it_made_is_the_services(answers: dict[str, list[Done]], system: Booted) -> None:
    assert len(answers) == len(RIGHTS)
    assert system.run("find /var/lib/edge-gateway ! -user gateway -o ! -group gateway").stdout == ""
    system.run("runuser -u gateway -- edge-gateway audit verify; rm -f /var/lib/edge-gateway/users.json")
