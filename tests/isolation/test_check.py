"""What cannot run in a process of its own is told before anything starts."""

from pathlib import Path

import pytest

from gateway.cli.config.check import check

PLUGIN = """
import threading
from pydantic import PrivateAttr
from gateway.plugin import DeviceConfig, Driver, TagConfig

class Options(DeviceConfig):
    _lock = PrivateAttr(default_factory=threading.Lock)

class Unfit(Driver[Options, TagConfig]):
    async def connect(self):
        pass
    async def read(self, tags):
        return [1.0]
"""


@pytest.mark.parametrize(("where", "code"), [("process", 1), ("gateway", 0)])
def test_options_that_no_other_process_can_have_are_told_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, code: int
) -> None:
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "unfit.py").write_text(PLUGIN)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[gateway]\nname = "g1"\nstate_dir = "{tmp_path / "state"}"\nplugin_dirs = ["plugins"]\n'
        '[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "127.0.0.1"\n'
        f'[[device]]\nname = "odd"\ndriver = "unfit"\nrun_in = "{where}"\n[device.tags]\na = {{}}\n'
    )
    assert check(config) == code
    said = capsys.readouterr().out
    assert ('device "odd": run_in: its options cannot be handed to another process' in said) == bool(code)
