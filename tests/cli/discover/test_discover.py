"""`edge-gateway discover`, against real servers on this machine's own addresses."""

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tomllib

import pytest

from gateway.cli import main
from gateway.cli.config.check import check
from gateway.cli.discover import named
from gateway.cli.discover.searching import Plan, Progress, search
from gateway.plugin import Discovered
from plugins.modbus.tests.peers import pymodbus

FAST = ("--yes", "--rate", "500", "--timeout", "20")


async def discover(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["discover", *arguments])


async def test_what_it_prints_passes_check(capsys, tmp_path):
    async with pymodbus("tcp", [1, 3]) as port:
        code = await discover("127.0.0.1", "--port", str(port), "--units", "1-3", "--driver", "modbus", *FAST)
    said = capsys.readouterr()
    assert code == 0, said.err
    devices = tomllib.loads(said.out)["device"]
    assert [(each["host"], each["port"], each["unit"]) for each in devices] == [
        ("127.0.0.1", port, 1),
        ("127.0.0.1", port, 3),
    ]
    config = tmp_path / "config.toml"
    sink = '[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "localhost"\n'
    config.write_text(f'[gateway]\nname = "gw"\nstate_dir = "state"\n{sink}{said.out}')
    assert check(config) == 0, capsys.readouterr().out


async def test_scripts_get_json(capsys):
    async with pymodbus("tcp", [1]) as port:
        assert (
            await discover("127.0.0.1", "--port", str(port), "--units", "1", "--driver", "modbus", "--json", *FAST) == 0
        )
    (found,) = json.loads(capsys.readouterr().out)
    assert found["driver"] == "modbus"
    assert found["options"] == {"host": "127.0.0.1", "port": port, "unit": 1}
    assert found["tags"]


async def test_where_nobody_is_it_says_so(capsys):
    from tests.peers.ports import free_port

    assert await discover("127.0.0.1", "--port", str(free_port()), "--driver", "modbus", *FAST) == 1
    assert "nothing answered" in capsys.readouterr().err


async def test_what_the_configuration_has_already_gets_no_second_connection(capsys, tmp_path):
    config = tmp_path / "config.toml"
    async with pymodbus("tcp", [1]) as port:
        config.write_text(
            '[gateway]\nname = "gw"\n[[device]]\nname = "press-1"\ndriver = "modbus"\nhost = "127.0.0.1"\n'
            f'port = {port}\n[device.tags]\na = {{ address = "hr:0", type = "int16" }}\n'
        )
        arguments = ("127.0.0.1", "--config", str(config), "--port", str(port), "--driver", "modbus", *FAST)
        assert await discover(*arguments) == 1
    assert "press-1" in capsys.readouterr().err


def test_it_dials_nobody_where_nobody_can_be_asked(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["discover", "127.0.0.1"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_a_slip_is_refused_before_anything_is_dialled(capsys):
    assert main(["discover", "10.0.0.0/8", "--yes"]) == 2
    assert "1024" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--units", "1-300"], ["--port", "0"], ["--rate", "1e9"], ["--timeout", "nan"]])
def test_options_that_make_no_sense_are_wrong_usage(wrong):
    with pytest.raises(SystemExit) as end:
        main(["discover", "127.0.0.1", *wrong])
    assert end.value.code == 2


def test_a_driver_that_finds_nothing_by_nature_is_named(capsys):
    assert main(["discover", "127.0.0.1", "--driver", "modbos", "--yes"]) == 2
    assert 'did you mean "modbus"' in capsys.readouterr().err


def test_no_at_the_terminal_dials_nobody():
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gateway", "discover", "127.0.0.1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(ours, b"n\n")
    out, err = process.communicate(timeout=100)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 2
    assert "Go on? [y/N]" in err
    assert out == ""


def test_ctrl_c_ends_it_with_what_was_found():
    """A unit answers, the others are silent: after the first is found, the search is broken off."""
    program = (
        "import asyncio, sys\n"
        "from gateway.cli import main, discover\n"
        "from gateway.plugin import Discovered\n"
        "class Found:\n"
        "    can = frozenset({'discover'})\n"
        "    @classmethod\n"
        "    async def discover(cls, search):\n"
        "        yield Discovered({'host': search.host}, name='one')\n"
        "        print('found', file=sys.stderr, flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "discover._drivers = lambda plugins, wanted: {'found': Found}\n"
        "sys.exit(main(['discover', '127.0.0.1', '--yes', '--json']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert process.stderr.readline() == "found\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert json.loads(out)[0]["says"] == "one"
    assert "broken off" in err


class _Broken:
    @classmethod
    async def discover(cls, search):
        raise RuntimeError("oh")
        yield


class _Sound:
    @classmethod
    async def discover(cls, search):
        await search.turn()
        yield Discovered({"host": search.host})


async def test_a_drivers_bug_costs_its_place_alone_and_is_told():
    progress = Progress()
    plan = Plan(["127.0.0.1", "127.0.0.2"], {"broken": _Broken, "sound": _Sound}, rate=1000)
    await search(plan, progress)
    assert sorted(each.options["host"] for _, each in progress.found) == ["127.0.0.1", "127.0.0.2"]
    assert len(progress.bugs) == 2
    assert progress.done == progress.total == 4


async def test_the_pace_is_kept():
    """Ten turns at 50 a second take 180 ms at least, however fast the machine is."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    plan = Plan([f"127.0.0.{last}" for last in range(1, 11)], {"sound": _Sound}, rate=50)
    progress = Progress()
    await search(plan, progress)
    assert len(progress.found) == 10
    assert loop.time() - begin >= 0.17


def test_names_are_unique_and_in_the_order_of_addresses():
    hosts = ["10.0.0.10", "10.0.0.9", "10.0.0.9"]
    found = [("modbus", Discovered({"host": host, "unit": 1})) for host in hosts]
    assert [name for name, _, _ in named(found)] == ["modbus-10-0-0-9", "modbus-10-0-0-9-2", "modbus-10-0-0-10"]
