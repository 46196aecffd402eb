"""Whether the models of a configuration can be used with its devices, read off their files without running anything."""

from collections.abc import Iterator

from gateway.config.model import Config, DeviceSpec, ModelSection
from gateway.config.toml_file import read_toml
from gateway.config.toml_lines import Lines
from gateway.core.errors import Problem
from gateway.detect.card import Card, parse_card
from gateway.detect.onnx_file import ModelError, read_onnx
from gateway.detect.patterns import matching
from gateway.detect.session import checked_signature


def model_problems(config: Config) -> list[Problem]:
    """What keeps models from being used, each with file and line. None of it holds up the readings."""
    if not config.models:
        return []
    lines = Lines(read_toml(config.path)[1])
    return [
        Problem(str(config.path), lines["model", place, key], f"model {model.file.name}: {key}", message)
        for place, model in enumerate(config.models)
        for key, message in _problems(model, config.devices)
    ]


def _problems(model: ModelSection, devices: tuple[DeviceSpec, ...]) -> Iterator[tuple[str, str]]:
    """(key, message)"""
    try:
        file = read_onnx(model.file)
        card = parse_card(file.metadata)
        checked_signature(file, model.signed_by)
    except ModelError as error:
        yield "file", str(error)
        return
    if refusal := file.refusal():
        yield "file", refusal
    by_name = {spec.config.name: spec for spec in devices}
    for name in matching(model.devices, [*by_name]):
        if misfits := _misfits(card, by_name[name], model):
            yield "devices", f'device "{name}": {"; ".join(misfits)}'


def _misfits(card: Card, spec: DeviceSpec, model: ModelSection) -> list[str]:
    units = {name: tag.unit for name, tag in spec.tags.items()}
    types = {name: "float64" if tag.scaled else tag.value_type() for name, tag in spec.tags.items()}
    told_by_device = any(types.get(model.tags.get(tag, tag)) == "" for tag in card.tags)
    if told_by_device and card.may_still_fit(units, types, model.tags):
        return []
    return card.misfits(units, types, model.tags)
