"""Checks the `[[device]]` tables and their tags, written inline or in a tag file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.base import DeviceConfig, TagConfig
from gateway.config.config_file import ConfigFile, key, title
from gateway.config.kinds import DRIVER, PluginTypes
from gateway.config.mistakes import MISSING, check, failed
from gateway.config.model import DeviceSpec
from gateway.config.plugins import option_types
from gateway.config.tags_csv import Row, read_tags
from gateway.config.templates import ROWS, TEMPLATE
from gateway.config.text import Steps
from gateway.core.errors import ConfigError, PluginError, Problem
from gateway.core.tag import VALUE_TYPES
from gateway.core.text import cleaned, hidden_in

TAG_TABLES = ("tags", "tags_file")
"""Keys of a device beside its driver's options: where its tags stand."""

_LONGEST_NAME = 250


def read_device(source: ConfigFile, place: Steps, table: Mapping[str, Any], plugins: PluginTypes) -> DeviceSpec | None:
    """A device with its tags; None, with a mistake noted, when the device itself is wrong."""
    where = title("device", place, table)
    if TEMPLATE in table or ROWS in table:  # what they are of was not found, and that is told
        return None
    found = option_types(DRIVER, source, place, where, table, plugins)
    if found is None:
        return None
    device_type, tag_type = found
    own = {name: value for name, value in table.items() if name not in TAG_TABLES}
    try:
        config = source.check(device_type, own, place, where, TAG_TABLES)
        tags = _Tags(source, place, where, device_type, tag_type)
        tags.read(table)
        _check_types(tags.good)
        if config:
            _check_together(source, place, where, config, tags.good)
    except PluginError as error:
        source.park((*place, "driver"), where, str(error))
        return None
    return DeviceSpec(config, tags.good) if config else None


def _check_types(tags: Mapping[str, TagConfig]) -> None:
    """That the plugin knows the types of its tags, as everybody will ask for them. Raises PluginError."""
    for name, tag in tags.items():
        try:
            type_ = tag.value_type()
        except BaseException as error:
            raise failed(type(tag), error) from error
        if type_ and type_ not in VALUE_TYPES:
            raise PluginError(
                f'the plugin\'s {type(tag).__name__} says that tag "{name}" is of type {cleaned(type_)}, '
                f"which no value has; there are: {', '.join(VALUE_TYPES)}"
            )


def _check_together(
    source: ConfigFile, place: Steps, where: str, config: DeviceConfig, tags: Mapping[str, TagConfig]
) -> None:
    """That the device bears each of its tags. Raises PluginError where the plugin cannot tell."""
    for name, tag in tags.items():
        try:
            refused = config.refuses(tag)
        except BaseException as error:
            raise failed(type(config), error) from error
        if refused:
            source.wrong((*place, "tags", name), f'{where}: tag "{name}"', cleaned(refused))


