"""Patterns of sinks: mistakes in them, patterns that match nothing, tags that are left to no sink."""

from pathlib import Path

import pytest

from gateway.app import look_up
from gateway.config.load import load, remarks
from gateway.core.errors import ConfigError

CONFIG = """
[gateway]
name = "g1"
[[sink]]
name = "central"
plugin = "mqtt"
host = "localhost"
{}
[[sink]]
name = "lake"
plugin = "mqtt"
host = "127.0.0.1"
{}
[[device]]
name = "press-1"
driver = "simulated"
[device.tags]
oil_temp = {{ wave = "sine" }}
force = {{ wave = "sine" }}
"""


def told(tmp_path: Path, first: str, second: str) -> list[str]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(first, second))
    config = load(path, look_up)
    return [f"{each.line} {each.where}: {each.message}" for each in remarks(config)]


def test_a_pattern_that_matches_nothing_is_remarked_with_its_line(tmp_path: Path) -> None:
    first = 'only = { devices = ["press-1", "pres-1"] }\nwithout.tags = [\n"press-2/force",\n"oil_tmp"]'
    assert told(tmp_path, first, "") == [
        '8 sink "central": only.devices: no device is named "pres-1", did you mean "press-1"?',
        '10 sink "central": without.tags: no tag is named "press-2/force", did you mean "press-1/force"?',
        '11 sink "central": without.tags: no tag is named "oil_tmp", did you mean "oil_temp"?',
    ]


def test_tags_that_every_sink_leaves_out_are_remarked(tmp_path: Path) -> None:
    assert told(tmp_path, 'only.tags = ["oil_*"]', 'only.kinds = ["event"]') == [
        '0 device "press-1": tag "force": goes to no sink: only and without of the sinks leave it out'
    ]
    assert told(tmp_path, 'only.tags = ["oil_*"]', "") == []
    assert told(tmp_path, 'without.devices = ["*"]', 'without.kinds = ["readings"]') == [
        '0 device "press-1": tag "oil_temp": goes to no sink (and 1 more of its tags): only and without of the sinks'
        " leave it out"
    ]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ('only = { kinds = ["events"] }', 'did you mean "event"?'),
        ("only = { devices = [] }", "must have at least 1 entries"),
        ('only = ["press-1"]', "write a table such as"),
        ('only = { device = ["press-1"] }', 'did you mean "devices"?'),
    ],
)
def test_a_mistake_in_them_says_what_to_write(tmp_path: Path, first: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", "[?]")):
        told(tmp_path, first, "")
