"""A secret in the booted system: from the terminal to the broker, and nowhere else."""

import json
from collections.abc import Iterator

import pytest

from .booted import Booted
from .service import CONFIG, broker, pid, states, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PORT = 1886
WORD, ANOTHER = "old-word-of-the-broker", "new-word-of-the-broker"
LOGIN = 'port = 9\nuser = "gw1"\nallow_plain_password = true\npassword = { credential = "mqtt-password" }'
FOLDERS = "/etc/edge-gateway/credentials /etc/edge-gateway/credentials.encrypted"


@pytest.fixture(scope="module")
def guarded(system: Booted) -> Iterator[Booted]:
    """A broker that wants a password, and a gateway that has none yet."""
    _broker(system, WORD)
    write(system, CONFIG.replace("port = 9", LOGIN.replace("9", str(PORT))))
    yield system
    system.run(f"systemctl stop guarded; rm -f {FOLDERS.replace(' ', '/* ')}/*")
    write(system, CONFIG)


def _broker(system: Booted, word: str) -> None:
    system.run(
        f"command -v mosquitto_passwd >/dev/null && mosquitto_passwd -b -c /srv/passwords gw1 {word}", check=False
    )
    broker(system, "guarded", ["allow_anonymous false", "password_file /srv/passwords"], PORT)


def _is_up(system: Booted) -> bool:
    return states(system).get("central") == "up"


def _restart(system: Booted) -> None:
    system.run("systemctl reset-failed edge-gateway; systemctl restart edge-gateway")


def test_a_secret_is_encrypted_for_this_machine_and_the_service_logs_in_with_it(guarded: Booted) -> None:
    told = guarded.run(f"echo {WORD} | edge-gateway secret set mqtt-password").stdout
    assert "mqtt-password is set, encrypted by" in told
    assert 'used by sink "central"' in told
    for _ in range(2):
        _restart(guarded)
        guarded.until(lambda: _is_up(guarded), "the broker has taken the password")
    assert "encrypted" in guarded.run("edge-gateway secret list").stdout
    assert "ok" in guarded.run("edge-gateway check --connect").stdout  # root dials with it too


def test_it_stands_nowhere_where_anybody_else_could_read_it(guarded: Booted) -> None:
    guarded.run(
        "cd /srv; rm -rf bundle*; edge-gateway support-bundle bundle.tar.gz; mkdir bundle; tar xf bundle.tar.gz -C bundle"
    )
    assert guarded.run("ls /srv/bundle").stdout
    for place in (
        f"cat /proc/{pid(guarded)}/environ /proc/{pid(guarded)}/cmdline", "systemctl show edge-gateway",
        "journalctl --no-pager --all --output verbose", "grep -rh . /etc/edge-gateway", "grep -rh . /var/lib/edge-gateway",
        "grep -rh . /srv/bundle", "edge-gateway config show --effective",
    ):  # fmt: skip
        found = guarded.run(f"{place} | grep -ac {WORD} || true").stdout.strip()
        assert found == "0", place


def test_a_changed_one_is_told_at_the_reload_and_holds_from_the_restart_on(guarded: Booted) -> None:
    _broker(guarded, ANOTHER)
    guarded.until(lambda: not _is_up(guarded), "the old word is refused")
    assert "has another value" in guarded.run(f"echo {ANOTHER} | edge-gateway secret set mqtt-password").stdout
    told = guarded.run("edge-gateway reload").stdout
    assert "were changed" in told and "restart" in told
    _restart(guarded)
    guarded.until(lambda: _is_up(guarded), "the broker has taken the new word")


def test_a_backup_carries_what_it_says_to_a_machine_that_cannot_decrypt_it(guarded: Booted) -> None:
    guarded.run("echo twelve-letters-or-more >/srv/phrase; chmod 600 /srv/phrase; rm -f /srv/gw.tar.gz")
    guarded.run("edge-gateway backup /srv/gw.tar.gz --secrets --passphrase-file /srv/phrase")
    guarded.run(
        f"systemctl stop edge-gateway; rm -f {FOLDERS.replace(' ', '/* ')}/* /var/lib/systemd/credential.secret"
    )
    guarded.run("edge-gateway restore /srv/gw.tar.gz --passphrase-file /srv/phrase")
    assert guarded.run("stat -c '%a %U' /etc/edge-gateway/credentials/mqtt-password").stdout.split() == ["600", "root"]
    _restart(guarded)
    guarded.until(lambda: _is_up(guarded), "the broker has taken the word from the backup")


def test_one_that_cannot_be_decrypted_keeps_the_service_down_and_is_named(guarded: Booted) -> None:
    guarded.run(
        "rm -f /etc/edge-gateway/credentials/*; echo junk >/etc/edge-gateway/credentials.encrypted/mqtt-password"
    )
    guarded.run("systemctl restart edge-gateway", check=False)
    assert guarded.property("ExecMainStatus") == "243"
    listed = guarded.run("edge-gateway secret list --json", check=False)
    assert listed.returncode == 1
    assert json.loads(listed.stdout)[0]["state"] == "not of this machine"
    checked = guarded.run("edge-gateway check", check=False)
    assert "edge-gateway secret set mqtt-password" in checked.stdout
    guarded.run(f"echo {ANOTHER} | edge-gateway secret set mqtt-password")
    _restart(guarded)
    guarded.until(lambda: _is_up(guarded), "it is set anew")


def test_where_systemd_cannot_encrypt_it_says_so_and_keeps_a_file_of_roots(guarded: Booted) -> None:
    guarded.run("mv /usr/bin/systemd-creds /usr/bin/systemd-creds.away")
    told = guarded.run(f"echo {ANOTHER} | edge-gateway secret set mqtt-password", check=False).stdout
    guarded.run("mv /usr/bin/systemd-creds.away /usr/bin/systemd-creds")
    assert "not encrypted, since there is no systemd-creds here" in told
    assert guarded.run(f"find {FOLDERS} -type f ! -name '.*'").stdout.split()[0].endswith("credentials/mqtt-password")
    _restart(guarded)
    guarded.until(lambda: _is_up(guarded), "the plain one holds")
