from pathlib import Path

import pytest

from gateway.config.diff import diff
from gateway.config.load import load
from gateway.config.model import Config
from tests.config.sample_plugins import GOOD, look_up

DEVICE_2 = '[[device]]\nname = "press-2"\ndriver = "plc"\nhost = "h"\ntags.a = { address = "1" }\n'
SINK_2 = '[[sink]]\nname = "lake"\nplugin = "broker"\nhost = "lake"\n'
MODEL = '[[model]]\nfile = "m.onnx"\ndevices = ["press-*"]\n'


def config(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, look_up)


def test_a_file_that_means_the_same_is_no_change(tmp_path: Path) -> None:
    old = config(tmp_path, GOOD + DEVICE_2)
    new = config(tmp_path, "# moved about\n" + DEVICE_2 + GOOD)
    assert old.hash != new.hash
    assert not diff(old, new)
    assert diff(old, new).lines() == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (GOOD, GOOD + DEVICE_2 + SINK_2, ["device press-2 added", "sink lake added"]),
        (GOOD + DEVICE_2 + SINK_2, GOOD, ["device press-2 removed", "sink lake removed"]),
        (GOOD, GOOD.replace('"40001"', '"40003"'), ["device press-1 changed"]),
        (GOOD, GOOD.replace('"500ms"', '"1s"'), ["device press-1 changed"]),
        (GOOD, GOOD.replace("press-1", "press-9"), ["device press-9 added", "device press-1 removed"]),
        (GOOD, GOOD.replace('credential = "mqtt-password"', 'env = "WORD"'), ["sink central changed"]),
        (GOOD, GOOD.replace('"north"', '"south"'), ["[gateway] site changed"]),
        (GOOD, GOOD.replace('"1 GiB"', '"2 GiB"'), ["[outbox] max_size changed"]),
        (GOOD, GOOD.replace('"1 GiB"', '"1024 MiB"'), []),
    ],
)
def test_each_change_is_named(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    assert diff(config(tmp_path, old), config(tmp_path, new)).lines() == lines


def test_a_new_model_file_under_the_old_name_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"1")
    old = config(tmp_path, GOOD + MODEL)
    (tmp_path / "m.onnx").write_bytes(b"2")
    assert diff(old, config(tmp_path, GOOD + MODEL)).parts["model"].changed == (str(tmp_path / "m.onnx"),)
