"""All checks in a row, and the report."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.amounts import format_duration
from gateway.selftest.check import Check, Progress
from gateway.selftest.damage import damage_checks
from gateway.selftest.frozen import frozen_broker
from gateway.selftest.full_disk import full, quota
from gateway.selftest.killing import kill_loop
from gateway.selftest.logs import silence
from gateway.selftest.machine import describe

_TRIALS = (10, 200)
"""Of torn writes, at least and at most."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a user files."""

    facts: dict[str, str]
    seed: int
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def plain(self) -> Mapping[str, object]:
        """The report as JSON values."""
        names = ("name", "passed", "figures", "failed", "failures", "note", "seconds")
        checks = [{name: getattr(check, name) for name in names} for check in self.checks]
        return {"passed": self.passed, "seed": self.seed, **self.facts, "checks": checks}

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield "edge-gateway selftest outbox"
        yield from (f"  {name:<9}{fact}" for name, fact in {**self.facts, "seed": str(self.seed)}.items())
        yield ""
        for check in self.checks:
            yield from _check_lines(check)
        yield ""
        passed = sum(check.passed for check in self.checks)
        took = format_duration(sum(check.seconds for check in self.checks))
        yield f"{passed} of {len(self.checks)} checks passed in {took}"


def _check_lines(check: Check) -> Iterator[str]:
    yield f"{'pass' if check.passed else 'FAIL'}  {check.name}" + (f" ({check.note})" if check.note else "")
    if check.figures:
        yield "      " + ", ".join(f"{name} {figure}" for name, figure in check.figures.items())
    yield from (f"      {failure}" for failure in check.failures)
    if check.failed > len(check.failures):
        yield f"      and {check.failed - len(check.failures)} more"


def torture(directory: Path, cycles: int, seed: int, progress: Progress) -> Report:
    """Every check, in a throw-away folder within `directory`; `cycles` kills. Raises OSError if that cannot be written."""
    directory.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="selftest-", dir=directory) as folder, silence():
        place = Path(folder)
        facts = describe(place)
        checks = [kill_loop(place, cycles, chance, progress)]
        checks += damage_checks(place, min(max(5 * cycles, _TRIALS[0]), _TRIALS[1]), chance, progress)
        checks += [quota(place, progress), full(place, progress), frozen_broker(place, progress)]
    return Report(facts, seed, checks)
