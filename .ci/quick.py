"""make quick: what CI does, for what was changed since main, in about a minute.

Style, types and imports of everything, beside the tests of what was changed: first the changed tests, then those of the
changed rooms and plugins, then those that import a changed module. Tests that need servers or a daemon are left to
`make test`. After a minute it stops, and says how many were not run.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TOOLS = [
    ["ruff", "format", "--check", "."],
    ["ruff", "check", "."],
    ["lint-imports"],
    ["mypy", "gateway", "plugins", "benchmarks"],
]
SECONDS = 45.0
"""For the tests; to find them and to end takes the rest of the minute."""


def main() -> int:
    begun = time.monotonic()
    changed = list(since_main())
    tools = [
        (tool, subprocess.Popen([BIN / tool[0], *tool[1:]], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for tool in TOOLS
    ]
    found = list(dict.fromkeys(tests_of(changed)))
    print(f"changed since main: {len(changed)} files; their tests stand in {len(found)} files", flush=True)
    enough = Enough(begun + SECONDS)
    ended = pytest.main(["-q", "-m", "not (slow or servers or system)", *found], plugins=[enough]) if found else 0
    failed = enough.failed > 0 or (ended not in (0, pytest.ExitCode.NO_TESTS_COLLECTED) and not enough.left)
    for tool, process in tools:
        told = process.communicate()[0].decode()
        if process.returncode:
            failed = True
            print(f"\n{' '.join(tool)}:\n{told[-4000:]}")
    left = f"; {enough.left} tests were NOT RUN, since a minute is over (make test runs all)" if enough.left else ""
    print(f"\nquick: {'FAILED' if failed else 'nothing failed'} in {time.monotonic() - begun:.0f} s{left}")
    return int(failed)


def since_main() -> Iterator[Path]:
    """Files of this checkout that main has not, or has otherwise."""
    base = next(
        (each for each in ("main", "origin/main") if not git("rev-parse", "--verify", "-q", each).returncode), "HEAD"
    )
    begin = git("merge-base", "HEAD", base).stdout.strip() or "HEAD"
    names = git("diff", "--name-only", begin).stdout + git("ls-files", "--others", "--exclude-standard").stdout
    return (Path(name) for name in names.splitlines() if (ROOT / name).is_file())


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def tests_of(changed: list[Path]) -> Iterator[str]:
    """Files of tests, nearest first."""
    every = sorted(
        path.relative_to(ROOT) for folder in ("tests", "plugins") for path in (ROOT / folder).rglob("test_*.py")
    )
    yield from (str(path) for path in every if path in changed)
    rooms = {room(path) for path in changed}
    yield from (str(path) for path in every if room(path) in rooms)
    modules = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in changed if path.suffix == ".py"
    }
    for path in every:
        if modules & set(imported((ROOT / path).read_text(encoding="utf-8"))):
            yield str(path)
    if any(path.suffix != ".py" for path in changed):
        yield from (str(path) for path in every if path.parent == Path("tests"))


def room(path: Path) -> tuple[str, ...]:
    """("outbox",) for what is in gateway/outbox and in tests/outbox; ("plugins", "modbus") for a plugin."""
    parts = path.parts
    return (
        parts[:2]
        if parts[0] == "plugins"
        else parts[1:2]
        if parts[0] in {"gateway", "tests"} and len(parts) > 2
        else (str(path),)
    )


def imported(text: str) -> Iterator[str]:
    for match in re.finditer(r"^(?:from (\S+) )?import \(?([^#()]*)", text, re.MULTILINE):
        for name in re.split(r"[,\s]+", match[2]):
            yield f"{match[1]}.{name}" if match[1] else name
        if match[1]:
            yield match[1]


class Enough:
    """Ends the tests when their time is over."""

    def __init__(self, until: float) -> None:
        self._until = until
        self.failed = self.left = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += report.failed

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if time.monotonic() > self._until:
            items = item.session.items
            self.left = len(items) - items.index(item) - 1
            item.session.shouldstop = "enough for a minute" if self.left else False


if __name__ == "__main__":
    sys.exit(main())
