"""`edge-gateway support-bundle`: what is planted as a secret, or as a person's name, is found in no file of it."""

import json
import os
import pwd
import tarfile

import pytest

from gateway.cli import main
from gateway.cli.moving import support_bundle
from gateway.cli.moving.redaction import GONE, Redaction
from gateway.core.clock import SystemClock
from gateway.core.context import Context
from gateway.core.event import Event
from gateway.trust.audit import AuditTrail
from tests.cli.conftest import Asked, serving
from tests.cli.moving.conftest import SECRETS
from tests.outbox.making import Log, spec, until

PLANTED = [
    "hunter2-of-the-broker", "MC4CAQ-key-of-the-sink", "MC4CAQ-key-of-opcua", "argon2-of-kim", "credential-of-the-service",
    "literal-password-in-toml", "inline-token-value", "secret-in-a-comment", "Minji", "Roberta Example", "kim.lee",
    "QWxhZGRpbjpvcGVu", "url-user", "url-word", "correct-horse-env", "$argon2id$v=19$abc", "robin@plant.example", "Jonathan",
]  # fmt: skip


async def _events(site) -> None:
    log = Log(site.state / "outbox")
    async with log.opened() as outbox:
        outbox.bind(spec(), Context(site="north"))
        said = "Minji shelved it; password=literal-password-in-toml; mail robin@plant.example"
        outbox.append_event(Event("e1", "limit", "raised", "press-1", 1_800_000_000_000_000_000, said))
        await until(lambda: outbox.status().lanes["alarm"].accepted)


@pytest.fixture
async def bundle(site, tmp_path, monkeypatch, capsys):
    site.config.write_text(
        f"# secret-in-a-comment, by Roberta Example\n{site.config.read_text()}\n"
        '[access]\nengineer = ["Minji", "@kim.lee"]\n'
    )
    (site.folder / "conf.d").mkdir()
    (site.folder / "conf.d/odd.toml").write_text(
        '[[sink]]\nname = "x"\npassword = "literal-password-in-toml"\ntoken = "inline-token-value"\n'
        'url = "https://url-user:url-word@host/"\nheaders = { authorization = "Basic QWxhZGRpbjpvcGVu" }\n'
    )
    monkeypatch.setenv("PLANT_PASSWORD", "correct-horse-env")
    AuditTrail(site.state / "audit.jsonl", SystemClock()).write(
        "write", "Jonathan as root", why="asked by Minji", old=1
    )
    await _events(site)
    monkeypatch.setattr(
        support_bundle,
        "_journal",
        lambda: (
            "loaded by Jonathan\nlogin $argon2id$v=19$abc of kim.lee\nfailed: hunter2-of-the-broker correct-horse-env\n"
            "-----BEGIN PRIVATE KEY-----\nMC4CAQ-key-of-the-sink\n-----END PRIVATE KEY-----\nall is well\n"
        ),
    )
    asked = Asked(tmp_path / "control.sock")
    asked.answers = {
        "status": {
            "gateway": "gw1", "config": {"by": "Minji"},
            "devices": [{"name": "press-1", "reason": "hunter2-of-the-broker"}],
        },
        "alarms": [{"device": "press-1", "comment": "Roberta Example saw it", "by": "Jonathan"}],
    }  # fmt: skip
    file = tmp_path / "bundle.tar.gz"
    with serving(asked):
        code = main(["support-bundle", str(file), "--config", str(site.config), "--socket", str(asked.path)])
    said = capsys.readouterr()
    assert code == 0, said.err
    with tarfile.open(file) as tar:
        yield {member.name: tar.extractfile(member).read().decode() for member in tar}
    assert file.stat().st_mode & 0o777 == 0o600


async def test_nothing_that_was_planted_is_found(bundle):
    everybody = [*PLANTED, *(secret.decode(errors="replace").strip() for secret in SECRETS.values())]
    found = {(name, word) for name, text in bundle.items() for word in everybody if word.lower() in text.lower()}
    assert found == set()


async def test_what_helps_is_in_it(bundle):
    parts = {name.removeprefix("edge-gateway-support/"): text for name, text in bundle.items()}
    assert "all is well" in parts["journal.txt"]
    assert json.loads(parts["status.json"])["devices"][0]["name"] == "press-1"
    assert json.loads(parts["config.json"])["config.toml"]["device"][0]["host"] == "192.168.10.21"
    assert json.loads(parts["events.json"])[0]["body"]["device"] == "press-1"
    assert [record["action"] for record in json.loads(parts["audit.json"])][-1] == "write"
    assert json.loads(parts["about.json"])["version"]
    assert "check.json" in parts


def test_a_gateway_of_which_nothing_is_there_has_a_bundle_too(tmp_path, capsys):
    file = tmp_path / "bundle.tar.gz"
    arguments = ["--config", str(tmp_path / "none.toml"), "--socket", str(tmp_path / "none.sock"), "--json"]
    assert main(["support-bundle", str(file), *arguments]) == 0
    assert "status.json" in json.loads(capsys.readouterr().out)["files"]
    assert main(["support-bundle", str(file), *arguments]) == 1


@pytest.mark.parametrize(
    "text",
    ["password = 'a b c'", "api_key: abcdef", "Authorization: Bearer abc.def-123456", "opc.tcp://me:word@plc:4840",
     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ", "$6$salt$hashhash"],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out_though_nobody_knows_it(text):
    assert GONE in Redaction().text(text)
    for word in ("a b c", "abcdef", "abc.def", "word@", "eyJzdWI", "MHcCAQ", "hashhash"):
        assert word not in Redaction().text(text)


def test_the_names_of_this_machines_users_are_known(monkeypatch):
    user = pwd.struct_passwd(("jdoe", "x", 1001, 1001, "Jane Doe,,,", "/srv/jdoe", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [user])
    redaction = Redaction()
    assert redaction.text("loaded by jdoe from (home)/jdoe, Jane Doe") == f"loaded by {GONE} from (home)/{GONE}, {GONE}"
    assert redaction.text("jdoesystem") == "jdoesystem"
    assert os.getuid() >= 0
