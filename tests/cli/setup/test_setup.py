"""`edge-gateway setup`: the answers of a person, or of a file, tried on real servers, become a configuration that works."""

import asyncio
import errno
import io
import json
import os
import stat
import tomllib

import pytest

from gateway.cli import main
from gateway.cli.config.check import check
from gateway.cli.setup import service, writing
from plugins.modbus.tests.peers import pymodbus
from tests.peers.broker import Broker
from tests.peers.ports import free_port


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder for a configuration; the service of this machine is none of it."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


def answers_of(place, broker_port: int, modbus: int, **more) -> str:
    told = {
        "gateway": {"name": "gw1"},
        "broker": {"host": "127.0.0.1", "port": broker_port},
        "device": [
            {
                "name": "press-1", "driver": "modbus", "host": "127.0.0.1", "port": modbus,
                "tags": {"oil": {"address": "hr:0", "type": "uint16"}},
            }
        ],
        **more,
    }  # fmt: skip
    path = place.parent / "answers.json"
    path.write_text(json.dumps(told))
    return str(path)


async def setup(place, *options: str, typed: str | None = None, monkeypatch=None) -> int:
    if typed is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    arguments = ["setup", "--config", str(place / "config.toml"), "--drop-ins", str(place.parent / "none/dropins")]
    return await asyncio.to_thread(main, [*arguments, "--socket", str(place / "none.sock"), *options])


async def test_a_hundred_pcs_are_set_up_without_a_question(place, broker, capsys):
    async with pymodbus("tcp", [1]) as modbus:
        assert await setup(place, "--answers", answers_of(place, broker.port, modbus), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and [each["ok"] for each in told["tried"]] == [True, True]
    assert "edge-gateway run" in told["next"]
    config = place / "config.toml"
    assert check(config) == 0
    assert tomllib.loads(config.read_text())["device"][0]["host"] == "127.0.0.1"
    assert config.read_text().startswith("# Written by edge-gateway setup")
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert sorted(path.name for path in place.iterdir()) == ["config.toml"]


async def test_what_does_not_answer_is_named_and_nothing_is_written(place, broker, capsys):
    assert await setup(place, "--answers", answers_of(place, broker.port, free_port()), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert "press-1" in told["problems"][0] and "refused" in told["problems"][0]
    assert list(place.iterdir()) == []


async def test_untested_writes_it_all_the_same(place, capsys):
    assert await setup(place, "--answers", answers_of(place, free_port(), free_port()), "--untested") == 0
    assert (place / "config.toml").exists()


async def test_a_mistake_in_the_answers_is_told_in_words(place, broker, capsys):
    device = [{"name": "x", "driver": "modbus", "host": "127.0.0.1", "tags": {"a": {"adress": "hr:0"}}}]
    assert await setup(place, "--answers", answers_of(place, broker.port, 1, device=device)) == 1
    assert 'did you mean "address"' in capsys.readouterr().out
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "neither TOML nor JSON"),
        ("[brokr]\nhost = 'x'", '"brokr" is not known'),
        ("[broker]\nhost = 'x'\npassword = 'in-the-open'", "password_file"),
        ("[broker]\nhost = 'x'\npassword_file = 'none'", "cannot be read"),
    ],
)
async def test_answers_that_cannot_be_used_are_refused(place, content, said, capsys):
    (place.parent / "answers.toml").write_text(content)
    assert await setup(place, "--answers", str(place.parent / "answers.toml")) == 1
    assert said in capsys.readouterr().err
    assert "in-the-open" not in capsys.readouterr().err


async def test_a_configuration_that_is_there_is_replaced_only_if_told_and_kept(place, broker, capsys):
    (place / "config.toml").write_text("# precious\n")
    async with pymodbus("tcp", [1]) as modbus:
        answers = answers_of(place, broker.port, modbus)
        assert await setup(place, "--answers", answers) == 1
        assert (place / "config.toml").read_text() == "# precious\n"
        assert await setup(place, "--answers", answers, "--replace") == 0
    (copy,) = place.glob("config.toml.before-setup-*")
    assert copy.read_text() == "# precious\n"


async def test_a_person_is_asked_again_until_it_works(place, broker, capsys, monkeypatch):
    async with pymodbus("tcp", [1]) as modbus:
        wrong = f"gw1\n?\n127.0.0.1\nn\n{broker.port}\n-\nmodbus\npress-1\n127.0.0.1\n{free_port()}\n1\n40001\nuint16\n"
        right = f"y\n\n\n\n\n\nn\nmodbus\npress-1\n127.0.0.1\n{modbus}\n1\n40001\nuint16\n"
        code = await setup(place, typed=wrong + right, monkeypatch=monkeypatch)
    said = capsys.readouterr()
    assert code == 0, said
    assert "Its name or address" in said.out
    assert "refused" in said.out
    device = tomllib.loads((place / "config.toml").read_text())["device"][0]
    assert (device["port"], device["tags"]["first_value"]["address"]) == (modbus, "40001")


