"""What each anomaly was found in: its window and its scores, bit by bit, so that they can be computed again.

    DIR/6f1c….raised.json    the event, the window and the scores, of when it was raised; "cleared" likewise
    DIR/models/SHA256.onnx   the model that scored them

Files are text, so that any tool reads them: arrays are base64 of little-endian float32. Beyond a bound the oldest go.
"""

import base64
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.detect.graph import Floats
from gateway.detect.onnx_file import OnnxFile
from gateway.detect.session import Scores
from gateway.outbox.identity import write_whole

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
"""Of all files of events together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One scored window."""

    file: OnnxFile
    """The model."""
    batched: bool
    """Whether it was scored together with others; a window scores the same alone."""
    window: Floats
    """float32[W, T]"""
    scores: Scores
    """Of this window, as they came from the model or from hiding one tag after the other."""

    def dump(self, event: Event) -> dict[str, Any]:
        """As JSON values, with the event that it led to."""
        return {
            "format": FORMAT,
            "event": event.body(),
            "model_sha256": self.file.sha256,
            "onnxruntime": event.detail["onnxruntime"],
            "cpu": event.detail["cpu"],
            "batched": self.batched,
            "shape": list(self.window.shape),
            "window": _packed(self.window),
            "score": _packed(self.scores.score),
            "contribution": _packed(self.scores.contribution),
            "expected": _packed(self.scores.expected),
        }


@dataclass(frozen=True, slots=True)
class Kept:
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
        model = models / f"{evidence.file.sha256}.onnx"
        if not model.exists():
            write_whole(model, evidence.file.content)
        content = orjson.dumps(evidence.dump(event))
        write_whole(self.directory / f"{event.id}.{event.state}.json", content)
        self._make_room()

    def _make_room(self) -> None:
        """Remove the oldest beyond the bound, and models that no event needs any more."""
        found = sorted(
            ((path.stat(), path) for path in self.directory.glob("*.json")), key=lambda each: -each[0].st_mtime_ns
        )
        held, used = 0, set()
        for stat, path in found:
            held += stat.st_size
            if held > self._max_bytes:
                path.unlink(missing_ok=True)
        if held > self._max_bytes:
            for path in self.directory.glob("*.json"):
                with suppress(OSError, ValueError, KeyError):
                    used.add(orjson.loads(path.read_bytes())["model_sha256"])
            for model in (self.directory / "models").glob("*.onnx"):
                if model.stem not in used:
                    model.unlink(missing_ok=True)

    def find(self, event: str, state: str = "raised") -> Kept:
        """What was kept of the event whose id begins so. Raises GatewayError with what there is."""
        found = sorted(self.directory.glob(f"{_safe(event)}*.{state}.json"))
        if len(found) != 1:
            known = ", ".join(path.name[:8] for path in sorted(self.directory.glob(f"*.{state}.json"), key=_age)[:5])
            what = f'several events begin with "{event}"' if found else f'nothing is kept of an event "{event}"'
            raise GatewayError(f"{what} in {self.directory}; the newest are: {known or 'none'}")
        try:
            return self._kept(orjson.loads(found[0].read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GatewayError(f"{found[0]}: cannot be read: {error!r}") from error

    def _kept(self, body: Mapping[str, Any]) -> Kept:
        if body["format"] != FORMAT:
            raise ValueError(f"it has format {body['format']}")
        return Kept(
            body["event"],
            self.directory / "models" / f"{body['model_sha256']}.onnx",
            _unpacked(body["window"]).reshape(body["shape"]),
            _unpacked(body["score"]),
            _unpacked(body["contribution"]),
            body["onnxruntime"],
            body["cpu"],
        )


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
    array: Floats = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return array


def _age(path: Path) -> int:
    return -path.stat().st_mtime_ns


def _safe(event: str) -> str:
    """What an event's id can begin with; anything else finds nothing."""
    return event.lower() if event.isalnum() else "-"
