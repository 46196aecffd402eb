"""The service in a really booted systemd, installed from its package."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.operate.logs.messages import MESSAGES

from .booted import Booted
from .service import CONFIG, pid, status, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DROPIN = "/etc/systemd/system/edge-gateway.service.d/quick.conf"
QUICK = "[Service]\nWatchdogSec=5s\nTimeoutAbortSec=2s\n"
"""So that the watchdog's test need not wait for half a minute. The others leave a busy machine the unit's own time."""


@pytest.fixture
def watched(running: Booted) -> Iterator[Booted]:
    """The service with a quick watchdog."""
    running.run(f"mkdir -p $(dirname {DROPIN})\ncat >{DROPIN} <<'END'\n{QUICK}END")
    running.run("systemctl daemon-reload; systemctl restart edge-gateway")
    yield running
    running.run(f"rm {DROPIN}; systemctl daemon-reload")


def test_start_returns_when_the_gateway_is_ready(running: Booted) -> None:
    assert running.property("ActiveState") == "active"
    assert running.property("SubState") == "running"
    running.until(lambda: running.run("edge-gateway read mixer-1/temperature", check=False).returncode == 0, "a value")


def test_systemctl_status_says_in_a_sentence_how_it_is(running: Booted) -> None:
    running.until(lambda: "1/1 devices up" in running.property("StatusText"), "the status line")
    running.until(lambda: "central down" in running.run("systemctl status edge-gateway").stdout, "the sink in it")


def test_journalctl_explains_what_the_gateway_says(running: Booted) -> None:
    ask = f"journalctl --no-pager -x -u edge-gateway MESSAGE_ID={MESSAGES['down']}"
    running.until(lambda: "edge-gateway check --connect" in running.run(ask).stdout, "the catalogue's words")
    assert "Subject: Something does not answer" in running.run(ask).stdout
    assert "down" in running.journal("-u edge-gateway GATEWAY_PART='sink central'")


LARGE = """
from gateway.operate.logs.journal import Journal
assert Journal().send({"event": "large", **{f"text_{number}": "x" * 250_000 for number in range(20)}})
"""


def test_the_journal_takes_a_line_that_is_no_datagram_any_more(running: Booted) -> None:
    running.run(f"/usr/lib/edge-gateway/bin/python3 - <<'END'\n{LARGE}END")
    running.until(
        lambda: "GATEWAY_TEXT_19" in running.journal("-t edge-gateway --output verbose --all"), "the large line"
    )


def test_it_runs_as_its_own_user_and_writes_only_where_it_may(running: Booted) -> None:
    assert running.run(f"stat -c %U /proc/{pid(running)}").stdout.strip() == "gateway"
    assert running.run("stat -c '%U %a' /run/edge-gateway/control.sock").stdout.strip() == "gateway 660"
    running.run("test -f /var/lib/edge-gateway/audit.jsonl")
    running.run("edge-gateway audit verify /var/lib/edge-gateway")


def test_a_member_of_the_group_may_ask_and_a_stranger_is_told_how_to_become_one(running: Booted) -> None:
    running.run("id tech >/dev/null 2>&1 || useradd --groups gateway tech; id guest1 >/dev/null 2>&1 || useradd guest1")
    told = running.run("runuser -u tech -- edge-gateway status", check=False)
    assert "line3-gw1" in told.stdout
    stranger = running.run("runuser -u guest1 -- edge-gateway status", check=False)
    assert stranger.returncode == 3
    assert "usermod -aG gateway" in stranger.stderr


def test_a_member_of_the_group_is_an_operator_until_the_configuration_says_otherwise(running: Booted) -> None:
    running.run("id tech >/dev/null 2>&1 || useradd --groups gateway tech")

    def by_tech(command: str) -> str:
        return running.run(f"runuser -u tech -- edge-gateway {command}", check=False).stderr

    assert "reload needs the role engineer; tech has: operator, viewer" in by_tech("reload")
    assert "no alarm" in by_tech("alarms shelve nothing/at-all --for 1h --reason test")
    write(running, f'{CONFIG}\n[access]\nengineer = ["tech"]\nothers = "viewer"\n')
    running.run("systemctl reload edge-gateway")
    assert by_tech("reload") == ""
    write(running, CONFIG)
    running.run("systemctl reload edge-gateway")
    records = [json.loads(line) for line in running.run("edge-gateway audit show --json").stdout.splitlines()]
    refused = next(record for record in records if record["action"] == "access.refused")
    assert (refused["who"], refused["command"]) == ("tech", "reload")


OFFLINE = (
    "check", "check --connect", "trust list", "audit verify", "audit show", "outbox status", "outbox verify", "outbox peek",
    "outbox dead list", "outbox export", "receipts", "receipts --verify", "explain 123456", "status", "tags",
    "browse opc.tcp://127.0.0.1:9",
)  # fmt: skip
CERTIFICATE = """
import datetime, hashlib, pathlib
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plc-1")])
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9)).sign(key, hashes.SHA256())
folder = pathlib.Path("/var/lib/edge-gateway/pki/opcua/rejected")
folder.mkdir(parents=True, exist_ok=True, mode=0o700)
(folder / "plc-1.der").write_bytes(made.public_bytes(Encoding.DER))
print(hashlib.sha256(made.public_bytes(Encoding.DER)).hexdigest())
"""


def test_root_the_group_and_the_service_are_one_gateway_before_and_after_the_first_start(running: Booted) -> None:
    running.run("id tech >/dev/null 2>&1 || useradd --groups gateway tech; id guest1 >/dev/null 2>&1 || useradd guest1")
    running.run("systemctl stop edge-gateway; rm -rf /var/lib/edge-gateway")
    foreign = "test ! -e /var/lib/edge-gateway || find /var/lib/edge-gateway ! -user gateway -o ! -group gateway"
    for command in OFFLINE:
        running.run(f"edge-gateway {command}", check=False)
        assert running.run(foreign).stdout == "", command
    as_service = "runuser -u gateway -- /usr/lib/edge-gateway/bin/python3 -c"
    thumbprint = running.run(f"{as_service} '{CERTIFICATE}'").stdout.strip()
    assert (
        "you may not" in running.run(f"runuser -u tech -- edge-gateway trust accept {thumbprint}", check=False).stderr
    )
    running.run(f"LOGNAME=somebody-else edge-gateway trust accept {thumbprint} --reason 'new PLC'")
    running.run("systemctl start edge-gateway")
    assert "trusted" in running.run("runuser -u gateway -- edge-gateway trust list").stdout
    for user in ("root", "tech", "gateway"):
        running.run(f"runuser -u {user} -- edge-gateway audit verify")
    stranger = running.run("runuser -u guest1 -- edge-gateway audit verify", check=False)
    assert stranger.returncode == 1
    assert "you may not read" in stranger.stderr
    running.run("systemctl reload edge-gateway")
    running.run("edge-gateway reload")
    records = [json.loads(line) for line in running.run("edge-gateway audit show --json").stdout.splitlines()]
    told = [(each["action"], each["who"]) for each in records if each["action"] in ("trust.accept", "config.reload")]
    assert told == [("trust.accept", "root"), ("config.reload", "systemd"), ("config.reload", "root")]


def test_check_by_root_says_what_the_service_may_not_read(running: Booted) -> None:
    running.run("chmod 600 /etc/edge-gateway/config.toml; chown root:root /etc/edge-gateway/config.toml")
    told = running.run("edge-gateway check", check=False)
    running.run("chmod 640 /etc/edge-gateway/config.toml; chgrp gateway /etc/edge-gateway/config.toml")
    assert told.returncode == 1
    assert "gateway, as whom the gateway runs, may not read /etc/edge-gateway/config.toml" in told.stdout
    running.run("edge-gateway check")


def test_a_killed_gateway_is_started_again(running: Booted) -> None:
    before = pid(running)
    running.run(f"kill -9 {before}")
    running.until(
        lambda: running.property("ActiveState") == "active" and pid(running) not in ("0", before), "a new process"
    )
    assert running.property("NRestarts") == "1"


LOAD = """
[[device]]
name = "dryer-{number}"
driver = "simulated"
scan = "50ms"
[device.tags]
"""


def test_killed_under_load_it_runs_again_and_has_every_record_that_it_had_accepted(running: Booted) -> None:
    tags = "".join(f't{tag} = {{ wave = "random" }}\n' for tag in range(20))
    write(running, CONFIG + "".join(f"{LOAD.format(number=number)}{tags}" for number in range(10)))
    running.run("systemctl restart edge-gateway")

    def accepted() -> int:
        told = running.run("edge-gateway status --json", check=False).stdout
        return int(json.loads(told)["outbox"]["lanes"]["data"]["accepted"]) if told else 0

    began = accepted()
    running.until(lambda: accepted() > began + 500, "a load")
    before = pid(running)
    told = accepted()
    killed = time.monotonic()
    running.run(f"kill -9 {before}")
    running.until(lambda: running.property("ActiveState") == "active" and pid(running) not in ("0", before), "it runs")
    print(f"from kill -9 to active: {time.monotonic() - killed:.1f} s")
    write(running, CONFIG)
    report = json.loads(running.run("edge-gateway outbox verify --json").stdout)
    assert report["ok"]
    assert report["lanes"]["data"]["readings"] >= told


def test_a_stopped_process_is_ended_by_the_watchdog_and_started_again(watched: Booted) -> None:
    watched.until(lambda: bool(watched.property("StatusText")), "the first sign of life")
    before = pid(watched)
    watched.run(f"kill -STOP {before}")
    watched.until(
        lambda: watched.property("ActiveState") == "active" and pid(watched) not in ("0", before), "a new process"
    )
    watched.until(lambda: "Watchdog timeout" in watched.journal(), "word of the watchdog")


ISOLATED = """
[[device]]
name = "mixer-2"
driver = "simulated"
run_in = "process"
[device.tags]
temperature = { wave = "sine" }
"""


def _mixer_2(system: Booted) -> dict[str, Any]:
    """What status tells of the device whose driver has a process of its own."""
    told = system.run("edge-gateway status --json", check=False).stdout
    devices = json.loads(told)["devices"] if told else []
    found: dict[str, Any] = next(
        (each for each in devices if each["name"] == "mixer-2"), {"state": "", "process": None}
    )
    return found


def test_a_driver_in_a_process_of_its_own_works_behind_the_units_fences_and_costs_no_restart(running: Booted) -> None:
    write(running, CONFIG + ISOLATED)
    running.run("systemctl restart edge-gateway")
    running.until(lambda: _mixer_2(running)["state"] == "up", "the device is up")
    gateway, process = pid(running), _mixer_2(running)["process"]
    fences = running.run(f"cat /proc/{process['pid']}/status; grep data /proc/{process['pid']}/limits").stdout
    assert re.search(r"Seccomp:\s+2", fences) and re.search(r"NoNewPrivs:\s+1", fences)
    assert str(512 * 1024 * 1024) in fences
    running.run(f"kill -SEGV {process['pid']}")
    running.until(lambda: "signal 11 (SIGSEGV)" in running.journal(), "word of its end")
    running.until(lambda: (_mixer_2(running)["process"] or {}).get("starts") == 2, "a new process")
    running.until(lambda: _mixer_2(running)["state"] == "up", "the device is up again")
    assert (pid(running), running.property("NRestarts")) == (gateway, "0")
    run = running.property("InvocationID")
    running.run("systemctl stop edge-gateway")
    assert running.property("Result") == "success"
    said = running.journal(f"_SYSTEMD_INVOCATION_ID={run}")
    assert said.count("the process of a driver has ended") == 1, "a stop is no accident"
    assert "not permitted" not in said and "Permission denied" not in said


BLOCKS = """
import time
from gateway.plugin import DeviceConfig, Driver, TagConfig

