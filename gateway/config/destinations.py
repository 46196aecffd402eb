"""What the patterns of sinks, `only` and `without`, make of the devices: what they miss, and what is left to no sink."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from gateway.config.base import SinkConfig
from gateway.config.config_file import ConfigFile, title
from gateway.config.mistakes import did_you_mean
from gateway.config.model import DeviceSpec
from gateway.config.text import Steps
from gateway.core.errors import Problem

Tables = Sequence[tuple[Steps, Mapping[str, Any]]]


def of_patterns(
    source: ConfigFile, written: Tables, sinks: Sequence[SinkConfig], devices: Sequence[DeviceSpec]
) -> Iterator[Problem]:
    """What is hardly meant; `written`: the tables of the sinks, with their places."""
    chosen = {sink.name: sink for sink in sinks}
    for place, table in written:
        if sink := chosen.get(str(table.get("name"))):
            for key in ("only", "without"):
                for path, message in _missed(sink, key, devices):
                    spot = source.spot((*place, key, *path))
                    where = f"{title('sink', place, table)}: {key}.{path[0]}"
                    yield Problem(str(spot.file.path), spot.line, where, message)
    if sinks:
        yield from _left_to_none(source, sinks, devices)


def _missed(sink: SinkConfig, key: str, devices: Sequence[DeviceSpec]) -> Iterator[tuple[Steps, str]]:
    """Patterns that match nothing, and where they stand below the key."""
    wanted = getattr(sink, key)
    if wanted is None:
        return
    names = [spec.config.name for spec in devices]
    tags = {tag for spec in devices for tag in spec.tags}
    whole = {f"{spec.config.name}/{tag}" for spec in devices for tag in spec.tags}
    for index, pattern in enumerate(wanted.patterns.devices):
        if not any(fnmatchcase(name, pattern) for name in names):
            yield ("devices", index), f'no device is named "{pattern}"{did_you_mean(pattern, names)}'
    for index, pattern in enumerate(wanted.patterns.tags):
        known = whole if "/" in pattern else tags
        if not any(fnmatchcase(name, pattern) for name in known):
            yield ("tags", index), f'no tag is named "{pattern}"{did_you_mean(pattern, known)}'


def _left_to_none(source: ConfigFile, sinks: Sequence[SinkConfig], devices: Sequence[DeviceSpec]) -> Iterator[Problem]:
    selections = [sink.selection for sink in sinks]
    for spec in devices if all(selections) else ():
        name = spec.config.name
        left = [tag for tag in spec.tags if not any(each.wants_readings(name, tag) for each in selections)]
        if left:
            more = f" (and {len(left) - 1} more of its tags)" if len(left) > 1 else ""
            message = f"goes to no sink{more}: only and without of the sinks leave it out"
            yield Problem(str(source.path), 0, f'device "{name}": tag "{left[0]}"', message)
