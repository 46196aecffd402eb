"""A gateway's folder as it is after some days: configuration with a key and a tag file, state, audit trail, a log."""

from pathlib import Path

import pytest

from gateway.config import secrets
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.trust.audit import AuditTrail
from tests.outbox.making import Log, fill, spec, take

CONFIG = """
[gateway]
name = "gw1"
state_dir = "state"

[[sink]]
name = "central"
plugin = "mqtt"
host = "broker.plant"
user = "gw1"
password = { file = "broker.password" }
tls = { ca = "ca.pem", certificate = "own.pem", key = "own.key" }

[[device]]
name = "press-1"
driver = "modbus"
host = "192.168.10.21"
tags_file = "tags/press.csv"
"""
PASSPHRASE = "correct horse battery staple"
SECRETS = {
    "broker.password": b"hunter2-of-the-broker\n",
    "own.key": b"-----BEGIN PRIVATE KEY-----\nMC4CAQ-key-of-the-sink\n-----END PRIVATE KEY-----\n",
    "state/users.json": b'{"users": {"kim": {"hash": "argon2-of-kim"}}}',
    "state/pki/opcua/own/key.pem": b"-----BEGIN PRIVATE KEY-----\nMC4CAQ-key-of-opcua\n-----END PRIVATE KEY-----\n",
    "state/pki/opcua/own/key.der": b"\x30\x2e\x02\x01der-key",
}


class Site:
    """One gateway's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.state = folder / "state"

    def make(self) -> None:
        (self.folder / "tags").mkdir(parents=True)
        self.config.write_text(CONFIG)
        (self.folder / "tags/press.csv").write_text("name,address,type\noil,40001,float32\n")
        (self.folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nca\n")
        (self.folder / "own.pem").write_text("-----BEGIN CERTIFICATE-----\nown\n")
        for name, data in SECRETS.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)
        trusted = self.state / "pki/opcua/trusted"
        trusted.mkdir(parents=True)
        (trusted / "server.der").write_bytes(b"\x30\x82certificate of a server")
        (self.state / "alarms.json").write_text('{"alarms": []}')
        trail = AuditTrail(self.state / "audit.jsonl", SystemClock())
        for number in range(3):
            trail.write("write", "kim", tag=f"press-1/oil{number}")

    def files(self) -> dict[str, bytes]:
        """What there is, apart from locks."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in ("lock", "audit.lock")
        }


@pytest.fixture
def credentials(tmp_path, monkeypatch) -> Path:
    """The folder of the service's credentials, which is not that of this machine."""
    from gateway.cli.moving import contents, restore

    folder = tmp_path / "etc/credentials"
    folder.mkdir(parents=True)
    for module in (secrets, contents, restore):
        monkeypatch.setattr(module, "CREDENTIALS", folder)
    return folder


@pytest.fixture
def site(tmp_path, credentials) -> Site:
    made = Site(tmp_path / "old")
    made.folder.mkdir()
    made.make()
    (credentials / "mqtt-password").write_text("credential-of-the-service")
    (credentials / "mqtt-password").chmod(0o600)
    return made


@pytest.fixture
def other(tmp_path) -> Site:
    """Another PC: nothing is there yet."""
    made = Site(tmp_path / "new")
    made.folder.mkdir()
    return made


@pytest.fixture
def passphrase(tmp_path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return path


async def fill_log(site: Site, blocks: int = 20, taken: int = 5) -> str:
    """A log of so many records, some of which the sink has. Returns its id."""
    log = Log(site.state / "outbox")
    async with log.opened() as outbox:
        device = outbox.bind(spec(), Context(site="north"))
        reader = outbox.reader("central")
        await fill(outbox, device, range(blocks))
        reader.acknowledged(await take(reader, taken, 1))
        return outbox.log_id