async def test_the_same_answers_are_tried_once_more_when_something_was_mended_elsewhere(
    place, broker, capsys, monkeypatch
):
    answers = f"gw1\n127.0.0.1\nn\n{broker.port}\n-\nmodbus\npress-1\n127.0.0.1\n{free_port()}\n1\n40001\nuint16\n"
    assert await setup(place, typed=answers + "t\nT\nn\n", monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().out
    assert said.count("trying …") == 3 and said.count("Name of this gateway") == 1
    assert list(place.iterdir()) == []


async def test_the_first_device_can_be_found(place, broker, monkeypatch, capsys):
    found = [
        (
            {
                "name": "modbus-1",
                "driver": "modbus",
                "host": "127.0.0.1",
                "tags": {"a": {"address": "hr:0", "type": "int16"}},
            },
            ["Acme"],
        )
    ]
    async with pymodbus("tcp", [1]) as modbus:
        found[0][0]["port"] = modbus
        monkeypatch.setattr("gateway.cli.setup.asking.find_on", lambda ranges: found)
        typed = f"gw1\n127.0.0.1\nn\n{broker.port}\n-\nfind\n127.0.0.0/30\n1\n"
        assert await setup(place, typed=typed, monkeypatch=monkeypatch) == 0
    assert "# Acme" in (place / "config.toml").read_text()


async def test_nobody_who_answers_gives_it_up_and_nothing_is_written(place, capsys, monkeypatch):
    assert await setup(place, typed="gw1\n", monkeypatch=monkeypatch) == 2
    assert "--answers" in capsys.readouterr().err
    assert list(place.iterdir()) == []


async def test_the_password_is_in_a_file_of_its_own_and_nowhere_else(place, capsys):
    (place.parent / "word").write_text("hunter2-of-the-broker\n")
    broker = {"host": "127.0.0.1", "port": free_port(), "user": "gw1", "password_file": "word"}
    answers = answers_of(place, 1, free_port(), broker=broker)
    assert await setup(place, "--answers", answers, "--untested", "--json") == 0
    assert "hunter2" not in capsys.readouterr().out
    assert "hunter2" not in (place / "config.toml").read_text()
    kept = place / "mqtt-password"
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == ("hunter2-of-the-broker", 0o600)
    assert tomllib.loads((place / "config.toml").read_text())["sink"][0]["password"] == {"file": "mqtt-password"}


async def test_where_the_disk_is_full_at_the_end_all_is_as_it_was(place, monkeypatch, capsys):
    (place.parent / "word").write_text("the-new-one")
    (place / "config.toml").write_text("# precious\n")
    (place / "mqtt-password").write_text("the-old-one")
    whole = writing.write_whole

    def full(path, data):
        if path.name == "config.toml":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        whole(path, data)

    monkeypatch.setattr(writing, "write_whole", full)
    broker = {"host": "127.0.0.1", "port": free_port(), "user": "gw1", "password_file": "word"}
    answers = answers_of(place, 1, free_port(), broker=broker)
    assert await setup(place, "--answers", answers, "--untested", "--replace") == 1
    assert "No space left on device: make room on that disk first; nothing was written" in capsys.readouterr().err
    found = {path.name: path.read_text() for path in place.iterdir()}
    assert found == {"config.toml": "# precious\n", "mqtt-password": "the-old-one"}


async def test_addresses_outside_of_the_plant_get_a_drop_in(place, tmp_path):
    folder = tmp_path / "systemd/edge-gateway.service.d"
    folder.parent.mkdir()
    answers = answers_of(place, free_port(), 1, broker={
        "host": "203.0.113.7", "standby": ["203.0.113.8:8883", "10.0.0.9"], "proxy": {"url": "http://203.0.113.9:3128"}
    })  # fmt: skip
    options = ["--answers", answers, "--untested", "--drop-ins", str(folder)]
    assert await asyncio.to_thread(main, ["setup", "--config", str(place / "config.toml"), *options]) == 0
    allowed = [line for line in (folder / writing.DROP_IN).read_text().splitlines() if "=" in line]
    assert allowed == [f"IPAddressAllow=203.0.113.{n}" for n in (7, 8, 9)], "each broker and the proxy"
    assert "127.0.0.1" not in (folder / writing.DROP_IN).read_text()


def test_where_systemd_runs_the_service_is_started_and_its_first_value_shown(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(service, "SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(service, "_systemctl", lambda *command: asked.append(command) or "")
    monkeypatch.setattr(service, "call", lambda *_: [{"device": "press-1", "tag": "oil", "value": 4.5, "unit": "°C"}])
    done = service.start(service.CONFIG, None, wanted=True)
    assert done.ok and "press-1/oil = 4.5 °C" in done.lines[1]
    assert ("enable", service.UNIT) in asked and ("restart", service.UNIT) in asked


def test_a_service_that_does_not_start_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "SYSTEMD", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(service, "_systemctl", lambda *command: "failed" if command[0] == "restart" else "")
    done = service.start(service.CONFIG, None, wanted=True)
    assert not done.ok and "journalctl" in done.lines[0]
