"""Decides whether the configuration file, as it is now, can be applied without a restart, and what it changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.config.credentials import fingerprints, need_a_restart
from gateway.config.diff import diff
from gateway.config.kinds import CONNECTED
from gateway.config.load import load
from gateway.config.model import Config, GatewaySection
from gateway.core.errors import ConfigError, GatewayError
from gateway.detect.fit import model_problems
from gateway.plugin.discovery import Plugins

NOT_WHILE_RUNNING = ("gateway", "outbox")
"""Tables that are read at a start alone."""
RESTART = "changing this needs a restart (systemctl restart edge-gateway)"


@dataclass(frozen=True, slots=True)
class Planned:
    """A configuration that can be applied."""

    config: Config
    plugins: Plugins
    changes: list[str]
    """What it changes, in words."""
    unfit: set[str]
    """What is wrong with its models."""
    credentials: Mapping[str, str]
    """Of its devices and sinks, by kind and name."""
    renewed: frozenset[str]
    """Those that say the same as before, with other credentials; likewise."""


class Reloads:
    """Compares with what runs. Blocking."""

    def __init__(self, config: Config, plugins: Plugins, look_up: Callable[[GatewaySection], Plugins]) -> None:
        self._look_up = look_up
        self.hashes = plugins.hashes(config.plugins)
        """Of the plugins, as they were when they were first used."""
        self._unfit = {problem.message for problem in model_problems(config)}
        self._credentials: Mapping[str, str] = fingerprints(config)

    def plan(self, running: Config) -> Planned:
        """Raises GatewayError for what cannot be applied; nothing that runs may get worse by it."""
        found: list[Plugins] = []

        def look(section: GatewaySection) -> Plugins:
            found.append(self._look_up(section))
            return found[-1]

        new = load(running.path, look)
        known = {problem.where for problem in running.parked}
        if newly_parked := [problem for problem in new.parked if problem.where not in known]:
            raise ConfigError(newly_parked)
        unfit = model_problems(new)
        if newly_unfit := [problem for problem in unfit if problem.message not in self._unfit]:
            raise ConfigError(newly_unfit)
        change = diff(running, new)
        keys = [f"[{table}] {key}" for table in NOT_WHILE_RUNNING for key in change.keys[table]]
        if keys:
            raise GatewayError(f"{', '.join(keys)}: {RESTART}")
        credentials = fingerprints(new)
        changed = {f"{kind.table} {name}" for kind in CONNECTED for name in change.parts[kind.table].changed}
        renewed = frozenset(
            where
            for where, now in credentials.items()
            if self._credentials.get(where, now) != now and where not in changed
        )
        changes = [
            *change.lines(),
            *(f"{where}: its credentials or certificates have changed" for where in credentials if where in renewed),
            *(f"{told}: {RESTART}" for told in need_a_restart(new)),
            *self._outdated(new, found[-1]),
        ]
        return Planned(new, found[-1], changes, {problem.message for problem in unfit}, credentials, renewed)

    def applied(self, plan: Planned) -> None:
        """This runs now."""
        self._unfit, self._credentials = plan.unfit, plan.credentials

    def _outdated(self, new: Config, plugins: Plugins) -> list[str]:
        """A plugin is imported once; one whose files were changed needs a new process."""
        now = plugins.hashes(new.plugins)
        self.hashes = {**now, **self.hashes}
        outdated = [name for name in now if now[name] != self.hashes[name]]
        return [f"plugin {name} has changed on disk: {RESTART}" for name in outdated]
