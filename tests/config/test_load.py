from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.config_file import ConfigFile
from gateway.config.kinds import DRIVER, PluginKind
from gateway.config.load import load, plugin_places, remarks
from gateway.config.model import Config, GatewaySection
from gateway.core.errors import ConfigError, PluginError
from tests.config.sample_plugins import GOOD, BrokerSink, PlcDevice, PlcTag, SamplePlugins, Tls, look_up


def write(folder: Path, text: str = GOOD) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file_becomes_typed(tmp_path: Path) -> None:
    config = load(write(tmp_path), look_up)
    assert (config.gateway.name, config.gateway.site, config.outbox.max_size) == ("g1", "north", 2**30)
    (device,), (sink,) = config.devices, config.sinks
    assert isinstance(device.config, PlcDevice)
    assert (device.config.name, device.config.scan, device.config.port) == ("press-1", 0.5, 502)
    assert list(device.tags) == ["oil_temp", "running"]
    tag = device.tags["oil_temp"]
    assert isinstance(tag, PlcTag)
    assert (tag.address, tag.type, tag.unit, tag.deadband) == ("40001", "float32", "°C", 0.1)
    assert isinstance(sink, BrokerSink)
    assert sink.password is not None
    assert sink.password.credential == "mqtt-password"


def test_relative_paths_start_at_the_file_not_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    config = load(Path(tmp_path.name, "config.toml"), look_up)
    sink = config.sinks[0]
    assert isinstance(sink, BrokerSink)
    assert isinstance(sink.tls, Tls)
    assert sink.tls.ca == tmp_path / "ca.pem"


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(path, look_up).devices
    assert ConfigFile(path).line(("device", 0)) == 16


def test_tags_come_from_the_table_and_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("name,address,type\nlevel,40010,int16\n")
    config = load(write(tmp_path, GOOD.replace("[device.tags]", 'tags_file = "more.csv"\n[device.tags]')), look_up)
    assert list(config.devices[0].tags) == ["oil_temp", "running", "level"]


def test_the_hash_covers_every_file_and_no_place(tmp_path: Path) -> None:
    text = GOOD.replace("[device.tags]", 'tags_file = "more.csv"\n[device.tags]')
    text += '[[model]]\nfile = "m.onnx"\ndevices = ["press-*"]\n'
    hashes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "more.csv").write_text("name,address\nlevel,40010\n")
        (tmp_path / folder / "m.onnx").write_bytes(b"model")
        hashes.append(load(write(tmp_path / folder, text), look_up).hash)
    assert hashes[0] == hashes[1]
    (tmp_path / "a" / "more.csv").write_text("name,address\nlevel,40011\n")
    hashes.append(load(tmp_path / "a" / "config.toml", look_up).hash)
    (tmp_path / "a" / "m.onnx").write_bytes(b"other")
    hashes.append(load(tmp_path / "a" / "config.toml", look_up).hash)
    assert len(set(hashes)) == 3
    assert all(len(value) == 64 for value in hashes)


def test_plugin_folders_count_also_while_other_keys_of_the_gateway_are_wrong(tmp_path: Path) -> None:
    asked: list[GatewaySection] = []

    def remember(section: GatewaySection) -> SamplePlugins:
        asked.append(section)
        return SamplePlugins()

    path = write(tmp_path, GOOD.replace('name = "g1"', 'nmae = "g1"\nplugin_dirs = ["own"]'))
    with pytest.raises(ConfigError):
        load(path, remember)
    assert asked[0].plugin_dirs == (tmp_path / "own",)
    assert plugin_places(path).plugin_dirs == (tmp_path / "own",)


class Broken(SamplePlugins):
    def options(self, kind: PluginKind, name: str) -> tuple[type, ...]:
        if kind is DRIVER:
            raise PluginError("plc.py:1: no module named plc")
        return super().options(kind, name)


