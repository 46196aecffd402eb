"""Each folder in `cases/` is a configuration with what must come of it: `plan.txt` or `error.txt`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.model import Config
from gateway.core.errors import ConfigError
from gateway.plugin import Device, Tag, Tags
from plugins.modbus.config import ModbusDevice, ModbusTag
from plugins.modbus.driver import Modbus

_FOLDER = Path(__file__).parents[1]
CASES = sorted((_FOLDER / "cases").iterdir())


class OnlyModbus:
    """The look-up of an installation with this one plugin."""

    def drivers(self) -> Sequence[str]:
        return ["modbus"]

    def sinks(self) -> Sequence[str]:
        return []

    def services(self) -> Sequence[str]:
        return []

    def service_type(self, name: str) -> None:
        raise KeyError(name)

    def driver_types(self, name: str) -> tuple[type[ModbusDevice], type[ModbusTag]]:
        if name != "modbus":
            raise KeyError(name)
        return ModbusDevice, ModbusTag

    def sink_type(self, name: str) -> None:
        raise KeyError(name)


def plans(config: Config) -> str:
    lines = []
    for spec in config.devices:
        name = spec.config.name
        tags = [Tag(number, name, tag, config=options) for number, (tag, options) in enumerate(spec.tags.items())]
        lines += Modbus.plan(Device(name, "modbus", Tags(name, tags), config=spec.config))
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    wrong = case / "error.txt"
    if wrong.exists():
        with pytest.raises(ConfigError) as caught:
            load(Path("config.toml"), lambda _: OnlyModbus())
        assert f"{caught.value}\n" == wrong.read_text()
    else:
        assert plans(load(Path("config.toml"), lambda _: OnlyModbus())) == (case / "plan.txt").read_text()


def test_the_sample_is_a_right_configuration(tmp_path: Path) -> None:
    sample = tmp_path / "config.toml"
    sample.write_text('[gateway]\nname = "gw"\n\n' + (_FOLDER / "sample.toml").read_text())
    assert load(sample, lambda _: OnlyModbus()).devices[0].config.name == "press-1"
