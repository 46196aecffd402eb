"""Another configuration in place of the one that runs: whether that can be without a restart, and what it changes."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from gateway import __version__
from gateway.config.credentials import fingerprints, need_a_restart, own_certificates
from gateway.config.diff import diff
from gateway.config.kinds import CONNECTED
from gateway.config.load import load
from gateway.config.model import Config, GatewaySection
from gateway.core.command import Actor
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.text import cleaned
from gateway.detect.fit import model_problems
from gateway.operate.running_parts import RunningParts
from gateway.plugin.discovery import Plugins
from gateway.supervise import Running, contained
from gateway.supervise.keep_running import told
from gateway.trust.software_versions import versions

log = structlog.get_logger()

NOT_WHILE_RUNNING = ("gateway", "outbox")
"""Tables that are read at a start alone."""
RESTART = "changing this needs a restart (systemctl restart edge-gateway)"


class Exchanging(RunningParts, Protocol):
    """The gateway, whose parts can be exchanged."""

    async def apply(
        self, config: Config, plugins: Plugins, *, park: bool = False, renewed: Collection[str] = ()
    ) -> None:
        """Run this configuration."""
        ...

    def settle(self) -> None:
        """What runs stays so for a while."""
        ...


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
    own: Mapping[str, str]
    """Certificates that they show; likewise."""
    renewed: frozenset[str]
    """Those that say the same as before, with other credentials; likewise."""


class Reloads:
    """The command `reload`. Making one blocks: it reads the files of all plugins and models."""

    def __init__(self, gateway: Exchanging, look_up: Callable[[GatewaySection], Plugins]) -> None:
        self._gateway = gateway
        self._look_up = look_up
        self.loaded_ns = gateway.clock.wall_ns()
        """When the configuration that runs was loaded."""
        self._one_at_a_time = asyncio.Lock()
        self._waits = False
        self._hashes = gateway.plugins.present.hashes(gateway.config.plugins)
        """Of the plugins, as they were when they were first used."""
        self._unfit = {problem.message for problem in model_problems(gateway.config)}
        self._credentials: Mapping[str, str] = fingerprints(gateway.config)
        self._own: Mapping[str, str] = own_certificates(gateway.config)

    def identity(self) -> dict[str, Any]:
        """What runs, for the audit trail: hashes and versions."""
        config = self._gateway.config
        return {
            "version": __version__,
            "config": config.hash,
            "plugins": self._hashes,
            "models": {str(model.file): config.files.get(model.file, "") for model in config.models},
            "versions": versions(),
        }

    def soon(self, running: Running) -> None:
        """Reload, as the signal SIGHUP asks for; what comes of it stands in the log. One that waits stands for all signals
        that come meanwhile."""
        if not self._waits:
            self._waits = True
            running.start_aside(self.reload(Actor("SIGHUP")), "reload")

    async def reload(self, by: Actor) -> dict[str, Any]:
        """Apply the configuration file as it is now, after a reload that is under way. A file with mistakes changes
        nothing; what cannot be applied for another reason is taken back."""
        async with self._one_at_a_time:
            self._waits = False
            try:
                changes = await self._reload(by)
            except GatewayError as error:
                problems = [str(each) for each in error.problems] if isinstance(error, ConfigError) else [str(error)]
                log.warning("the configuration was not applied", by=by.name, problems=len(problems), first=problems[0])
                await self._gateway.audit.record("config.refused", by.name, why="; ".join(problems))
                return {"applied": False, "problems": problems}
            if changes:
                self._gateway.settle()
            log.info("the configuration was applied", by=by.name, changes=", ".join(changes) or "none")
            return {"applied": True, "changes": changes}

    async def _reload(self, by: Actor) -> list[str]:
        try:
            plan = await contained(asyncio.to_thread(self.plan))
        except GatewayError:
            raise
        except Exception as error:
            log.error("the configuration could not be looked at", exc_info=error)
            raise _unchanged(error) from error
        said = {"old": self._gateway.config.hash, "new": plan.config.hash, "changes": plan.changes}
        async with self._gateway.audit.audited(by, "config.reload", **said):
            await self._exchange(plan)
        self.loaded_ns = self._gateway.clock.wall_ns()
        self._unfit, self._credentials, self._own = plan.unfit, plan.credentials, plan.own
        self._gateway.plugins.stalls.pardon()
        return plan.changes

    async def _exchange(self, plan: Planned) -> None:
        old = self._gateway.config, self._gateway.plugins.present
        try:
            await self._gateway.apply(plan.config, plan.plugins, renewed=plan.renewed)
        except Exception as error:
            log.error("the configuration could not be applied", exc_info=error)
            await self._gateway.apply(*old, park=True)
            raise _unchanged(error) from error

    def plan(self) -> Planned:
        """What applying the file as it is now would change. Blocking. Raises GatewayError for what cannot be applied; nothing
        that runs may get worse by it."""
        running = self._gateway.config
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
        credentials, own = fingerprints(new), own_certificates(new)
        changed = {f"{kind.table} {name}" for kind in CONNECTED for name in change.parts[kind.table].changed}
        renewed = frozenset(
            where
            for where, now in credentials.items()
            if self._credentials.get(where, now) != now and where not in changed
        )
        changes = [
            *change.lines(),
            *(f"{where}: its credentials or certificates have changed" for where in credentials if where in renewed),
            *(
                f"{where}: its own certificate has changed, and the next connection shows it"
                for where in own
                if self._own.get(where, own[where]) != own[where] and where not in changed | renewed
            ),
            *(f"{what}: {RESTART}" for what in need_a_restart(new)),
            *self._outdated(new, found[-1]),
        ]
        return Planned(new, found[-1], changes, {problem.message for problem in unfit}, credentials, own, renewed)

    def _outdated(self, new: Config, plugins: Plugins) -> list[str]:
        """A plugin is imported once; one whose files were changed needs a new process."""
        now = plugins.hashes(new.plugins)
        self._hashes = {**now, **self._hashes}
        outdated = [name for name in now if now[name] != self._hashes[name]]
        return [f"plugin {name} has changed on disk: {RESTART}" for name in outdated]


def _unchanged(error: Exception) -> GatewayError:
    return GatewayError(f"{cleaned(told(error))}; the gateway runs on with the old configuration")
