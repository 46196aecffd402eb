"""Of which spans of time what a device had recorded was imported: tag by tag, on disk, so that nothing is imported twice."""

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path

from gateway.core.parsing import doubting, parse_json
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

LARGEST = 64 * 1024 * 1024
"""Bytes of such a file."""

Span = tuple[int, int]
"""From and to, half open, ns since 1970."""


class Spans:
    """Spans of time that neither meet nor overlap, in order."""

    def __init__(self, spans: list[Span] | None = None) -> None:
        self.spans: list[Span] = []
        for span in spans or ():
            self.add(*span)

    def add(self, from_ns: int, to_ns: int) -> None:
        """One more, which may overlap others."""
        if from_ns >= to_ns:
            return
        apart = [(a, b) for a, b in self.spans if b < from_ns or a > to_ns]
        joined = [(a, b) for a, b in self.spans if b >= from_ns and a <= to_ns]
        whole = min([from_ns, *(a for a, _ in joined)]), max([to_ns, *(b for _, b in joined)])
        self.spans = sorted([*apart, whole])

    def missing(self, from_ns: int, to_ns: int) -> list[Span]:
        """What of this span is not covered, in order."""
        found = []
        for a, b in self.spans:
            if b > from_ns and a < to_ns:
                if a > from_ns:
                    found.append((from_ns, a))
                from_ns = max(from_ns, b)
        return [*found, (from_ns, to_ns)] if from_ns < to_ns else found


class Covered:
    """What was imported of one device, by the key of each tag. All of it is blocking."""

    def __init__(self, directory: Path, device: str) -> None:
        """Reads the file. Raises OSError; one that is damaged is put aside, and nothing counts as imported then."""
        self._path = directory / f"{hashlib.sha256(device.encode()).hexdigest()[:32]}.json"
        self._device = device
        self.spans: dict[str, Spans] = {}
        self.begun = False
        """Whether an import is under way, or was when the gateway was killed: then more was imported than stands here."""
        self.was_damaged = False
        self._saving = threading.Lock()  # a save goes on in its thread when who wanted it is gone
        try:
            data = read_regular(self._path, LARGEST)
        except FileNotFoundError:
            return
        try:
            self._read(data)
        except ValueError:
            self.was_damaged = True
            self._path.replace(self._path.with_suffix(".damaged"))
            self.spans, self.begun = {}, True

    def _read(self, data: bytes) -> None:
        with doubting(ValueError):
            said = parse_json(data, size=LARGEST)
            if not isinstance(said, dict) or said["device"] != self._device:
                raise ValueError("the file of another device")
            self.spans = {str(key): Spans([(int(a), int(b)) for a, b in spans]) for key, spans in said["spans"].items()}
            self.begun = bool(said["begun"])

    def save(self) -> None:
        """Write it durably. Raises OSError."""
        spans: Mapping[str, list[Span]] = {key: each.spans for key, each in self.spans.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        body = {"device": self._device, "spans": spans, "begun": self.begun}
        with self._saving:
            write_whole(self._path, json.dumps(body, ensure_ascii=False).encode())
