"""What stands in `conf.d` beside a configuration is a part of it, and its mistakes are told with their own file and line."""

import os
from pathlib import Path

import pytest

from gateway.config.diff import diff
from gateway.config.load import load, remarks
from gateway.core.errors import ConfigError
from tests.config.sample_plugins import BrokerSink, Tls, look_up

MAIN = '[gateway]\nname = "g1"\nsite = "north"\n'
DEVICE = '[[device]]\nname = "{}"\ndriver = "plc"\nhost = "h"\n[device.tags]\na = {{ address = "1" }}\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(MAIN)
    (tmp_path / "conf.d").mkdir(mode=0o755)
    return tmp_path / "conf.d"


def said() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(Path("config.toml"), look_up)
    return str(caught.value).split("\n")


def test_tables_add_up_in_the_order_of_the_names(place: Path) -> None:
    (place / "20-b.toml").write_text(DEVICE.format("b"))
    (place / "10-a.toml").write_text('[gateway]\narea = "solids"\n' + DEVICE.format("a"))
    config = load(Path("config.toml"), look_up)
    assert [spec.config.name for spec in config.devices] == ["a", "b"]
    assert (config.gateway.site, config.gateway.area) == ("north", "solids")
    assert [path.name for path in config.parts] == ["config.toml", "10-a.toml", "20-b.toml"]


def test_a_value_that_is_set_twice_is_told_with_both_places(place: Path) -> None:
    (place / "a.toml").write_text('[gateway]\nsite = "south"\n' + DEVICE.format("a"))
    (place / "b.toml").write_text(DEVICE.format("a"))
    assert said() == [
        "conf.d/a.toml:2: [gateway] site: is set already at config.toml:3: write it in one of the two files only",
        'conf.d/b.toml:2: device "a": name: this name is taken already at conf.d/a.toml:4',
    ]


