"""`edge-gateway explain` on the windows that a detector has kept."""

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.detect import model_watcher
from tests.detect.graphs import save
from tests.detect.test_evidence import Kept


@pytest.fixture(autouse=True)
def _slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model scores at once, however long that takes here."""
    monkeypatch.setattr(model_watcher, "INLINE_SECONDS", float("inf"))


async def test_an_event_is_explained_from_the_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "oven.onnx")
    raised, _ = await Kept(tmp_path).run()
    folder = ["--directory", str(tmp_path / "events")]
    capsys.readouterr()
    assert main(["explain", raised.id[:6], *folder, "--window"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("oven-1 behaves unusually: temp 65.12 °C (expected 50)")
    assert "computed again: the same, bit for bit" in told
    assert ["temp", "100%", "65.1234", "50", "40", "to", "60", "°C"] in [line.split() for line in told.splitlines()]
    assert told.count("65.1234") >= 3, "the window's rows"
    assert main(["explain", raised.id, *folder, "--cleared", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["identical"], answer["event"]["state"]) == (True, "cleared")
    assert main(["explain", "nothing", *folder]) == 1
    assert "nothing is kept of an event" in capsys.readouterr().err


async def test_the_state_directory_of_the_configuration_is_where_it_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "oven.onnx")
    raised, _ = await Kept(tmp_path).run()
    config = tmp_path / "c.toml"
    config.write_text('[gateway]\nname = "g"\nstate_dir = "."\n')
    assert main(["explain", raised.id, "--config", str(config)]) == 0
