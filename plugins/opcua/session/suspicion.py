"""What a server does not bear to be asked for: over it the connection ends, or no answer comes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncua import ua

from gateway.kit import Suspects
from gateway.plugin import ForeseenError, LinkError, listed

WHY = "the connection ends whenever it is asked for"
DESCRIBED_AGAIN, DESCRIBED_AGAIN_AT_MOST = 60.0, 86400.0
"""Seconds for which a server is not asked about its nodes after the connection has ended over that. They double."""


class Suspicion:
    """What is suspected at one server, for longer than a connection."""

    def __init__(self) -> None:
        self._of: dict[str, Suspects[str]] = {}
        self._pause = 0.0
        """For how long the server is not asked about its nodes."""
        self._describe_at = 0.0

    def of(self, operation: str) -> Suspects[str]:
        """Names of tags over which the connection ends when this is done with them; each set that is asked for together is an
        operation of its own."""
        return self._of.setdefault(operation, Suspects(chances=0))

    @contextmanager
    def asking(
        self, operation: str, names: tuple[str, ...], *, alive: bool, ends_by_silence: bool = True
    ) -> Iterator[None]:
        """These are asked for. `alive`: others were answered on this connection. Raises ForeseenError in place of what is
        raised, where that was to be expected."""
        suspects = self.of(operation)
        try:
            yield
        except (LinkError, OSError, RuntimeError) as error:
            cause = error.__cause__ or error
            silent = isinstance(cause, TimeoutError)
            if isinstance(cause, ua.UaError) or (silent and not ends_by_silence):
                raise
            now = asyncio.get_running_loop().time()
            if suspects.ended(names, str(error), now, alive=alive, silent=silent):
                raise ForeseenError(str(error)) from cause
            raise
        if suspects:
            suspects.answered(names)

    @property
    def parked(self) -> set[str]:
        """Names of the tags that are left out of any operation."""
        return {name for suspects in self._of.values() for name in suspects.parked}

    def trial_at(self, name: str) -> float:
        """Loop time from which a tag that is left out is tried again; infinite for one that is not."""
        return min((each.trial_at for each in self._of.values() if name in each.parked), default=float("inf"))

    @property
    def tells_nothing(self) -> bool:
        """Whether the server is not to be asked about its nodes now."""
        return asyncio.get_running_loop().time() < self._describe_at

    @contextmanager
    def describing(self) -> Iterator[None]:
        """The server is asked about its nodes."""
        try:
            yield
        except LinkError:
            self._pause = min(2 * self._pause or DESCRIBED_AGAIN, DESCRIBED_AGAIN_AT_MOST)
            self._describe_at = asyncio.get_running_loop().time() + self._pause
            raise
        if not self.tells_nothing:
            self._pause = 0.0

    @property
    def remarks(self) -> list[str]:
        """What is left out and why, for `status`."""
        said = []
        if parked := listed(sorted(self.parked)):
            said.append(
                f"the connection ends whenever the server is asked for {parked}: it is left out, and tried again alone"
            )
        if self._pause:
            said.append(f"the connection ended over types and units: they are asked for again after {self._pause:g} s")
        return said


def suspicion_in(memory: dict[str, Any]) -> Suspicion:
    """The one that is kept in a line's memory."""
    found: Suspicion = memory.setdefault("suspicion", Suspicion())
    return found
