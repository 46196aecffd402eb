"""`edge-gateway upgrade` and removal in a booted systemd, with real packages."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .booted import Booted
from .service import CONFIG, broker, pid, status, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PLACE = "/var/lib/edge-gateway-package"
STATE = f"{PLACE}/upgrade.json"
BROKER = 1887
LEFT = "find /etc /usr /var /run -xdev -name '*edge-gateway*'"
HOLD = "#!/bin/sh\nwhile test -e /run/hold; do sleep 0.1; done\n"


@pytest.fixture(scope="module")
def other(deb: Path, system: Booted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A whole package of another version, in the system. Its start waits for /run/hold to go, and fails where /run/bad is;
    where /run/deaf is, no sink of it hears what a broker acknowledges."""
    base = tmp_path_factory.mktemp("other")
    root = base / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, root], check=True, timeout=100)
    (init,) = root.glob("usr/lib/edge-gateway/lib/python3*/site-packages/gateway/__init__.py")
    _replace(root, init, '__version__ = "', '__version__ = "0.2.0"\n_BEFORE = "')
    run = init.parent / "cli/run.py"
    _replace(
        root,
        run,
        "    structlog = _structlog()",
        '    assert not os.path.exists("/run/bad")\n    structlog = _structlog()',
    )
    (sink,) = root.glob("usr/lib/edge-gateway/lib/python3*/site-packages/gateway/_plugins/mqtt/sink.py")
    _replace(
        root, sink, "        if done:\n", "        import os\n\n        if done and not os.path.exists('/run/deaf'):\n"
    )
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: 0.1.0", "Version: 0.2.0"))
    script = root / "DEBIAN/postinst"
    script.write_text(HOLD + script.read_text().removeprefix("#!/bin/sh\n"))
    made = base / "edge-gateway_0.2.0.deb"
    pack = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, made]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL, timeout=100)
    system.bring(made, "/srv/other.deb")
    yield "/srv/other.deb"