def test_every_mistake_is_told_with_its_own_file_and_line(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a").replace("host", "hots"))
    (place / "b.toml").write_text(DEVICE.format("b") + '[devise]\nx = 1\n[outbox]\nkepe = "1d"\n')
    told = said()
    assert [line.partition(": ")[0] for line in told] == [
        "conf.d/a.toml:1", "conf.d/a.toml:4", "conf.d/b.toml:7", "conf.d/b.toml:10",
    ]  # fmt: skip
    assert 'did you mean "host"?' in told[1]


def test_files_that_are_no_toml_are_all_told(place: Path) -> None:
    (place / "a.toml").write_text("[[device]\n")
    (place / "b.toml").write_text("name = yes\n")
    assert [line.partition(": ")[0] for line in said()] == ["conf.d/a.toml:1", "conf.d/b.toml:1"]


def test_single_brackets_in_one_file_do_not_hide_the_device_of_another(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a"))
    (place / "b.toml").write_text(DEVICE.format("b").replace("[[device]]", "[device]").replace('"1"', "1"))
    assert said() == [
        "conf.d/b.toml:1: [device]: there can be several: write [[device]], in two pairs of brackets",
        'conf.d/b.toml:6: device "b": tag "a": address: write "1" in quotes',
    ]


def test_a_relative_path_starts_at_the_folder_of_the_file_it_is_written_in(place: Path) -> None:
    (place / "tags.csv").write_text("name,address\nx,1\n")
    (place / "a.toml").write_text(
        '[gateway]\nplugin_dirs = ["mine"]\n[[device]]\nname = "a"\ndriver = "plc"\nhost = "h"\ntags_file = "tags.csv"\n'
        '[[sink]]\nname = "s"\nplugin = "broker"\nhost = "h"\ntls = { ca = "ca.pem" }\n'
    )
    config = load(Path("config.toml"), look_up)
    sink = config.sinks[0]
    assert isinstance(sink, BrokerSink)
    assert isinstance(sink.tls, Tls)
    assert (config.gateway.plugin_dirs, sink.tls.ca) == ((place / "mine",), place / "ca.pem")
    assert list(config.devices[0].tags) == ["x"]
    (place / "tags.csv").write_text("nmae,address\nx,1\n")
    assert said()[0].startswith("conf.d/tags.csv:1: ")


def test_what_is_left_over_beside_it_is_remarked(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a"))
    for name in ("a.toml~", "b.toml.dpkg-dist", "c.bak", ".d.toml", "E.TOML", "readme.txt", "tags.csv"):
        (place / name).write_text("[[[")
    config = load(Path("config.toml"), look_up)
    told = [problem.file for problem in remarks(config) if "is not read" in problem.message]
    assert told == [f"conf.d/{name}" for name in (".d.toml", "E.TOML", "a.toml~", "b.toml.dpkg-dist", "c.bak")]


def test_a_file_that_every_user_may_write_is_refused(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a"))
    (place / "a.toml").chmod(0o666)
    (place / "b.toml").mkdir()
    told = said()
    assert told[0].startswith("conf.d/a.toml: every user may write it")
    assert told[1] == "conf.d/b.toml: cannot be read: it is a directory, not a regular file"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a file away: sudo make test")
def test_a_file_of_another_user_is_refused(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a"))
    os.chown(place / "a.toml", 12345, 12345)
    assert said() == [
        "conf.d/a.toml: belongs to uid 12345, and not to root or root, whose the configuration is: chown root conf.d/a.toml"
    ]


def test_the_difference_names_files_that_came_went_or_changed(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a"))
    (place / "b.toml").write_text(DEVICE.format("b"))
    before = load(Path("config.toml"), look_up)
    (place / "a.toml").write_text(DEVICE.format("a") + "# a remark\n")
    (place / "b.toml").rename(place / "c.toml")
    now = load(Path("config.toml"), look_up)
    assert diff(before, now).lines() == [
        "file conf.d/c.toml added",
        "file conf.d/b.toml removed",
        "file conf.d/a.toml changed",
    ]
    assert before.hash != now.hash


def test_what_is_disabled_is_checked_and_left_out(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a") + DEVICE.format("b"))
    before = load(Path("config.toml"), look_up)
    text = DEVICE.format("a") + DEVICE.format("b").replace("host", "enabled = false\nhost")
    (place / "a.toml").write_text(text)
    now = load(Path("config.toml"), look_up)
    assert ([spec.config.name for spec in now.devices], now.disabled) == (["a"], (("device", "b"),))
    assert diff(before, now).lines()[-1] == "device b disabled"
    assert diff(now, before).lines()[-1] == "device b enabled"
    (place / "a.toml").write_text(text.replace("plc", "plx"))
    assert [line.partition(": ")[0] for line in said()] == ["conf.d/a.toml:3", "conf.d/a.toml:9"]


def test_a_tag_that_is_disabled_is_checked_and_left_out_in_a_tag_file_too(place: Path) -> None:
    (place / "b.csv").write_text("name,address,enabled\nx,1,\ny,2,false\n")
    off = 'off = { address = "2", enabled = false }\n'
    text = DEVICE.format("a") + off + '[[device]]\nname = "b"\ndriver = "plc"\nhost = "h"\ntags_file = "b.csv"\n'
    (place / "a.toml").write_text(text)
    now = load(Path("config.toml"), look_up)
    assert {spec.config.name: list(spec.tags) for spec in now.devices} == {"a": ["a"], "b": ["x"]}
    assert now.disabled == (("tag", "a/off"), ("tag", "b/y"))
    (place / "a.toml").write_text(text.replace("enabled = false", 'enabled = "no"'))
    assert "enabled" in said()[0]


def test_a_device_whose_tags_are_all_disabled_is_left_out(place: Path) -> None:
    (place / "a.toml").write_text(DEVICE.format("a") + DEVICE.format("b").replace('"1"', '"1", enabled = false'))
    now = load(Path("config.toml"), look_up)
    assert ([spec.config.name for spec in now.devices], now.disabled) == (["a"], (("tag", "b/a"),))


def test_who_watches_a_tag_that_is_disabled_is_told(place: Path) -> None:
    alarm = '[[alarm]]\nname = "hot"\ndevices = ["a"]\ntag = "off"\nhigh = 3\n'
    text = DEVICE.format("a") + 'off = { address = "2", enabled = false }\n' + alarm
    (place / "a.toml").write_text(text)
    assert 'tag "off" of device "a" is disabled' in said()[0]
    (place / "a.toml").write_text(text + "enabled = false\n")
    assert load(Path("config.toml"), look_up).disabled == (("alarm", "hot"), ("tag", "a/off"))
