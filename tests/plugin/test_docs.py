"""docs/plugins.md and plugins-more.md show code that works: what `plugin new` writes, whose tests pass (test_scaffold.py)."""

import re
from pathlib import Path

import pytest
import tomli

import gateway
import gateway.plugin
from gateway.plugin.scaffold import write_scaffold

REPOSITORY = Path(gateway.__file__).parents[1]
PAGE, MORE = ((REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("plugins", "plugins-more"))


def blocks(language, page=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_code_shown_is_what_plugin_new_writes(tmp_path):
    write_scaffold("acme_scale", tmp_path)
    write_scaffold("acme_archive", tmp_path, "sink")
    written = ["acme_scale/__init__.py", "acme_scale/tests/test_acme_scale.py", "acme_archive/__init__.py"]
    driver, pushed, its_test, plc = blocks("python")
    sink, service, watch = blocks("python", MORE)
    assert [driver, its_test, sink] == [(tmp_path / name).read_text() for name in written]
    assert "readings_of(device, found)" in pushed, "tests/plugin/test_pushed.py runs it"
    assert "BlockDriver[AcmePlcDevice, AcmePlcTag]" in plc, "tests/kit/test_block_driver.py runs it"
    assert service == (REPOSITORY / "tests" / "app" / "plugins" / "totals.py").read_text(), "test_services.py runs it"
    assert watch == (REPOSITORY / "tests" / "app" / "plugins" / "jump.py").read_text(), "test_watches.py runs it"
    assert (tmp_path / "acme_scale/sample.toml").read_text() == blocks("toml")[0]


@pytest.mark.parametrize("block", blocks("toml"))
def test_the_toml_shown_is_toml(block):
    assert tomli.loads(block)


def test_every_name_that_the_page_promises_exists():
    driver = {
        "write",
        "browse",
        "describe",
        "plan",
        "line_key",
        "in_thread",
        "alive",
        "stream",
        "read",
        "connect",
        "close",
    }
    assert all(f"{name}(" in PAGE or f"`{name}`" in PAGE for name in driver)
    assert driver - {"alive"} <= set(dir(gateway.plugin.Driver))
    for name in ("DeviceError", "LinkError", "RefusedError", "Duration", "Size", "FilePath", "Secret", "Readings"):
        assert f"`{name}`" in PAGE
        assert hasattr(gateway.plugin, name)
