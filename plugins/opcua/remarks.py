"""What a status code alone does not explain."""

import structlog

from gateway.plugin import Device


class Remarks:
    """Says a thing once for each tag: `remarks(row, what)`, with the first bytes of a value for the debug log each time."""

    def __init__(self, device: Device, log: structlog.stdlib.BoundLogger) -> None:
        self._device = device
        self._log = log
        self._said: set[tuple[int, str]] = set()

    def __call__(self, row: int, what: str, raw: bytes = b"") -> None:
        tag = self._device.tags[row]
        if raw:
            self._log.debug(what, tag=tag.name, address=tag.config.address, raw=raw.hex(" "))
        if (row, what) not in self._said and len(self._said) < MOST:
            self._said.add((row, what))
            self._log.warning(what, tag=tag.name, address=tag.config.address)


MOST = 10_000
"""Things said of one connection."""
