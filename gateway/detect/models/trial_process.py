"""The process in which a model is tried: the file comes in by stdin, the result goes out by stdout, as JSON."""

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import MAX_SIZE, ModelError, parse_onnx
from gateway.detect.models.session import ModelSession
from gateway.detect.models.trial import ROOM, WALL_SECONDS, TrialResult

NICENESS = 10
NOBODY = 65534
"""User and group that own nothing."""
_GRACE = 5
FIRST_SESSION = 16 * 1024 * 1024
"""Bytes that onnxruntime takes for the first model of a process, whichever it is."""
_BYTES_PER_CELL = 16
"""Of windows that are scored together: as they are made up, as they are given, and twice in between."""


def main() -> None:
    """Judge what comes, within limits that this process cannot lift again. Arguments: for how many assets, and how many
    seconds of a core it may take."""
    assets, cpu_seconds = map(int, sys.argv[1:])
    signal.alarm(round(WALL_SECONDS))
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, cpu_seconds)
    with suppress(OSError):  # forbidden, as for the service
        os.nice(NICENESS)
    sys.stdout.write(json.dumps(_answer(assets)))


def _answer(assets: int) -> Mapping[str, object]:
    try:
        result = judge(sys.stdin.buffer.read(MAX_SIZE + 1), assets)
    except ModelError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": "takes more memory than a model may"}
    except Exception as error:  # noqa: BLE001 - whatever it is, this file raised it
        return {"refused": f"cannot be tried: {type(error).__name__}: {error}"}
    return asdict(result)


def judge(content: bytes, assets: int) -> TrialResult:
    """Load, check and time a model. Limits the rights and the memory of this process. Raises ModelError."""
    try:  # now, since their size is not the model's, and nobody may not be allowed to read them
        import numpy.random  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ModelError(f"cannot be used: onnxruntime cannot be loaded: {error}") from error
    _become_nobody()
    file = parse_onnx(Path("the file"), content)
    card = parse_card(file.metadata)
    room = ROOM + 4 * len(content) + _BYTES_PER_CELL * assets * card.window * len(card.inputs)
    _lower(resource.RLIMIT_AS, _in_use() + room)
    before = _resident("VmRSS")
    try:
        result = measured(ModelSession(file, card, assets=assets), assets)
        return replace(result, memory=max(0, _resident("VmHWM") - before - FIRST_SESSION))
    except (ModelError, MemoryError) as error:
        if isinstance(error, MemoryError) or "bad_alloc" in str(error) or "allocate" in str(error):
            raise ModelError(f"takes more memory than a model of its size may, {room // 2**20} MiB") from error
        raise


def measured(session: ModelSession, assets: int) -> TrialResult:
    """The result on a model that has passed all checks."""
    return TrialResult(session.sizes, session.seconds(assets), session.explain_seconds())


def _become_nobody() -> None:
    """What root tries, as with `check`, is not tried as root."""
    if os.geteuid() == 0:
        with suppress(OSError):  # where there are no other users, as in some containers
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)


def _lower(which: int, limit: int) -> None:
    _, hard = resource.getrlimit(which)
    most = limit + _GRACE  # beyond this the kernel kills without saying for what
    resource.setrlimit(which, (limit, most) if hard == resource.RLIM_INFINITY else (min(limit, hard), min(most, hard)))


def _resident(what: str) -> int:
    """Bytes, now (VmRSS) or at most (VmHWM); see proc(5), status."""
    found = re.search(rf"^{what}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _in_use() -> int:
    """Bytes of address space (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
