"""Tries a model in a process of its own, with limits, before it comes into this one.

A file of a few hundred bytes can take all memory, a core for ever, or crash the library that loads it, and nothing in this
process could stop that. What the trial has shown holds here too: the same bytes are loaded by the same library with the same
options, no size depends on the values that are scored (see `data_sizes`), and windows are scored together only in numbers
that were tried.
"""

import os
import signal
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer

import gateway
from gateway.core.parsing import doubting, parse_json
from gateway.detect.models.onnx_file import ModelError, OnnxFile

ROOM = 64 * 1024 * 1024
"""Bytes that a model may take, beside four times its file and its windows."""
CPU_SECONDS = 30
WALL_SECONDS = 90.0
"""From the start of the process to its answer; it is niced, and may wait for a core."""
_ANSWER = 64 * 1024
_REMEMBERED = 64
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
_QUIET = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY"), "1")


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a trial has shown of a good model."""

    sizes: tuple[int, ...]
    """How many windows may be scored together, ascending: for these, each score is the same, bit for bit, as alone."""
    seconds: float
    """What scoring all assets takes."""
    explain_seconds: float
    """What explaining one score takes."""
    memory: int = 0
    """Bytes that it took at most, beside what any model takes."""


class Trial:
    """One trial. `run` blocks; `stop` may be called from another thread."""

    _known: "OrderedDict[tuple[str, int], TrialResult]" = OrderedDict()
    """What has passed in this process, so that a reload tries nothing again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    @classmethod
    def knows(cls, file: OnnxFile, assets: int) -> bool:
        """Whether it has passed in this process already."""
        return (file.sha256, assets) in cls._known

    def run(self, file: OnnxFile, assets: int) -> TrialResult:
        """Load, check and time it for so many assets. Raises ModelError with the reason when it does not pass."""
        key = file.sha256, assets
        result = self._known.get(key)
        if result is None:
            result = self._known[key] = self._tried(file.content, assets)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return result

    def stop(self) -> None:
        """End it now; `run` then raises ModelError."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _tried(self, content: bytes, assets: int) -> TrialResult:
        with self._lock:
            if self._stopped:
                raise ModelError("was not tried: the gateway stops")
            process = self._process = _started(assets)
        timer = Timer(WALL_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        try:
            answer = _talk(process, content)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if answer:
            return _result(answer)
        if self._stopped:
            raise ModelError("was not tried to the end: the gateway stops")
        raise ModelError(_ended(code))


def _started(assets: int) -> subprocess.Popen[bytes]:
    """Without secrets: of the environment only what finds programs and libraries is passed on."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= _QUIET | {"PYTHONPATH": str(Path(gateway.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.detect.models.trial_process", str(assets), str(CPU_SECONDS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd="/",
        )  # fmt: skip
    except OSError as error:
        raise ModelError(f"cannot be tried: no process can be started for it: {error.strerror}") from error


def _talk(process: subprocess.Popen[bytes], content: bytes) -> bytes:
    """Hand it the file, and hear its answer; empty if it ends without one."""
    assert process.stdin is not None and process.stdout is not None
    with process.stdout:
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(content)
        return process.stdout.read(_ANSWER)


def _result(answer: bytes) -> TrialResult:
    with doubting(lambda reason: ModelError(f"cannot be tried: {reason}")):
        body = parse_json(answer)
        if "refused" in body:
            raise ModelError(str(body["refused"]))
        sizes = tuple(map(int, body["sizes"]))
        return TrialResult(sizes, float(body["seconds"]), float(body["explain_seconds"]), int(body["memory"]))


def _ended(code: int) -> str:
    """Why there was no answer, by how the process ended."""
    match -code:
        case signal.SIGXCPU:
            return f"takes more than {CPU_SECONDS} s of a core to be loaded and tried"
        case signal.SIGALRM:
            return f"was not loaded and tried within {WALL_SECONDS:.0f} s"
        case signal.SIGKILL:
            return f"was not tried within {WALL_SECONDS:.0f} s, or there was no memory for it"
        case number if number > 0:
            return f"ends the process that loads it ({signal.strsignal(number)}): it is damaged, or made to do that"
    return f"cannot be tried: the process for it ended with code {code}"