class Blocks(Driver[DeviceConfig, TagConfig]):
    async def connect(self):
        pass
    async def read(self, tags):
        {call}
"""
CALLS = {"asleep": "time.sleep(3600)", "with_pythons_lock": "import ctypes; ctypes.PyDLL(None).sleep(3600)"}


@pytest.mark.parametrize("how", CALLS)
def test_what_blocked_the_gateway_until_the_watchdog_killed_it_is_left_alone(watched: Booted, how: str) -> None:
    folder = "/etc/edge-gateway/plugins"
    watched.run(f"sed -i s/WatchdogSec=.*/WatchdogSec=16s/ {DROPIN}; systemctl daemon-reload; mkdir -p {folder}")
    watched.run(f"cat >{folder}/blocks.py <<'END'\n{BLOCKS.format(call=CALLS[how])}END")
    plugins = CONFIG.replace('name = "line3-gw1"', f'name = "line3-gw1"\nplugin_dirs = ["{folder}"]', 1)
    write(
        watched,
        plugins
        + ISOLATED.replace('"simulated"', '"blocks"')
        .replace('"process"', '"gateway"')
        .replace('{ wave = "sine" }', "{}"),
    )
    watched.run("systemctl restart edge-gateway")
    watched.until(lambda: "left alone" in _mixer_2(watched).get("reason", ""), "it is left alone", 120)
    assert "blocks.py:9" in _mixer_2(watched)["reason"]
    assert 'blocks.py", line 9 in' in watched.journal(), "the stuck stack"
    told = json.loads(watched.run("edge-gateway status --json", check=False).stdout)
    assert next(each for each in told["devices"] if each["name"] == "mixer-1")["state"] == "up"


def test_a_bad_reload_fails_says_why_and_leaves_the_gateway_running(running: Booted) -> None:
    before = pid(running)
    write(running, CONFIG.replace("scan =", "scna ="))
    assert running.run("systemctl reload edge-gateway", check=False).returncode != 0
    assert running.property("ActiveState") == "active"
    assert pid(running) == before
    running.until(lambda: 'did you mean "scan"?' in running.journal(), "the mistake in the journal")


def test_a_good_reload_applies_the_change_without_a_restart(running: Booted) -> None:
    before = pid(running)
    write(running, CONFIG.replace('"mixer-1"', '"mixer-2"'))
    running.run("systemctl reload edge-gateway")
    assert pid(running) == before
    assert "mixer-2" in running.run("edge-gateway status", check=False).stdout


def test_a_bad_configuration_stops_it_once_with_exit_code_78(running: Booted) -> None:
    write(running, CONFIG.replace("scan =", "scna ="))
    running.run("systemctl restart edge-gateway", check=False)
    running.until(lambda: running.property("ActiveState") == "failed", "the failed state")
    assert running.property("ExecMainStatus") == "78"
    assert running.property("NRestarts") == "0"
    running.until(
        lambda: "has failed and was not started again" in running.journal("-t edge-gateway"), "word of the failure"
    )


def test_it_stops_in_good_order(running: Booted) -> None:
    running.run("systemctl stop edge-gateway")
    assert running.property("Result") == "success"
    assert running.property("ExecMainStatus") == "0"
    assert "gateway.stop" in running.run("tail -n 1 /var/lib/edge-gateway/audit.jsonl").stdout


def test_nothing_in_the_journal_complains_of_the_units_fences(running: Booted) -> None:
    running.until(lambda: "1/1 devices up" in running.property("StatusText"), "the status line")
    said = running.journal("-u edge-gateway -p warning")
    assert "not permitted" not in said
    assert "Permission denied" not in said
    assert "Read-only file system" not in said
    assert "Unknown key" not in running.journal("-p warning")


def test_the_journal_is_searched_by_device_and_part(running: Booted) -> None:
    running.until(lambda: "down" in running.journal("-u edge-gateway 'GATEWAY_PART=sink central'"), "the sink's line")
    running.until(lambda: "up" in running.journal("-u edge-gateway GATEWAY_DEVICE=mixer-1"), "the device's line")


def test_all_of_it_works_behind_the_units_fences_without_a_warning(running: Booted) -> None:
    """Modbus, OPC UA, a model, the page, a broker and a subscriber: the demonstration's, served from outside the unit."""
    if running.run("command -v mosquitto && command -v mosquitto_sub", check=False).returncode:
        pytest.skip("needs a broker and a subscriber: apt-get install mosquitto mosquitto-clients")
    python = "systemd-run --collect --quiet /usr/lib/edge-gateway/bin/python3 -m gateway.demo"
    running.run(f"{python}.serve_coater --port 5020; {python}.serve_bioreactor --port 4840; {python}.serve_cip")
    running.run("systemd-run --collect --quiet $(command -v mosquitto) -p 1883")
    listening = " && ".join(f"ss -Htln 'sport = {port}' | grep -q ." for port in (1883, 5020, 4840, 10102))
    running.until(lambda: not running.run(listening, check=False).returncode, "servers that listen")
    running.run("systemd-run --collect --quiet $(command -v mosquitto_sub) -p 1883 -t '#'")
    write(running, running.run("grep -v state_dir /etc/edge-gateway/demo.toml").stdout)
    running.run(f"mkdir -p $(dirname {DROPIN}); cp /usr/share/edge-gateway/dropins/addresses.conf $(dirname {DROPIN})")
    running.run("systemctl daemon-reload; systemctl restart edge-gateway")

    def is_well() -> bool:
        told = running.run("edge-gateway status --json", check=False).stdout
        return bool(told) and _is_well(json.loads(told))

    running.until(is_well, "devices, sink and model up, and a score", 180)
    already = _acknowledged(running)
    running.until(lambda: _acknowledged(running) > already + 30, "it goes on for a while", 180)
    running.run("systemd-analyze security --no-pager --threshold=15 edge-gateway")
    running.run(f"rm -r $(dirname {DROPIN}); systemctl daemon-reload")
    run = running.property("InvocationID")
    assert running.journal(f"-p warning _SYSTEMD_INVOCATION_ID={run} + INVOCATION_ID={run}") == ""


def _acknowledged(system: Booted) -> int:
    return sum(sink["acknowledged_records"] for sink in status(system)["sinks"])


def _is_well(status: dict[str, Any]) -> bool:
    parts = [*status["devices"], *status["sinks"], *status["models"], *status["services"]]
    scores = [device["score"] for model in status["models"] for device in model.get("devices", [])]
    return all(part["state"] == "up" for part in parts) and len(scores) == 1 and scores[0] is not None