class _Tags:
    """The tags of one device while they are checked."""

    def __init__(
        self, source: ConfigFile, place: Steps, where: str, device_type: type[DeviceConfig], tag_type: type[TagConfig]
    ) -> None:
        self._source = source
        self._place = place
        self._where = where
        self._device_type = device_type
        self._tag_type = tag_type
        self._device = ""
        self._seen: dict[str, int] = {}
        """Names that are taken: the line in the tag file, 0 for those that stand in the configuration itself."""
        self.good: dict[str, TagConfig] = {}

    def read(self, table: Mapping[str, Any]) -> None:
        self._device = str(table.get("name"))
        if not any(table.get(name) for name in TAG_TABLES):
            message = 'has no tags: write them under [device.tags], or name a tags_file = "….csv"'
            self._source.wrong(self._place, self._where, message)
        self._inline(table.get("tags", {}))
        if "tags_file" in table:
            self._file(table["tags_file"])

    def _inline(self, tables: Any) -> None:
        if not isinstance(tables, Mapping):
            message = "write [device.tags], and under it one line a tag: name = { … }"
            self._source.wrong((*self._place, "tags"), f"{self._where}: tags", message)
            return
        for name, options in tables.items():
            self._one(name, options)

    def _one(self, name: str, options: Any) -> None:
        place, where = (*self._place, "tags", name), f'{self._where}: tag "{name}"'
        self._seen[name] = 0
        if not isinstance(options, Mapping):
            self._source.wrong(place, where, self._no_tag(name))
            self._source.wrong_tags.add((self._device, name))
            return
        if message := _wrong_name(name):
            self._source.wrong(place, where, message)
        written = self._tag_type, repr(options)
        tag = self._source.tags.get(written) or self._source.check(self._tag_type, options, place, where)
        if tag:
            self.good[name] = self._source.tags[written] = tag
        else:
            self._source.wrong_tags.add((self._device, name))

    def _no_tag(self, name: str) -> str:
        if name in self._device_type.model_fields:
            return f"{name} is an option of the device: it must stand above [device.tags]"
        return "write a table such as { " + " = …, ".join(_required(self._tag_type) or ["unit"]) + " = … }"

    def _file(self, name: Any) -> None:
        place = (*self._place, "tags_file")
        where = f"{self._where}: tags_file"
        if not isinstance(name, str) or not name:
            self._source.wrong(place, where, 'write a path in quotes, such as "press-1.csv"')
            return
        spot = self._source.spot(place)
        path, shown = spot.file.base / name, str(spot.file.path.parent / name)
        try:
            rows, problems, data = read_tags(path, shown, self._tag_type)
        except ConfigError as error:
            self._source.wrong_tags.add((self._device, "*"))
            self._source.wrong_below(place, [self._at_key(problem, place, where, name) for problem in error.problems])
            return
        self._source.hashed(path, data)
        if not rows and not problems:
            self._source.wrong(place, where, f"{name} names no tag")
        if problems:
            self._source.wrong_tags.add((self._device, "*"))
        problems += [problem for row in rows for problem in self._row(row, shown, path)]
        self._source.wrong_below(place, sorted(problems, key=lambda problem: problem.line))

    def _at_key(self, problem: Problem, place: Steps, where: str, name: str) -> Problem:
        """A file that cannot be opened is a mistake of the key that names it."""
        if problem.line:
            return problem
        spot = self._source.spot(place)
        said = spot.called + where.removeprefix(self._where) if spot.called else where
        return Problem(str(spot.file.path), spot.line, said, f"{name}: {problem.message}")

    def _row(self, row: Row, shown: str, path: Path) -> list[Problem]:
        where = f'tag "{row.name}"'
        if row.name in self._seen:
            line = self._seen[row.name]
            at = f"{shown}:{line}" if line else self._source.shown((*self._place, "tags", row.name))
            message = f"this name is taken already at {at}"
            return [Problem(shown, row.line, where, message)]
        self._seen[row.name] = row.line
        written = self._tag_type, repr(row.options)
        known = self._source.tags.get(written)
        tag, mistakes = (known, []) if known else check(self._tag_type, row.options, path.parent)
        if tag:
            self.good[row.name] = self._source.tags[written] = tag
        else:
            self._source.wrong_tags.add((self._device, row.name))
        found = [Problem(shown, row.line, where, _wrong_name(row.name))] if _wrong_name(row.name) else []
        for mistake in mistakes:
            column, message = key(mistake.path[:1]), mistake.message
            if message != MISSING:
                found.append(Problem(shown, row.line, f'{where}: column "{column}"', message))
            elif column in row.columns:
                found.append(Problem(shown, row.line, f'{where}: column "{column}"', "must not be empty"))
        return found


def _required(tag_type: type[TagConfig]) -> list[str]:
    return [name for name, field in tag_type.model_fields.items() if field.is_required()]


def _wrong_name(name: str) -> str:
    """What is wrong with a tag's name; it becomes a part of topics and of `read DEVICE/TAG`."""
    if not name or name != name.strip() or len(name) > _LONGEST_NAME:
        return f"a tag's name has 1 to {_LONGEST_NAME} characters, and no space at its ends"
    if any(letter in "+#" or ord(letter) < 32 for letter in name):
        return 'a tag\'s name holds neither "+" nor "#" nor control characters: it becomes part of a topic'
    if hidden := hidden_in(name):
        return f"a tag's name must not hold {hidden}: nobody sees this character; delete it"
    return ""
