"""A dropped-in plugin works without touching anything else; a bad one is parked, named, and harms nobody."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points

import pytest

from gateway.config import kinds
from gateway.config.kinds import DRIVER
from gateway.core.errors import PluginError
from gateway.plugin.discovery import Plugins
from gateway.plugin.driver import option_types

GOOD = '''
"""Good for nothing."""

from gateway.plugin import DeviceConfig, Driver, TagConfig


class Good(Driver[DeviceConfig, TagConfig]):
    async def connect(self): ...
    async def read(self, tags):
        return [1.0] * len(tags)
'''

SINK = """
from gateway.plugin import Sink, SinkConfig

class Nowhere(Sink[SinkConfig]):
    async def connect(self): ...
    async def serve(self): ...
    def send(self, records):
        self.host.acknowledged(records)
"""


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    return folder


def drop(directory, name, code):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return path


def parked(plugins, name):
    """The error under which a plugin is listed; it is also what asking for it raises."""
    (error,) = [info.error for info in plugins.all() if info.name == name and info.error]
    with pytest.raises(PluginError) as raised:
        plugins.driver(name)
    assert str(raised.value) == error
    return error


def test_a_dropped_in_file_answers_to_its_file_name(directory):
    drop(directory, "acme_scale.py", GOOD)
    plugins = Plugins([directory])
    assert plugins.driver("acme_scale").__name__ == "Good"
    assert "acme_scale" in plugins.names(DRIVER)
    (info,) = [info for info in plugins.all() if info.name == "acme_scale"]
    assert (info.kind, info.doc, info.error, info.source) == ("driver", "Good for nothing.", "", "directory")


def test_a_folder_imports_its_own_files(directory):
    drop(directory, "press/__init__.py", "from .driver import Press")
    drop(
        directory,
        "press/options.py",
        "from gateway.plugin import DeviceConfig\nclass PressConfig(DeviceConfig):\n    port: int = 1\n",
    )
    drop(
        directory,
        "press/driver.py",
        """
        from gateway.plugin import Driver, TagConfig
        from .options import PressConfig

        class _Base(Driver[PressConfig, TagConfig]):
            async def connect(self): ...

        class Press(_Base):
            async def read(self, tags): ...
        """,
    )
    device, _ = Plugins([directory]).options(DRIVER, "press")
    assert device.__name__ == "PressConfig"


def test_a_folder_of_folders_imports_its_own_rooms_now_and_later(directory):
    drop(directory, "press/__init__.py", "from .driver import Press")
    drop(directory, "press/line/__init__.py", "")
    drop(directory, "press/line/frames.py", "LENGTH = 6")
    drop(directory, "press/plan/areas.py", "from ..line.frames import LENGTH\nAREAS = [LENGTH] * 2")
    drop(
        directory,
        "press/driver.py",
        """
        from gateway.plugin import DeviceConfig, Driver, TagConfig
        from .line.frames import LENGTH

        class Press(Driver[DeviceConfig, TagConfig]):
            async def connect(self): ...
            async def read(self, tags):
                from .plan.areas import AREAS
                return AREAS
        """,
    )
    press = Plugins([directory]).driver("press")
    assert asyncio.run(press.read(None, [])) == [6, 6]
    drop(directory, "other/__init__.py", "from .line.frames import LENGTH")
    drop(directory, "other/line/frames.py", "raise ValueError('no such line')")
    assert f"{directory}/other/line/frames.py:1: ValueError: no such line" in parked(Plugins([directory]), "other")
    assert Plugins([directory]).driver("press") is press


def test_sinks_and_drivers_are_told_apart(directory):
    drop(directory, "nowhere.py", SINK)
    drop(directory, "good.py", GOOD)
    plugins = Plugins([directory])
    assert plugins.options(kinds.SINK, "nowhere")[0].__name__ == "SinkConfig"
    with pytest.raises(PluginError, match=r'"nowhere" is a sink, not a driver: name it in a \[\[sink\]\] table'):
        plugins.driver("nowhere")
    with pytest.raises(PluginError, match=r'"good" is a driver, not a sink: name it in a \[\[device\]\] table'):
        plugins.sink("good")
    with pytest.raises(KeyError):
        plugins.driver("no_such_thing")


def test_nothing_is_imported_until_it_is_asked_for(directory):
    mark = directory / "imported"
    drop(directory, "loud.py", f"from pathlib import Path\nPath({str(mark)!r}).touch()\n{textwrap.dedent(GOOD)}")
    drop(directory, "good.py", GOOD)
    plugins = Plugins([directory])
    plugins.driver("good")
    assert not mark.exists()
    plugins.driver("loud")
    assert mark.exists()


def test_shipped_drivers_load_without_their_heavy_libraries():
    code = (
        "import sys; from gateway.config.kinds import DRIVER; from gateway.plugin.discovery import Plugins; p = Plugins()\n"
        "assert 'simulated' in p.names(DRIVER)\n"
        "print([info.error for info in p.all() if info.error])\n"
        "print([m for m in ('asyncua', 'onnxruntime', 'pymodbus') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert told.stdout.splitlines() == ["[]", "[]"]


def test_option_types_stay_the_same_when_the_configuration_is_read_again(directory):
    drop(directory, "good.py", GOOD)
    assert option_types(Plugins([directory]).driver("good")) == option_types(Plugins([directory]).driver("good"))
    assert Plugins([directory]).driver("good") is Plugins([directory]).driver("good")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def broken(:\n", r"bad\.py:1: SyntaxError: invalid syntax"),
        (
            "\nimport no_such_library\n",
            r"bad\.py:2: ModuleNotFoundError: .*no_such_library.*pip install no_such_library",
        ),
        ("\n\n1 / 0\n", r"bad\.py:3: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", r"bad\.py:2: SystemExit: 3"),
        ("x = 1\n", r"bad\.py holds no Driver, Sink, Service or Watch class"),
        (
            GOOD + "\nclass Other(Good): ...\n",
            r"holds Good \(.*bad\.py:7\) and Other \(.*bad\.py:12\), but a plugin is one",
        ),
        (GOOD.replace("[DeviceConfig, TagConfig]", ""), r"bad\.py:7: Good names no option types"),
        (
            GOOD.replace("[DeviceConfig, TagConfig]", "[int, TagConfig]"),
            r"bad\.py:7: Good is given .*int.*DeviceConfig",
        ),
        (GOOD.replace("async def read", "async def reed"), r"bad\.py:7: Good lacks read"),
        (SINK.replace("def send", "def sent"), r"bad\.py:4: Nowhere lacks send"),
    ],
    ids=[
        "syntax",
        "library",
        "error",
        "exit",
        "empty",
        "two",
        "untyped",
        "wrong types",
        "incomplete",
        "incomplete sink",
    ],
)
def test_a_broken_plugin_is_parked_with_file_line_and_cause(directory, code, told):
    drop(directory, "bad.py", code)
    drop(directory, "good.py", GOOD)
    plugins = Plugins([directory])
    assert re.search(told, parked(plugins, "bad"))
    assert {"good", "simulated"} <= set(plugins.names(DRIVER))


def test_a_plugin_that_was_mended_works_with_the_next_look(directory):
    drop(directory, "good.py", "1 / 0")
    parked(Plugins([directory]), "good")
    drop(directory, "good.py", GOOD + "\n# mended, and of another size than before")
    assert Plugins([directory]).driver("good")


@pytest.mark.parametrize(
    "target",
    [".", "good.py", "folder", "folder/__init__.py", "folder/data.bin", "folder/room", "folder/room/code.py"],
)
def test_what_everybody_can_write_to_is_refused(directory, target):
    drop(directory, "good.py", GOOD)
    drop(directory, "folder/__init__.py", GOOD)
    drop(directory, "folder/data.bin", "")
    drop(directory, "folder/room/code.py", "")
    path = directory / target
    path.chmod(path.stat().st_mode | 0o002)
    plugins = Plugins([directory])
    (error,) = plugins.parked()
    assert f"chmod o-w {path.resolve() if target == '.' else path}" in error
    working = {"good", "folder"} & set(plugins.names(DRIVER))
    assert working == {".": set(), "good.py": {"folder"}}.get(target, {"good"})


def test_cached_code_that_everybody_can_write_to_is_refused_too(directory):
    path = drop(directory, "good.py", GOOD)
    cache = path.parent / "__pycache__"
    cache.mkdir()
    cache.chmod(0o777)
    assert "__pycache__" in parked(Plugins([directory]), "good")


def test_a_directory_that_everybody_could_swap_is_refused(tmp_path):
    above = tmp_path / "open"
    (above / "plugins").mkdir(parents=True)
    drop(above / "plugins", "good.py", GOOD)
    above.chmod(0o777)
    assert str(above) in Plugins([above / "plugins"]).parked()[0]
    above.chmod(0o1777)
    assert not Plugins([above / "plugins"]).parked()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away: sudo -E .venv/bin/pytest tests/plugin")
def test_what_belongs_to_somebody_else_is_refused(directory):
    path = drop(directory, "good.py", GOOD)
    os.chown(path, 12345, -1)
    assert "belongs to user 12345" in parked(Plugins([directory]), "good")
    os.chown(path, 0, 12345)
    path.chmod(0o664)
    assert "writable for group 12345" in parked(Plugins([directory]), "good")


def test_a_link_into_a_directory_that_everybody_can_write_to_is_refused(directory, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    drop(elsewhere, "good.py", GOOD)
    elsewhere.chmod(0o777)
    (directory / "good.py").symlink_to(elsewhere / "good.py")
    assert str(elsewhere) in parked(Plugins([directory]), "good")


def behind_a_link(directory, tmp_path, *, inside: bool):
    """A plugin's folder whose code lies elsewhere: all of it, or a part."""
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    if inside:
        drop(directory, "good/__init__.py", f"from .part import x\n{GOOD}")
        drop(elsewhere, "part/__init__.py", "from .more import x")
        drop(elsewhere, "part/more.py", "x = 1")
        (directory / "good" / "part").symlink_to(elsewhere / "part")
    else:
        drop(elsewhere, "part/__init__.py", GOOD)
        drop(elsewhere, "part/more.py", "x = 1")
        (directory / "good").symlink_to(elsewhere / "part")
    return elsewhere


