"""Devices that are alike: `[template.NAME]` says what they have in common, `devices_file` lists them in a spreadsheet.

Both are written out before anything is checked, so that everything behind knows `[[device]]` tables alone. What was written
where is kept: a mistake in a template is told once, at its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.config_file import COLUMNS, ConfigFile, key, title
from gateway.config.kinds import DRIVER, PluginTypes
from gateway.config.merged import Spot, Written
from gateway.config.mistakes import MISSING, check, did_you_mean
from gateway.config.plugins import option_types
from gateway.config.tags_csv import Row, read_rows
from gateway.config.text import Steps
from gateway.core.errors import ConfigError, PluginError, Problem

TEMPLATES = "template"
"""The table under which templates stand."""
TEMPLATE = "template"
"""The key of a device that names one."""
ROWS = "devices_file"
_NOT_IN_ONE = ("name", TEMPLATE, ROWS)
"""Keys of a device that a template cannot have."""

Table = Mapping[str, Any]


@dataclass(slots=True)
class _Device:
    """A device with all that is said of it, and where each part of that was written."""

    table: dict[str, Any]
    spots: dict[Steps, Spot] = field(default_factory=dict)


def expand(source: ConfigFile, plugins: PluginTypes) -> None:
    """Put a table of its own in place of each `[[device]]` that names a template or a file of devices. One for which that
    cannot be done keeps the key, and its mistake is noted."""
    templates = _templates(source)
    tables = source.table.get(DRIVER.table)
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        return
    if any(TEMPLATE in table or ROWS in table for table in tables):
        devices: list[_Device] = []
        for index, table in enumerate(tables):
            place = (DRIVER.table, index)
            device = _Device(dict(table), {(): source.spot(place)})
            if TEMPLATE in table:
                _take_over(source, place, device, templates)
            if ROWS in table and TEMPLATE not in device.table:
                devices += _rows(source, place, device, plugins)
            else:
                devices.append(device)
        source.replace(DRIVER.table, [(device.table, device.spots) for device in devices])
    used = {table[TEMPLATE] for table in tables if isinstance(table.get(TEMPLATE), str)}
    for name in templates.keys() - used:
        _unused(source, name, templates[name], plugins)


def _templates(source: ConfigFile) -> Mapping[str, Table]:
    found = source.table.get(TEMPLATES, {})
    if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
        source.wrong(
            (TEMPLATES,),
            f"[{TEMPLATES}]",
            'give each a name: write [template.meter], and a device has template = "meter"',
        )
        return {}
    for name, table in found.items():
        for wrong in (each for each in _NOT_IN_ONE if each in table):
            message = "belongs to the devices: write it under [[device]]"
            source.wrong((TEMPLATES, name, wrong), f'template "{name}": {wrong}', message)
    return {
        name: {each: value for each, value in table.items() if each not in _NOT_IN_ONE} for name, table in found.items()
    }


def _take_over(source: ConfigFile, place: Steps, device: _Device, templates: Mapping[str, Table]) -> None:
    """What the device does not say itself; of tags, and of their options, too."""
    name, where = device.table[TEMPLATE], f"{title(DRIVER.table, place, device.table)}: {TEMPLATE}"
    if not isinstance(name, str):
        source.wrong((*place, TEMPLATE), where, 'write the name of a template in quotes, such as "meter"')
    elif name not in templates:
        near = did_you_mean(name, templates) or f"; there is none: write its options under [template.{name}]"
        source.wrong((*place, TEMPLATE), where, f'no template "{name}"{near}')
    else:
        del device.table[TEMPLATE]
        _merge(source, device, name, (), templates[name], device.table)


def _merge(source: ConfigFile, device: _Device, name: str, path: Steps, template: Table, own: dict[str, Any]) -> None:
    for each, value in template.items():
        here = (*path, each)
        if each not in own:
            own[each] = value
            device.spots[here] = Spot.of(source.spot((TEMPLATES, name, *here)), f'template "{name}"')
        elif here[0] == "tags" and len(here) < 3 and isinstance(value, Mapping) and isinstance(own[each], Mapping):
            own[each] = dict(own[each])
            _merge(source, device, name, here, value, own[each])


def _rows(source: ConfigFile, place: Steps, shared: _Device, plugins: PluginTypes) -> list[_Device]:
    """A device for each row of its file."""
    where = title(DRIVER.table, place, shared.table)
    if "name" in shared.table:
        message = f'the devices of a {ROWS} have their names in its column "name": delete it here'
        source.wrong((*place, "name"), f"{where}: name", message)
    name = shared.table[ROWS]
    if not isinstance(name, str) or not name:
        source.wrong((*place, ROWS), f"{where}: {ROWS}", 'write a path in quotes, such as "meters.csv"')
        return [shared]
    named = shared.spots.get((DRIVER.key,))  # by its template
    there, called = (named.place[:-1], named.called) if named else (place, where)
    types = option_types(DRIVER, source, there, called, shared.table, plugins)
    if types is None:
        return [shared]
    spot = source.spot((*place, ROWS))
    file = Written(spot.file.path.parent / name, _OwnLines(), (*spot.file.order, spot.line))
    said = {each: value for each, value in shared.table.items() if each not in (ROWS, "name")}
    try:
        rows, problems, data = read_rows(
            file.base / file.path.name, str(file.path), types[0], "device", (), (DRIVER.key,)
        )
    except ConfigError as error:
        for problem in error.problems:
            if problem.line:
                source.wrong_below((*place, ROWS), [problem])
            else:
                source.wrong((*place, ROWS), f"{where}: {ROWS}", f"{name}: {problem.message}")
        return [shared]
    source.hashed(file.base / file.path.name, data)
    if not rows and not problems:
        source.wrong((*place, ROWS), f"{where}: {ROWS}", f"{name} names no device")
    source.wrong_below((*place, ROWS), problems)
    columns = (*rows[0].columns, "name") if rows else types[0].model_fields
    spots = dict(shared.spots)
    for each in said:
        spots.setdefault((each,), Spot.of(source.spot((*place, each)), f"devices of {name}"))
    for each in types[0].model_fields.keys() - {*said, *columns}:
        spots[each,] = Spot(file, (1,), COLUMNS)
    return [_of_row(file, row, said, spots) for row in rows]


class _OwnLines:
    """Of a spot in a spreadsheet, whose place begins with its line."""

    def __getitem__(self, path: Steps) -> int:
        return int(path[0]) if path else 0


def _of_row(file: Written, row: Row, said: Table, spots: Mapping[Steps, Spot]) -> _Device:
    here = Spot(file, (row.line,))
    own: dict[Steps, Spot] = {(each,): here for each in row.options}
    return _Device({**said, "name": row.name, **row.options}, {**spots, (): here, **own})


def _unused(source: ConfigFile, name: str, table: Table, plugins: PluginTypes) -> None:
    """Looks at it all the same, as far as it goes: what it lacks may stand in the device that will use it."""
    place, where = (TEMPLATES, name), f'template "{name}"'

    def tag_key(at: Steps) -> str:
        return f'tag "{at[1]}": {key(at[2:])}' if at[0] == "tags" else key(at)

    spot = source.spot(place)
    source.noted.append(Problem(str(spot.file.path), spot.line, where, "no device uses it"))
    types = option_types(DRIVER, source, place, where, table, plugins) if DRIVER.key in table else None
    if types is None:
        return
    own = {each: value for each, value in table.items() if each not in ("tags", "tags_file")}
    tags = table.get("tags", {})
    parts: list[tuple[Steps, type[Any], Any]] = [((), types[0], {"name": "unused", **own})]
    parts += [(("tags", tag), types[1], options) for tag, options in tags.items() if isinstance(options, Mapping)]
    for path, model, options in parts:
        try:
            _, mistakes = check(model, options, source.base_of(place))
        except PluginError:
            continue
        for mistake in mistakes:
            if mistake.message != MISSING:
                at = (*path, *mistake.path)
                source.wrong((*place, *at), f"{where}: {tag_key(at)}", mistake.message)
