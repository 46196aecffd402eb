"""The errors that cross the borders between parts."""

from collections.abc import Sequence
from dataclasses import dataclass


class GatewayError(Exception):
    """Base of all errors that the gateway raises on purpose; its text is for the person at the machine."""


class RequestError(GatewayError):
    """A command is asked for that there is not, or with arguments that it does not take."""


class ForbiddenError(GatewayError):
    """Who asks may not."""


class DeviceError(GatewayError):
    """One device answered wrongly or not at all. Its line, and the other devices on it, go on."""


class LinkError(GatewayError):
    """The connection is of no more use. The gateway closes it and dials again after a pause."""


class ForeseenError(LinkError):
    """The connection ended over what had ended one before (`gateway.kit.Suspects`). The next one is made at once, and nothing
    goes stale for that."""


class UnreachableError(LinkError):
    """Nothing answers at the far side. To dial again costs nobody anything, and is the way to learn that it is back."""


class RefusedError(LinkError):
    """The far side said no (password, certificate, protocol version): dialling again alone will not help."""


class PluginError(GatewayError):
    """A plugin cannot be loaded or does not keep its contract."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file that a person wrote."""

    file: str
    line: int
    """1-based; 0 when the mistake belongs to no line."""

    where: str
    """What the line describes, such as `device "press-1": host`."""

    message: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.where, self.message) if part)


class ConfigError(GatewayError):
    """The configuration has mistakes: all of them, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
