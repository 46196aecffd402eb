"""Whether the models of a configuration can be used with its devices."""

from collections.abc import Iterator

from gateway.config.model import Config, DeviceSpec, ModelSection
from gateway.core.errors import Problem
from gateway.detect.models import Card, ModelError, checked_signature, open_model, parse_card, read_onnx
from gateway.detect.patterns import matching


def model_problems(config: Config, by_trial: bool = False) -> list[Problem]:
    """What keeps models from being used, each with file and line. None of it holds up the readings. It is read off their
    files without running anything, unless they are tried too, see `trial`, which takes a second for each."""
    if not config.models:
        return []
    return [
        Problem(
            *config.spots.get((model.name or str(model.file), key), (str(config.path), 0)),
            f"model {model.file.name}: {key}",
            message,
        )
        for model in config.models
        for key, message in _problems(model, config.devices, by_trial)
    ]


def _problems(model: ModelSection, devices: tuple[DeviceSpec, ...], by_trial: bool) -> Iterator[tuple[str, str]]:
    """Option and what is wrong with it."""
    by_name = {spec.config.name: spec for spec in devices}
    watched = matching(model.devices, [*by_name])
    try:
        file = read_onnx(model.file)
        card = parse_card(file.metadata)
        checked_signature(file, model.signed_by)
    except ModelError as error:
        yield "file", str(error)
        return
    if refusal := file.refusal() or (_trial(model, max(1, len(watched))) if by_trial else ""):
        yield "file", refusal
    for name in watched:
        if misfits := _misfits(card, by_name[name], model):
            yield "devices", f'device "{name}": {"; ".join(misfits)}'


def _trial(model: ModelSection, assets: int) -> str:
    """Why it does not pass; empty if it does."""
    try:
        open_model(model.file, assets, model.signed_by)
    except ModelError as error:
        return str(error)
    return ""


def _misfits(card: Card, spec: DeviceSpec, model: ModelSection) -> list[str]:
    units = {name: tag.unit for name, tag in spec.tags.items()}
    types = {name: "float64" if tag.scaled else tag.value_type() for name, tag in spec.tags.items()}
    told_by_device = any(types.get(model.tags.get(tag, tag)) == "" for tag in card.tags)
    if told_by_device and card.may_still_fit(units, types, model.tags):
        return []
    return card.misfits(units, types, model.tags)
