"""Each folder in `cases/` is a configuration with what must come of it: `plan.txt` or `error.txt`."""

from pathlib import Path

import pytest

from gateway.testing import check_case, planned
from plugins.ethernetip.driver import EthernetIp

FOLDER = Path(__file__).parents[1]


@pytest.mark.parametrize("case", sorted((FOLDER / "cases").iterdir()), ids=lambda case: case.name)
def test_case(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    check_case(case, "ethernetip", EthernetIp)


def test_the_sample_is_a_right_configuration(tmp_path: Path) -> None:
    sample = tmp_path / "config.toml"
    sample.write_text('[gateway]\nname = "gw"\n\n' + (FOLDER / "sample.toml").read_text())
    assert planned(sample, "ethernetip", EthernetIp)
