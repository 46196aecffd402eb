import json
import shutil
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.config.check import _room

CONFIG = """
[gateway]
name = "g1"
[[sink]]
name = "central"
plugin = "mqtt"
host = "broker.plant.local"
user = "gw"
password = { env = "GW_NOT_SET" }
tls = true
[[device]]
name = "press-1"
driver = "modbus"
host = "192.168.10.21"
[device.tags]
oil_temp = { address = "40001", type = "float32" }
oil_pressure = { address = "40003", type = "float32" }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def test_check_tells_what_will_be_read_and_how(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "1 device, 2 tags, 1 sink, 0 models" in told
    assert "40001-40004" in told
    assert 'warning sink "central": password: secret: the environment variable GW_NOT_SET is not set' in told


def test_check_names_every_problem_and_exits_with_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG.replace("host =", "hots =").replace('"float32"', '"flaot32"'))
    assert main(["check", "--config", str(config)]) == 1
    told = capsys.readouterr().out
    assert told.count('did you mean "host"?') == 2
    assert told.count('did you mean "float32"?') == 2
    assert told.endswith("6 problems\n")


def test_check_answers_in_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "--config", str(config)]) == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["ok"], good["devices"][0]["tags"], len(good["hash"])) == (True, 2, 64)
    config.write_text(CONFIG.replace("[gateway]", "[gatewya]"))
    assert main(["check", "--json", "--config", str(config)]) == 1
    bad = json.loads(capsys.readouterr().out)
    assert bad["ok"] is False
    assert bad["problems"][-1]["line"] == 2
    assert bad["problems"][-1]["where"] == "gatewya"


def test_schema_is_printed_or_written(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--config", str(config)]) == 0
    assert "device-modbus" in json.loads(capsys.readouterr().out)["definitions"]
    assert main(["schema", "--config", str(tmp_path / "none.toml"), "--output", str(tmp_path / "s.json")]) == 0
    assert "sink-mqtt" in json.loads((tmp_path / "s.json").read_text())["definitions"]


@pytest.mark.parametrize(("synced", "said"), [(False, "is not synchronised"), (None, "may or may not"), (True, "")])
def test_check_says_when_this_machines_clock_is_not_synchronised(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, synced: bool | None, said: str
) -> None:
    monkeypatch.setattr("gateway.core.clock.SystemClock.synchronised", lambda _: synced)
    assert main(["check", "--config", str(config)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  clock ")]
    assert [said in line for line in told] == ([True] if said else [])


def test_two_mqtt_sinks_of_one_client_id_are_a_mistake_and_a_shared_topic_is_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = '[gateway]\nname = "gw1"\nsite = "north"\n'
    sink = '[[sink]]\nname = "{}"\nplugin = "mqtt"\nhost = "broker.plant.local"\n'
    device = '[[device]]\nname = "gw1"\ndriver = "simulated"\n[device.tags]\na = {}\n'
    file = tmp_path / "gw.toml"
    file.write_text(head + sink.format("one") + sink.format("two") + device)
    assert main(["check", "--config", str(file)]) == 1
    said = capsys.readouterr().out
    assert f'{file}:8: sink "two": it uses client_id "gw1" at broker.plant.local:1883, as sink "one" does' in said
    file.write_text(head + sink.format("one") + sink.format("two") + 'client_id = "gw1-two"\n' + device)
    assert main(["check", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert 'sink "one": topic: device "gw1" and the gateway itself share north/gw1/_state' in said


def test_check_reads_the_cards_of_models(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = Path(__file__).parents[2] / "gateway/demo/models/coater.onnx"
    shutil.copy(shipped, config.parent / "coater.onnx")
    (config.parent / "text.onnx").write_text("no model")
    tables = (f'[[model]]\nfile = "{name}.onnx"\ndevices = ["*"]\n' for name in ("coater", "text", "gone"))
    config.write_text(CONFIG + "\n" + "\n".join(tables))
    assert main(["check", "--config", str(config)]) == 1
    told = capsys.readouterr().out
    line = {text: number for number, text in enumerate(config.read_text().splitlines(), 1)}
    coater, text = line['file = "coater.onnx"'], line['file = "text.onnx"']
    assert f":{coater + 1}: model coater.onnx: devices: device " in told
    assert f":{text}: model text.onnx: file: " in told
    assert "gone.onnx: cannot be read: No such file or directory" in told
    assert told.endswith("3 problems\n")
    assert main(["check", "--json", "--config", str(config)]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 3


def test_check_says_how_long_the_outbox_lasts_without_a_sink(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG + '[outbox]\nmax_size = "9600 kB"\nmin_free = "0 B"\nkeep = "7d"\n')
    assert main(["check", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "outbox  may take 9.2 MiB: without a sink it lasts 1 d 3 h at least; what was sent stays for 7 d" in told


def test_a_disk_with_less_room_than_the_bound_is_said() -> None:
    outbox = {"max_size": 2**26, "usable": 2**22, "lasts_s": 3600, "keep_s": 0}
    assert _room(outbox) == "may take 64.0 MiB, but the disk has room for 4.0 MiB: without a sink it lasts 1 h at least"


def test_the_file_can_be_named_and_its_mistakes_told_as_annotations(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(config), "--format", "github"]) == 0
    assert "::warning file=" in capsys.readouterr().out
    config.write_text(CONFIG.replace("host =", "hots =").replace("press-1", "50%"))
    assert main(["check", str(config), "--format", "github"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert f'::error file={config},line=14::device "50%25": hots: unknown key, did you mean "host"?' in told
    assert all(line.startswith("::error file=") for line in told)
    assert main(["check", str(config), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_file_of_conf_d_is_checked_with_the_whole(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "conf.d").mkdir(mode=0o755)
    (config.parent / "conf.d/a.toml").write_text("[outbox]\nkep = 1\n")
    assert main(["check", str(config.parent / "conf.d/a.toml")]) == 1
    told = capsys.readouterr()
    assert "is a part of" in told.err
    assert 'a.toml:2: [outbox]: kep: unknown key, did you mean "keep"?' in told.out
