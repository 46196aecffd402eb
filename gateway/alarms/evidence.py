"""What each anomaly was found in: its window and its scores, bit by bit, so that they can be computed again.

    DIR/6f1c….raised.json    the event, the window and the scores, of when it was raised; "cleared" likewise
    DIR/models/SHA256.onnx   the model that scored them

Files are text, so that any tool reads them: arrays are base64 of little-endian float32. Beyond a bound the oldest go.
"""

import base64
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.core.parsing import doubting, parse_json
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

Floats = NDArray[np.float32]
FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
"""Of all files of events together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One scored window."""

    model: bytes
    """The file of the model that scored it."""
    model_sha256: str
    batched: bool
    """Whether it was scored together with others; a window scores the same alone."""
    window: Floats
    """float32[W, T]"""
    score: Floats
    """float32[1]"""
    contribution: Floats | None
    """float32[1, T], as it came from the model or from hiding one tag after the other."""
    expected: Floats | None
    """float32[1, T]"""

    def dump(self, event: Event) -> Mapping[str, object]:
        """As JSON values, with the event that it led to."""
        return {
            "format": FORMAT,
            "event": event.body(),
            "model_sha256": self.model_sha256,
            "onnxruntime": event.detail["onnxruntime"],
            "cpu": event.detail["cpu"],
            "batched": self.batched,
            "shape": list(self.window.shape),
            "window": _packed(self.window),
            "score": _packed(self.score),
            "contribution": _packed(self.contribution),
            "expected": _packed(self.expected),
        }


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """What was kept of one event."""

    event: Mapping[str, Any]
    model: Path
    """The model that scored it; perhaps no longer there."""
    window: Floats
    score: Floats
    """float32[1]"""
    contribution: Floats
    """float32[T]"""
    onnxruntime: str
    cpu: str


class EvidenceStore:
    """A directory of evidence. `keep` may be called from one thread at a time."""

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self.directory = directory
        self._max_bytes = max_bytes

    def keep(self, event: Event, evidence: Evidence) -> None:
        """Write down what an event was found in. Raises OSError."""
        models = self.directory / "models"
        models.mkdir(parents=True, exist_ok=True)
        model = models / f"{evidence.model_sha256}.onnx"
        if not model.exists():
            write_whole(model, evidence.model)
        content = orjson.dumps(evidence.dump(event))
        path = self.directory / f"{event.id}.{event.state}.json"
        write_whole(path, content)
        self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        """Remove the oldest beyond the bound, and models that no event needs any more."""
        found = sorted(self._files(), reverse=True)
        if found and found[0][1] != newest:
            # The clock was ahead when that one was written; what stands there as a file's time is its place in the order.
            os.utime(newest, ns=(found[0][0] + 1, found[0][0] + 1))
            found = sorted(self._files(), reverse=True)
        held, used = 0, set()
        for _, path, size in found:
            held += size
            if held > self._max_bytes:
                path.unlink(missing_ok=True)
        if held > self._max_bytes:
            for _, path, _ in self._files():
                with suppress(OSError, ValueError):
                    used.add(_model_of(path))
            for model in (self.directory / "models").glob("*.onnx"):
                if model.stem not in used:
                    model.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[int, Path, int]]:
        """Time of the last change, path and size of what is kept of events."""
        for path in self.directory.glob("*.json"):
            with suppress(OSError):
                stat = path.stat()
                if S_ISREG(stat.st_mode):
                    yield stat.st_mtime_ns, path, stat.st_size

    def find(self, event: str, state: str = "raised") -> KeptEvidence:
        """What was kept of the event whose id begins so. Raises GatewayError with what there is."""
        found = sorted(self.directory.glob(f"{_safe(event)}*.{state}.json"))
        if len(found) != 1:
            known = ", ".join(path.name[:8] for path in sorted(self.directory.glob(f"*.{state}.json"), key=_age)[:5])
            what = f'several events begin with "{event}"' if found else f'nothing is kept of an event "{event}"'
            raise GatewayError(f"{what} in {self.directory}; the newest are: {known or 'none'}")
        try:
            with doubting(ValueError):
                return self._kept(parse_json(_read(found[0])))
        except ValueError as error:
            raise GatewayError(f"{found[0]}: cannot be read: {error}") from error

    def newest(self, at_most: int, state: str = "raised") -> Iterator[KeptEvidence]:
        """What was kept last, the newest first; what cannot be read is left out."""
        for path in sorted(self.directory.glob(f"*.{state}.json"), key=_age)[:at_most]:
            with suppress(ValueError), doubting(ValueError):
                yield self._kept(parse_json(_read(path)))

    def _kept(self, body: Mapping[str, Any]) -> KeptEvidence:
        if body["format"] != FORMAT:
            raise ValueError(f"it has format {body['format']}")
        rows, tags = body["shape"]
        window = _unpacked(body["window"]).reshape(rows, tags)
        kept = KeptEvidence(
            dict(body["event"]),
            self.directory / "models" / f"{_sha256_in(body)}.onnx",
            window,
            _unpacked(body["score"]),
            _unpacked(body["contribution"]),
            str(body["onnxruntime"]),
            str(body["cpu"]),
        )
        if len(kept.score) != 1 or len(kept.contribution) != window.shape[1]:
            raise ValueError("its scores do not fit its window")
        if not all(isinstance(kept.event.get(name), str) for name in ("model_sha256", "window_sha256")):
            raise ValueError("its event does not say what was scored")
        if not _is_told(kept.event):
            raise ValueError("its event is not as the gateway tells one")
        return kept


def _is_told(event: Mapping[str, Any]) -> bool:
    """Whether id, time, words and contributions are what everybody takes them for; a number may be missing, as NaN is."""
    texts = all(isinstance(event.get(name), str) for name in ("event", "device", "severity", "message"))
    numbers = [event.get(name) for name in ("score", "threshold")]
    for part in event.get("contributions", ()):
        texts = texts and isinstance(part["tag"], str)
        numbers += [part["share"], part["value"], part["expected"]]
    return texts and isinstance(event.get("ts"), int) and all(isinstance(each, int | float | None) for each in numbers)


def _read(path: Path) -> bytes:
    """Raises ValueError where nothing can be read."""
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        raise ValueError(error.strerror) from error


def _model_of(path: Path) -> str:
    with doubting(ValueError):
        return _sha256_in(parse_json(_read(path)))


def _sha256_in(body: Mapping[str, Any]) -> str:
    found = re.fullmatch("[0-9a-f]{64}", body["model_sha256"])
    if found is None:
        raise ValueError("it does not say which model it is of")
    return found[0]


@cache
def cpu() -> str:
    """The type of this processor, as its maker calls it; other types may round the last bit of a score differently."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine()


def _packed(array: Floats | None) -> str | None:
    return None if array is None else base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _unpacked(text: str) -> Floats:
    array: Floats = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    return array


def _age(path: Path) -> int:
    try:
        return -path.lstat().st_mtime_ns
    except OSError:
        return 0


def _safe(event: str) -> str:
    """What an event's id can begin with; anything else finds nothing."""
    return event.lower() if event.isalnum() else "-"
