"""From the installed package to the first live value, as a technician gets there."""

import asyncio
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.certificates import Authority
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer, require_node_opcua

from .booted import Booted
from .service import CONFIG, broker, serve, status, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLOUD, TLS, OPEN, COATER, OPCUA, NOBODY = "203.0.113.7", 8884, 1884, 5021, 4841, 9
"""An address outside of private networks, and ports."""
AGAIN = "or end it (n) [y]: "
WORD = "word-of-the-broker"
DROP_INS = "/etc/systemd/system/edge-gateway.service.d"
TREE = f"find /etc/edge-gateway {DROP_INS} /etc/systemd/system -xdev -type f,l | sort | xargs -r ls -l --time-style=full-iso"


@pytest.fixture(scope="module")
def plant(system: Booted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A broker with TLS and a password outside of the plant, whose addresses the service is fenced into, one without, and a
    Modbus device."""
    base = tmp_path_factory.mktemp("authority")
    authority = Authority(base)
    issued = authority.issue(CLOUD)
    for file in (authority.certificate, Authority(base, "other").certificate, issued.certificate, issued.key):
        system.bring(file, f"/srv/{file.name}")
    system.run(f"chmod 644 /srv/*.pem; ip address add {CLOUD}/32 dev lo; echo {WORD} >/srv/word; chmod 600 /srv/word")
    system.run(
        f"command -v mosquitto_passwd >/dev/null && mosquitto_passwd -b -c /srv/cloud.passwd gw1 {WORD}", check=False
    )
    lines = [
        f"certfile /srv/{CLOUD}.pem",
        f"keyfile /srv/{CLOUD}.key",
        "allow_anonymous false",
        "password_file /srv/cloud.passwd",
    ]
    broker(system, "cloud", lines, TLS, CLOUD)
    broker(system, "open", ["allow_anonymous true"], OPEN)
    serve(system, "coater", f"/usr/lib/edge-gateway/bin/python3 -m gateway.demo.serve_coater --port {COATER}", COATER)
    yield system
    system.run(f"systemctl stop cloud open coater; rm -rf {DROP_INS}; systemctl daemon-reload")
    write(system, CONFIG)


@pytest.fixture
def fresh(plant: Booted) -> Booted:
    """No configuration yet, no password, nothing that was trusted; the unit is fenced into the plant's networks."""
    plant.run("systemctl stop edge-gateway; systemctl reset-failed edge-gateway; rm -f /etc/edge-gateway/config.toml*")
    plant.run("rm -f /etc/edge-gateway/credentials/* /etc/edge-gateway/credentials.encrypted/*")
    plant.run(f"rm -rf {DROP_INS} /var/lib/edge-gateway/pki; mkdir {DROP_INS}")
    plant.run(f"cp /usr/share/edge-gateway/dropins/addresses.conf {DROP_INS}")
    return plant


def _sink_is_up(system: Booted) -> bool:
    return [sink["state"] for sink in status(system)["sinks"]] == ["up"]


def test_one_command_and_its_questions_lead_to_a_running_service_and_its_first_value(fresh: Booted) -> None:
    cloud = ("line3-gw1", CLOUD, "y", str(TLS), "/srv/plant-ca.pem", "gw1", WORD)
    device = ("modbus", "coater-1", "127.0.0.1", str(COATER), "1", "40001", "float32")
    began = time.monotonic()
    answers = "\n".join(cloud + device)
    told = fresh.run(f"edge-gateway setup <<'END'\n{answers}\nEND").stdout
    print(f"from setup to the first value of Modbus at a TLS broker: {time.monotonic() - began:.1f} s, 2 commands")
    assert "it runs:" in told
    assert "coater-1/first_value = " in told
    assert WORD not in told + fresh.run("grep -r . /etc/edge-gateway").stdout
    fresh.until(lambda: _sink_is_up(fresh), "the broker has taken the password")


def test_the_unit_with_the_drop_ins_of_setup_is_within_our_bound(fresh: Booted) -> None:
    _answered(fresh)
    assert f"IPAddressAllow={CLOUD}\n" in fresh.run("systemctl cat edge-gateway").stdout
    told = fresh.run("systemd-analyze security --no-pager --threshold=15 edge-gateway").stdout
    print(told.strip().splitlines()[-1])
    fresh.run(f"rm {DROP_INS}/addresses.conf; systemctl daemon-reload")
    fresh.run("systemd-analyze security --no-pager --threshold=15 edge-gateway")


def test_an_opc_ua_server_with_certificates_takes_two_commands_more(fresh: Booted, tmp_path: Path) -> None:
    """The server is node-opcua, which signs and encrypts, and knows its clients."""
    require_node_opcua()
    pki = tmp_path / "pki"
    options = ("--security", "Basic256Sha256", "--distrust")
    peer = OpcUaPeer("node-opcua", pki, *options, port=OPCUA, within=fresh.within())
    asyncio.run(peer.start())
    try:
        _opc_ua(fresh, peer, pki)
    finally:
        peer.kill()


def _opc_ua(system: Booted, peer: OpcUaPeer, pki: Path) -> None:
    commands, began = ["apt install", "edge-gateway setup"], time.monotonic()
    cloud = ("line3-gw1", CLOUD, "y", str(TLS), "/srv/plant-ca.pem", "gw1", WORD)
    device = ("opcua", "tank-1", f"opc.tcp://127.0.0.1:{OPCUA}", "auto", f"nsu={NAMESPACE};s=Double")
    with system.begin("edge-gateway setup") as setup:
        try:
            (accept,) = set(re.findall(r"edge-gateway trust accept [0-9a-f]{64}", _said(setup, *cloud, *device)))
            assert accept.endswith(peer.thumbprint)
            commands.append(accept)
            system.run(accept)
            (own,) = set(re.findall(r"let it trust (/\S+?\.der)", _said(setup, "t")))
            commands.append(f"have the server trust {own}")
            shutil.copy(system.path(own), pki / "trusted/certs/gateway.der")
            for file in (pki / "rejected").iterdir():
                file.unlink()
            last = _said(setup, "t")
            while last.endswith(AGAIN):  # the server looks into its folders now and then
                last = _said(setup, "t")
        finally:
            setup.kill()
    assert "tank-1/first_value = 2.25" in last
    took = time.monotonic() - began
    print(f"from setup to the first value of OPC UA at a TLS broker: {took:.1f} s, {len(commands)} commands")
    assert len(commands) <= 2 + 3
    connection = status(system)["devices"][0]["connection"]
    assert (connection["security"], connection["mode"]) == ("Basic256Sha256", "sign_and_encrypt")


def _said(setup: "subprocess.Popen[bytes]", *answers: str) -> str:
    """What it says after these answers, until it asks whether to try again, or has ended."""
    assert setup.stdin is not None and setup.stdout is not None
    setup.stdin.write("".join(f"{answer}\n" for answer in answers).encode())
    setup.stdin.flush()
    told = b""
    while not told.decode(errors="replace").endswith(AGAIN):
        readable, _, _ = select.select([setup.stdout], [], [], 90)
        assert readable, told.decode()
        data = os.read(setup.stdout.fileno(), 65536)
        if not data:
            break
        told += data
    return told.decode()


def _answered(system: Booted, *options: str, **other: Any) -> subprocess.CompletedProcess[str]:
    """`setup --answers`, as for many PCs: with what is given in place of what works."""
    tls = {"host": CLOUD, "port": TLS, "tls": {"ca": "/srv/plant-ca.pem"}, "user": "gw1", "password_file": "word"}
    tags = {"speed": {"address": "40001", "type": "float32"}}
    modbus = {"name": "coater-1", "driver": "modbus", "host": "127.0.0.1", "port": COATER, "tags": tags}
    table = {"broker": {**tls, **other.get("broker", {})}, "device": [{**modbus, **other.get("device", {})}]}
    system.run(f"cat >/srv/answers.json <<'END'\n{json.dumps(table)}\nEND")
    return system.run(f"edge-gateway setup --answers /srv/answers.json {' '.join(options)}", check=False)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "password": ({"broker": {"password_file": "wrong"}}, "password"),
    "authority": ({"broker": {"tls": {"ca": "/srv/other-ca.pem"}}}, "certificate"),
    "no authority": ({"broker": {"tls": {"ca": "/srv/none.pem"}}}, "none.pem"),
    "broker away": ({"broker": {"port": NOBODY}}, "nothing listens there"),
    "device away": ({"device": {"port": NOBODY}}, "refused"),
    "no such register": ({"device": {"tags": {"x": {"address": "hr:60000", "type": "int16"}}}}, "cannot be read"),
}


def test_what_does_not_work_is_said_and_nothing_is_written(fresh: Booted) -> None:
    fresh.run("echo not-the-word >/srv/wrong")
    before = fresh.run(TREE).stdout
    for what, (other, said) in WRONG.items():
        told = _answered(fresh, **other)
        assert told.returncode == 1, what
        assert said in told.stdout, what
        assert "nothing was written" in told.stderr, what
        assert "Traceback" not in told.stdout + told.stderr, what
    assert fresh.run(TREE).stdout == before


def test_a_hundred_pcs_are_set_up_by_the_same_file_and_a_second_time_changes_only_what_is_told(fresh: Booted) -> None:
    told = json.loads(_answered(fresh, "--json").stdout)
    assert told["ok"] and told["started"] and told["value"]["device"] == "coater-1"
    assert _answered(fresh).returncode == 1  # --replace was not said
    fresh.run("echo '# by hand' >>/etc/edge-gateway/config.toml")
    before = fresh.run("cat /etc/edge-gateway/config.toml").stdout
    again = json.loads(_answered(fresh, "--json", "--replace", device={"name": "coater-2"}).stdout)
    assert again["ok"] and again["value"]["device"] == "coater-2"
    assert fresh.run(f"cat {again['copy']}").stdout == before
