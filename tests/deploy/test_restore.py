"""A restore whose power went, in a booted systemd: the next start of the service ends it first."""

import pytest

from .booted import Booted
from .service import PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CUT = """\
import os, sys
from gateway.cli import main

def watch(event, arguments):
    if event == "os.rename" and str(arguments[0]).endswith(".restored"):
        os._exit(99)  # what was there is away, and what comes is not there yet

sys.addaudithook(watch)
main(["restore", "/srv/backup.tar.gz"])
"""


def test_the_service_ends_a_restore_that_was_broken_off_before_it_starts(running: Booted) -> None:
    running.run("edge-gateway backup /srv/backup.tar.gz")
    running.run("echo '# changed since' >>/etc/edge-gateway/config.toml; systemctl stop edge-gateway")
    running.run(f"cat >/srv/cut.py <<'END'\n{CUT}END")
    assert running.run(f"{PYTHON} -I /srv/cut.py", check=False).returncode == 99
    running.run("test -e /etc/edge-gateway/.restore.journal")
    running.run("systemctl start edge-gateway || { journalctl -n 40 --no-pager; exit 1; }")
    assert running.property("ActiveState") == "active"
    assert "has been carried through" in running.journal("-u edge-gateway-restore")
    assert running.run("grep -c 'changed since' /etc/edge-gateway/config.toml", check=False).stdout.strip() == "0"
    assert running.run("ls -A /etc/edge-gateway | grep -c '^.restore'", check=False).stdout.strip() == "0"
    assert "backup.restored" in running.run("edge-gateway audit show -n 5").stdout
    owners = "find /var/lib/edge-gateway -path '*/before-restore-*' -prune -o ! -user gateway -print"
    assert running.run(owners).stdout == "", "the service must be able to write on"
    running.run("rm -r /etc/edge-gateway/before-restore-* /var/lib/edge-gateway/before-restore-* || true")
