"""Starts children of the self-test, and hears what they say."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from gateway.selftest.runs import Run


class BalanceSaid(TypedDict):
    """A lane of a sink, in readings (`gateway.status.Balance`)."""

    accepted: int
    acknowledged: int
    pending: int
    dropped: Mapping[str, int]


class AccountsSaid(TypedDict):
    """What came out of a disk that was full, in records, and the balance."""

    delivered: int
    given_up: int
    losses: int
    unnamed: int
    oldest_first: bool
    events: bool
    """Whether each of them is there."""
    balance: BalanceSaid


class SaidLine(TypedDict, total=False):
    """One line of a child; each says some of it."""

    opening: bool
    started: str
    """The log's id."""
    sink: str
    got: Mapping[str, Sequence[Run]]
    """What this sink was handed, by lane; and what it has acknowledged."""
    done: Mapping[str, Sequence[Run]]
    balances: Mapping[str, Mapping[str, BalanceSaid]]
    """By sink and lane."""
    records: int
    """Of a disk that refused writes for a while: how many were offered."""
    refused: bool
    complete: bool
    balance: BalanceSaid
    offered: int
    """Of a full disk."""
    turned_away: int
    accounts: AccountsSaid


CHILD = [sys.executable, "-m", "gateway.selftest.tortured"]
STARTED = 300.0
"""Seconds that a child has for what it is to do before it is killed, also on a machine that is busy with other things."""


class Child:
    """A child that writes what it says into a file, so that it never waits for somebody to listen."""

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path, errors: Path) -> None:
        self.process = process
        self._said = said
        self._errors = errors

    def heard(self) -> list[SaidLine]:
        """What it has said so far; the line that a kill has cut is none."""
        return [json.loads(line) for line in self._said.read_bytes().split(b"\n")[:-1]]

    def wait_until(self, enough: Callable[[list[SaidLine]], bool]) -> bool:
        """Whether what it has said was enough before it ended, or time was up."""
        end = time.monotonic() + STARTED
        while not enough(self.heard()):
            if self.process.poll() is not None or time.monotonic() > end:
                return enough(self.heard())
            time.sleep(0.002)
        return True

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def complaint(self) -> str:
        """The last line of what it complained about."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def child(arguments: Sequence[str], directory: Path, before: Sequence[str] = ()) -> Iterator[Child]:
    """A child, and its words in `directory`; it is dead when the block ends."""
    said, errors = directory / "said", directory / "errors"
    with (
        said.open("wb") as words,
        errors.open("wb") as complaints,
        subprocess.Popen(
            [*before, *CHILD, *arguments], stdout=words, stderr=complaints, start_new_session=True
        ) as process,
    ):
        running = Child(process, said, errors)
        try:
            yield running
        finally:
            running.kill()


def answer(
    arguments: Sequence[str], directory: Path, timeout: float, before: Sequence[str] = ()
) -> list[SaidLine] | str:
    """All that a child says until it ends by itself; a sentence if it does not, or ends with an error."""
    with child(arguments, directory, before) as running:
        try:
            code = running.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"no end within {timeout:g} s"
        return running.heard() if code == 0 else f"the process ended with an error: {running.complaint()}"
