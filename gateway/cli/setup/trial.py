"""Tries out the answers, by the code of `check --connect`, before anything is written."""

import asyncio
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.config import connections
from gateway.cli.config.check import told as in_words
from gateway.cli.frame.client import socket_path
from gateway.cli.frame.loading import loaded
from gateway.cli.frame.places import state_dir
from gateway.cli.setup.answers import Answers, toml_of
from gateway.cli.setup.asking import ask
from gateway.config.model import Config
from gateway.config.secrets import remember
from gateway.core.errors import ConfigError
from gateway.places.owner import as_owner
from gateway.plugin.discovery import Plugins

_THEN = ("y", "t", "n")


@dataclass(slots=True)
class SetupTrial:
    """What came of it."""

    ok: bool = False
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    results: list[Mapping[str, Any]] = field(default_factory=list)

    def then(self) -> str:
        """What the person wants: "y" to answer again, "t" to try the same once more, "n" to end it."""
        explained = "t after something was mended elsewhere, such as a certificate accepted; n: nothing is written."
        question = "Answer again (y), try the same once more (t), or end it (n)"
        return ask(question, "y", explained, lambda text: "" if text[:1].lower() in _THEN else "y, t or n?")[0].lower()


def try_out(answers: Answers, config: Path, socket: str | None) -> SetupTrial:
    """Check them, and dial the broker and the devices. Nothing is left of it."""
    with staging(config) as folder:
        return _try_out(answers, folder, config, socket)


@contextmanager
def staging(config: Path) -> Iterator[Path]:
    """A folder beside where the configuration will stand, for a while. Raises OSError where none can be written there."""
    beside = next(each for each in (config.parent, *config.parent.parents) if each.is_dir())
    folder = beside / f".setup-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _try_out(answers: Answers, folder: Path, config: Path, socket: str | None) -> SetupTrial:
    password = None
    if answers.password:
        (folder / "password").touch(mode=0o600)
        (folder / "password").write_text(answers.password)
        password = {"file": str(folder / "password")}
    staged = folder / config.name
    staged.write_text(toml_of(resolved(answers, config.parent), password), encoding="utf-8")
    try:
        checked, plugins = loaded(staged)
    except ConfigError as error:
        lines = [line for problem in error.problems for line in in_words(problem)]
        return SetupTrial(False, lines, [f"{problem.where}: {problem.message}" for problem in error.problems])
    for part in [*(spec.config for spec in checked.devices), *checked.sinks]:
        remember(part)
    place = state_dir(config)
    with as_owner(place):
        results = asyncio.run(_connected(checked, plugins, socket_path(socket), place))
    return _judged(results)


async def _connected(config: Config, plugins: Plugins, socket: Path, place: Path) -> list[Mapping[str, Any]]:
    return [each async for each in connections.results(config, plugins, socket, place)]


def _judged(results: Sequence[Mapping[str, Any]]) -> SetupTrial:
    kind, name, address = (max(len(each[key]) for each in results) for key in ("kind", "name", "address"))
    lines = [line for each in results for line in connections.lines(dict(each), (kind, name, address))]
    problems = [f"{each['kind']} {each['name']}: {each['reason']}" for each in results if not each["ok"]]
    return SetupTrial(not problems, lines, problems, list(results))


def resolved(answers: Answers, base: Path) -> Answers:
    """With the files of the broker's TLS as absolute paths, since it is tried out elsewhere."""
    tls = answers.broker.get("tls")
    if not isinstance(tls, Mapping):
        return answers
    files = {
        key: str(base / str(value)) if key in ("ca", "certificate", "key") else value for key, value in tls.items()
    }
    return Answers(answers.gateway, {**answers.broker, "tls": files}, answers.devices, answers.about, answers.password)