def _replace(root: Path, path: Path, before: str, after: str) -> None:
    """In a file, and its checksum with it."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    sums = root / "DEBIAN/md5sums"
    name = str(path.relative_to(root))
    lines = [line for line in sums.read_text().splitlines() if not line.endswith(f" {name}")]
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    sums.write_text("\n".join([*lines, f"{digest}  {name}"]) + "\n")


@pytest.fixture
def upgradable(running: Booted, deb: Path) -> Iterator[Booted]:
    """The service of this version; whatever a test has installed, it is there again behind it."""
    running.run("rm -f /run/bad /run/hold /run/deaf")
    yield running
    running.run("rm -f /run/bad /run/hold /run/deaf")
    if version(running) != "0.1.0":
        running.run(f"dpkg -i /srv/{deb.name}")


def version(system: Booted) -> str:
    return system.run("edge-gateway --version").stdout.split()[1]


def results(system: Booted) -> list[str]:
    records = [json.loads(line) for line in system.run("edge-gateway audit show --json -n 50").stdout.splitlines()]
    return [record["result"] for record in records if record["action"] == "upgrade.result"]


def step(system: Booted) -> str:
    told = system.run(f"cat {STATE}", check=False).stdout
    return str(json.loads(told)["step"]) if told else ""


def test_a_package_that_cannot_be_installed_is_refused_and_the_gateway_runs_on(upgradable: Booted, other: str) -> None:
    before = pid(upgradable)
    upgradable.run(f"head -c 20000000 {other} >/srv/half.deb")
    told = upgradable.run("edge-gateway upgrade /srv/half.deb", check=False)
    assert (
        told.returncode == 1
        and "/srv/half.deb is" in told.stderr
        and "Copy it here once more" in told.stderr.replace("copy", "Copy")
    )
    assert "no such file" in upgradable.run("edge-gateway upgrade /srv/none.deb", check=False).stderr
    for field, said in UNFIT.items():
        assert said in upgradable.run(f"{_made(field)}\nedge-gateway upgrade /srv/unfit.deb", check=False).stderr
    upgradable.run(f"mkdir -p {PLACE}; mount -t tmpfs -o size=8m,mode=700 none {PLACE}")
    full = upgradable.run(f"edge-gateway upgrade {other} || umount {PLACE}", check=False).stderr
    assert f"no room: {PLACE} has 8 MB free" in full
    upgradable.run("id guest1 >/dev/null 2>&1 || useradd guest1")
    assert "only root" in upgradable.run(f"runuser -u guest1 -- edge-gateway upgrade {other}", check=False).stderr
    assert (pid(upgradable), version(upgradable)) == (before, "0.1.0")
    assert upgradable.run(f"test -e {STATE}", check=False).returncode


UNFIT = {
    "Architecture: mips64el": "is for mips64el, this machine is",
    "Depends: python3.99\nEdge-Gateway-For: debian-99": "is for debian-99 and its python3.99, which is not installed here",
    "Version: 0.0.9": "0.0.9 is older than 0.1",
}


def _made(field: str) -> str:
    """A command that makes /srv/unfit.deb, of this machine but for a field."""
    fields = {"Package": "edge-gateway", "Version": "0.2.0", "Maintainer": "x", "Description": "x"}
    told = "\n".join(f"{key}: {value}" for key, value in fields.items() if f"{key}:" not in field)
    own = "" if "Architecture" in field else "Architecture: $(dpkg --print-architecture)"
    return (
        f"rm -rf /srv/unfit; mkdir -p /srv/unfit/DEBIAN; touch /srv/unfit/DEBIAN/md5sums\n"
        f"cat >/srv/unfit/DEBIAN/control <<END\n{told}\n{field}\n{own}\nEND\n"
        "sed -i '/^$/d' /srv/unfit/DEBIAN/control; dpkg-deb --build /srv/unfit /srv/unfit.deb >/dev/null"
    )


def test_an_upgrade_is_watched_and_audited_keeps_configuration_and_log_and_a_downgrade_too(
    upgradable: Booted, other: str, deb: Path
) -> None:
    upgradable.until(lambda: "accepted" in upgradable.run("edge-gateway outbox status", check=False).stdout, "a record")
    config = upgradable.run("sha256sum /etc/edge-gateway/config.toml").stdout
    for package, now in ((other, "0.2.0"), (f"/srv/{deb.name}", "0.1.0")):
        told = upgradable.run(f"edge-gateway upgrade {package} --watch 2s")
        assert "Ready. Watching it for 2 s" in told.stdout
        assert (version(upgradable), upgradable.property("ActiveState")) == (now, "active")
        assert results(upgradable)[-1].startswith(f"{now}+")
        upgradable.run("edge-gateway outbox verify")
    assert upgradable.run("sha256sum /etc/edge-gateway/config.toml").stdout == config
    assert upgradable.run("dpkg --audit; dpkg --verify edge-gateway").stdout == ""


def test_a_version_that_does_not_start_goes_and_the_old_one_runs_again(upgradable: Booted, other: str) -> None:
    upgradable.run("touch /run/bad")
    told = upgradable.run(f"edge-gateway upgrade {other} --watch 2s", check=False)
    assert told.returncode == 1
    assert "The new version does not stay" in told.stdout
    _is_as_before(upgradable)
    assert "is back" in results(upgradable)[-1]


def test_a_version_that_delivers_nothing_goes_where_the_old_one_did(upgradable: Booted, other: str) -> None:
    broker(upgradable, "deliveries", ["allow_anonymous true"], BROKER)
    write(upgradable, CONFIG.replace("port = 9", f"port = {BROKER}"))
    upgradable.run("systemctl restart edge-gateway; touch /run/deaf")
    upgradable.until(lambda: _acknowledged(upgradable) > 0, "the broker has acknowledged a record")
    told = upgradable.run(f"edge-gateway upgrade {other} --watch 2s", check=False)
    assert told.returncode == 1
    assert "no sink has acknowledged anything; before, central did" in told.stdout
    _is_as_before(upgradable)
    assert "is back: no sink has acknowledged anything" in results(upgradable)[-1]
    upgradable.until(lambda: _acknowledged(upgradable) > 0, "what was not acknowledged is delivered by the old version")
    upgradable.run("systemctl stop deliveries")


def _acknowledged(system: Booted) -> int:
    return sum(sink["acknowledged_records"] for sink in status(system)["sinks"])


def _is_as_before(system: Booted) -> None:
    system.until(lambda: system.property("ActiveState") == "active", "the gateway runs")
    assert version(system) == "0.1.0"
    assert system.run("dpkg --audit; dpkg --verify edge-gateway").stdout == ""
    assert system.run("dpkg-query -W -f '${db:Status-Abbrev}' edge-gateway").stdout.strip() == "ii"
    assert (
        system.run(f"ls {STATE} /etc/systemd/system/multi-user.target.wants", check=False).stdout.count("upgrade") == 0
    )


UNPACKED = "! cmp -s /usr/lib/edge-gateway/lib/python3*/site-packages/gateway/__init__.py /srv/init.py"
CUTS = {
    "unpacking": "ls /usr/lib/edge-gateway/lib/python3*/site-packages/numpy/*.dpkg-new >/dev/null 2>&1 || " + UNPACKED,
    "configuring": UNPACKED,
    "watching": "grep -q '\"watching\"' " + STATE,
}


@pytest.mark.parametrize("when", CUTS)
def test_after_a_power_cut_in_an_upgrade_the_gateway_that_ran_before_runs(
    upgradable: Booted, other: str, when: str
) -> None:
    """Whichever moment is hit, by the time that we look."""
    upgradable.run("cp /usr/lib/edge-gateway/lib/python3*/site-packages/gateway/__init__.py /srv/init.py")
    if when != "watching":
        upgradable.run("touch /run/hold")
    cut = f"until {CUTS[when]}; do sleep 0.02; done; systemctl kill -s KILL edge-gateway-upgrade edge-gateway"
    upgradable.run(f"systemd-run --collect --quiet sh -c '{cut}; touch /run/was-cut'")
    told = upgradable.run(f"edge-gateway upgrade {other} --watch 10min", check=False)
    assert told.returncode == 1
    upgradable.run("test -e /run/was-cut; rm -f /run/was-cut /run/hold")
    upgradable.run("systemctl start edge-gateway-upgrade")  # as the boot does, by a link; or its restart
    upgradable.until(lambda: step(upgradable) in ("", "finished"), "it came to its end", 180)
    _is_as_before(upgradable)
    assert "interrupted" in results(upgradable)[-1]


def test_removal_says_what_is_not_delivered_and_a_purge_keeps_the_log_unless_told(running: Booted, deb: Path) -> None:
    running.until(lambda: "waiting" in running.run("edge-gateway status", check=False).stdout, "a record waits")
    running.run(f"apt-get remove --yes edge-gateway; dpkg -i /srv/{deb.name}")
    assert running.property("ActiveState") == "active", "its configuration is there: it goes on"
    assert running.property("UnitFileState") == "enabled"
    told = running.run("apt-get purge --yes edge-gateway 2>&1").stdout
    assert "records for the sink central" in told
    assert "Kept: /var/lib/edge-gateway" in told
    assert set(running.run(LEFT).stdout.split()) == {"/var/lib/edge-gateway"}
    running.run("test -e /var/lib/edge-gateway/audit.jsonl")
    # Installed again, it goes on with its log; then all is to go.
    running.run(f"dpkg -i /srv/{deb.name}")
    write(running, CONFIG)
    running.run("systemctl start edge-gateway; edge-gateway audit verify")
    told = running.run("EDGE_GATEWAY_PURGE=everything dpkg --purge edge-gateway 2>&1").stdout
    assert "Kept" not in told
    assert set(running.run(LEFT).stdout.split()) == set()
    assert running.run("id gateway", check=False).returncode
    running.run(f"dpkg -i /srv/{deb.name}")  # as the other tests want it