@pytest.mark.parametrize("inside", [True, False])
def test_what_lies_behind_links_is_checked_and_hashed_as_all_else_is(directory, tmp_path, inside):
    elsewhere = behind_a_link(directory, tmp_path, inside=inside)
    plugins = Plugins([directory])
    assert plugins.driver("good")
    before = plugins.hashes(["good"])
    (elsewhere / "part" / "more.py").write_text("x = 22")
    assert Plugins([directory]).hashes(["good"]) != before
    for path in (elsewhere / "part" / "more.py", elsewhere / "part", elsewhere, elsewhere.parent):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        assert f"chmod o-w {path}" in parked(Plugins([directory]), "good") or path.name in ("part", "more.py")
        assert "writable for everybody" in parked(Plugins([directory]), "good")
        path.chmod(mode)


def test_links_in_a_circle_or_out_of_the_plugin_are_no_endless_walk(directory, monkeypatch):
    drop(directory, "good/__init__.py", GOOD)
    (directory / "good" / "again").symlink_to(directory / "good")
    assert Plugins([directory]).driver("good")
    (directory / "good" / "self").symlink_to("self")
    assert "Too many levels of symbolic links" in parked(Plugins([directory]), "good")
    (directory / "good" / "self").unlink()
    (directory / "good" / "all").symlink_to("/")
    monkeypatch.setattr("gateway.plugin.ownership.FILES_AT_MOST", 50)
    assert re.search("holds more than 50 files|belongs to|writable|neither", parked(Plugins([directory]), "good"))