def test_a_device_whose_plugin_does_not_load_is_parked_and_the_rest_stands(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    config = load(path, lambda section: Broken())
    assert config.devices == ()
    assert config.sinks == load(path, look_up).sinks
    assert {problem.message for problem in config.parked} == {"plc.py:1: no module named plc"}
    assert 'device "' in config.parked[0].where
    assert config.parked[0].line > 0


def test_a_plugin_that_does_not_load_leaves_the_other_mistakes_visible(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plc\.py:1(.|\n)*") as caught:
        load(write(tmp_path, GOOD + '[[sink]]\nname = "x"\n'), lambda section: Broken())
    assert [problem.line for problem in caught.value.problems] == [18, 24]


@pytest.mark.parametrize(("name", "words"), [("no.toml", "no such file"), (".", "cannot be read: it is a directory")])
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / name, look_up)


def test_brackets_without_end_are_no_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"brackets|closing|TOML"):
        load(write(tmp_path, "a = " + "[" * 100_000), look_up)


def remarks_of(tmp_path: Path, text: str) -> str:
    return "\n".join(map(str, remarks(load(write(tmp_path, text), look_up))))


def test_a_good_file_gives_no_remark(tmp_path: Path) -> None:
    assert remarks_of(tmp_path, GOOD) == ""


def test_what_is_hardly_meant_is_remarked(tmp_path: Path) -> None:
    text = """
[gateway]
name = "g1"
[[device]]
name = "press-1"
driver = "plc"
host = "h"
scan = "10s"
stale_after = "5s"
tags.a = { address = "1", heartbeat = "5s" }
"""
    told = remarks_of(tmp_path, text)
    for words in ("no [[sink]]", "stale_after is shorter than scan", 'tag "a": heartbeat'):
        assert words in told


_LIMITS = [("oil_temp", "", True), ("oil_temp", "hysteresis = 1.0", False), ("oil_temp", 'on_delay = "1s"', False)]


@pytest.mark.parametrize(("tag", "more", "remarked"), _LIMITS)
def test_a_limit_that_a_value_may_waver_about_is_remarked(tmp_path: Path, tag: str, more: str, remarked: bool) -> None:
    text = f"""{GOOD}
[[alarm]]
name = "too hot"
devices = ["*"]
tag = "{tag}"
high = 80.0
{more}
"""
    told = 'alarm "too hot": has neither hysteresis nor on_delay'
    assert (told in remarks_of(tmp_path, text)) is remarked


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_the_file_is_a_config_or_a_config_error(tmp_path: Path, data: st.DataObject) -> None:
    lines = GOOD.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        column = data.draw(st.integers(0, len(line)))
        junk = data.draw(
            st.sampled_from(["", "[", "]]", '"', "'", "=", "{", "}", ",", "1", "-", "x = ", "\n", "#", "tags", "é"])
        )
        width = data.draw(st.integers(0, 8))
        lines[at] = line[:column] + junk + line[column + width :]
    path = write(tmp_path, "".join(lines))
    try:
        assert isinstance(load(path, look_up), Config)
    except ConfigError as error:
        assert error.problems
        count = "".join(lines).count("\n") + 1
        assert all(0 <= problem.line <= count and problem.message for problem in error.problems)


VALUES = st.recursive(
    st.sampled_from(['"x"', "1", "-1.5", "true", "nan", "1979-05-27", '""', '"1s"', "[]", "{}"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        inner.map(lambda value: f"{{ k = {value} }}"),
    ),
    max_leaves=3,
)
PLACES = ["gateway", "outbox", "device", "sink", "model", "tags"]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(PLACES),
    st.sampled_from([*PlcDevice.model_fields, *PlcTag.model_fields, "tags", "file", "devices"]),
    VALUES,
)
def test_a_value_of_any_shape_at_any_place_is_explained(tmp_path: Path, place: str, key: str, value: str) -> None:
    headers = {"tags": "[device.tags.q]", "gateway": "[gateway]", "outbox": "[outbox]"}
    text = f"{headers.get(place, f'[[{place}]]')}\n{key} = {value}\n"
    if place == "tags":
        text = '[[device]]\nname = "d"\ndriver = "plc"\nhost = "h"\n' + text
    if place in ("device", "sink") and key not in ("driver", "plugin"):
        text += 'driver = "plc"\n' if place == "device" else 'plugin = "broker"\n'
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), look_up)
    assert "Traceback" not in str(caught.value)


def test_top_level_tables_of_any_shape_are_explained(tmp_path: Path) -> None:
    for key in ("gateway", "outbox", "device", "sink", "model"):
        for value in ("1", '"x"', "[]", "[1]", "[[]]", "[{}]", "{}", "{ a = 1 }"):
            with pytest.raises(ConfigError):
                load(write(tmp_path, f"{key} = {value}\n"), look_up)
