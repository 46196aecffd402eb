"""Each folder in `cases/` is a configuration with what must come of it: `plan.txt` or `error.txt`."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.acquire.probe import unbound
from gateway.config.load import load
from gateway.core.errors import ConfigError
from plugins.opcua import OpcUa
from plugins.opcua.config import NodeConfig, OpcUaConfig

FOLDER = Path(__file__).parents[1]
CASES = sorted((FOLDER / "cases").iterdir())


class OnlyOpcUa:
    """The look-up of an installation with this one plugin."""

    def drivers(self) -> Sequence[str]:
        return ["opcua"]

    def sinks(self) -> Sequence[str]:
        return []

    def services(self) -> Sequence[str]:
        return []

    def service_type(self, name: str) -> None:
        raise KeyError(name)

    def driver_types(self, name: str) -> tuple[type[OpcUaConfig], type[NodeConfig]]:
        if name != "opcua":
            raise KeyError(name)
        return OpcUaConfig, NodeConfig

    def sink_type(self, name: str) -> None:
        raise KeyError(name)


def plans(path: Path) -> str:
    lines = [line for spec in load(path, lambda _: OnlyOpcUa()).devices for line in OpcUa.plan(unbound(spec))]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case, monkeypatch):
    monkeypatch.chdir(case)
    wrong = case / "error.txt"
    if wrong.exists():
        with pytest.raises(ConfigError) as caught:
            load(Path("config.toml"), lambda _: OnlyOpcUa())
        assert f"{caught.value}\n" == wrong.read_text()
    else:
        assert plans(Path("config.toml")) == (case / "plan.txt").read_text()


def test_the_sample_is_a_right_configuration(tmp_path):
    sample = tmp_path / "config.toml"
    sample.write_text('[gateway]\nname = "gw"\n\n' + (FOLDER / "sample.toml").read_text())
    assert plans(sample)