def test_a_fifo_in_the_place_of_code_is_named_and_never_waited_for(directory):
    os.mkfifo(directory / "good.py")
    assert "neither a file nor a folder" in parked(Plugins([directory]), "good")


ROOT_ONLY = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away: sudo -E .venv/bin/pytest tests/plugin"
)


@ROOT_ONLY
@pytest.mark.parametrize("way", ["owner", "group", "link", "target's parent", "mode of a sticky one"])
def test_who_could_swap_a_plugin_directory_is_named(tmp_path, way):
    above = tmp_path / "above"
    (above / "plugins").mkdir(parents=True)
    drop(above / "plugins", "good.py", GOOD)
    asked = above / "plugins"
    if way == "owner":
        os.chown(above, 12345, -1)
    elif way == "group":
        os.chown(above, 0, 12345)
        above.chmod(0o775)
    elif way == "mode of a sticky one":
        os.chown(above, 12345, -1)
        above.chmod(0o1777)
    else:
        asked = tmp_path / "link"
        asked.symlink_to(above / "plugins")
        os.chown(asked if way == "link" else above, 12345, -1, follow_symlinks=False)
    (error,) = Plugins([asked]).parked()
    assert str(asked if way == "link" else above) in error
    assert "12345" in error


@ROOT_ONLY
def test_what_was_checked_cannot_be_changed_by_somebody_else(tmp_path):
    """As another user, in a child: every way to replace the code that the check allows would fail."""
    directory = tmp_path / "plugins"
    drop(directory, "good/__init__.py", GOOD)
    for path in (tmp_path, *tmp_path.parents[:-1]):
        if path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    assert Plugins([directory]).driver("good")
    code = directory / "good" / "__init__.py"
    tries = f"""
import os
os.setgroups([]); os.setgid(12345); os.setuid(12345)
done = 0
for call, *arguments in (
    (open, {str(code)!r}, "a"),
    (os.rename, {str(directory)!r}, {str(directory)!r} + "x"),
    (os.unlink, {str(code)!r}),
    (os.mkdir, {str(code.parent)!r} + "/__pycache__"),
):
    try:
        call(*arguments)
        done += 1
    except (PermissionError, FileExistsError):
        pass
raise SystemExit(done)
"""
    assert subprocess.run([sys.executable, "-c", tries], check=False).returncode == 0


