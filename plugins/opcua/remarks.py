"""What a status code alone does not explain."""

import structlog

from gateway.plugin import Device


class Remarks:
    """Says a thing once for each tag: `remarks(row, what)`."""

    def __init__(self, device: Device, log: structlog.stdlib.BoundLogger) -> None:
        self._device = device
        self._log = log
        self._said: set[tuple[int, str]] = set()

    def __call__(self, row: int, what: str) -> None:
        if (row, what) not in self._said:
            self._said.add((row, what))
            self._log.warning(what, tag=self._device.tags[row].name)