def test_a_directory_that_is_missing_is_named(tmp_path):
    (error,) = Plugins([tmp_path / "nowhere"]).parked()
    assert error == f"plugin directory {tmp_path / 'nowhere'}: No such file or directory"


def test_a_shipped_name_is_taken_unless_it_may_be_replaced(directory):
    drop(directory, "simulated.py", GOOD)
    plugins = Plugins([directory])
    (error,) = plugins.parked()
    assert "has the name of a shipped plugin" in error
    assert 'replaces = ["simulated"]' in error
    assert plugins.driver("simulated").__name__ == "Simulated"
    assert Plugins([directory], replaces=["simulated"]).driver("simulated").__name__ == "Good"
    assert Plugins([directory]).driver("simulated").__name__ == "Simulated"


def test_of_two_plugins_with_one_name_the_first_is_used_and_the_second_named(directory, tmp_path):
    other = tmp_path / "other"
    drop(directory, "good.py", GOOD)
    drop(other, "good.py", GOOD)
    plugins = Plugins([directory, other])
    assert plugins.driver("good")
    assert str(other / "good.py") in plugins.parked()[0]


def test_names_that_no_config_should_spell_are_parked(directory):
    drop(directory, "My-Scale.py", GOOD)
    drop(directory, "_private.py", "1 / 0")
    assert "made of a-z, 0-9 and _" in parked(Plugins([directory]), "My-Scale")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package as pip would: its files, and its metadata with an entry point."""

    def install(name, value, code):
        site = tmp_path / "site"
        drop(site, f"{name}_lib/__init__.py", code)
        info = site / f"{name}_lib-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-lib\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[edge_gateway.plugins]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(site)
        assert entry_points(group="edge_gateway.plugins", name=name)

    return install


@pytest.mark.filterwarnings("error")
def test_an_option_may_be_called_register(directory):
    code = GOOD.replace("class Good(Driver[DeviceConfig, TagConfig])", "class Good(Driver[DeviceConfig, Word])")
    word = "class Word(TagConfig):\n    register: int\n\n\n"
    drop(directory, "registers.py", code.replace("class Good", word + "class Good"))
    _, tag = option_types(Plugins([directory]).driver("registers"))
    assert tag(register=7).register == 7


@pytest.mark.parametrize("value", ["piped_lib", "piped_lib:Good"])
def test_a_pip_installed_package_announces_its_plugin(installed, value, monkeypatch):
    monkeypatch.delitem(sys.modules, "piped_lib", raising=False)
    installed("piped", value, GOOD)
    plugins = Plugins()
    assert plugins.driver("piped").__name__ == "Good"
    (info,) = [info for info in plugins.all() if info.name == "piped"]
    assert (info.source, info.version, info.origin) == ("installed", "1.2", value)


def test_a_pip_installed_package_that_names_nothing_is_parked(installed):
    installed("hollow", "hollow_lib:Missing", GOOD)
    assert "hollow_lib" in parked(Plugins(), "hollow")


def test_hashes_change_with_any_file_of_a_plugin(directory):
    drop(directory, "folder/__init__.py", GOOD)
    before = Plugins([directory]).hashes(["folder", "unknown"])
    assert set(before) == {"folder"}
    for path in ("folder/table.csv", "folder/room/table.csv"):
        drop(directory, path, "1;2")
        now = Plugins([directory]).hashes(["folder"])
        assert now != before
        before = now
