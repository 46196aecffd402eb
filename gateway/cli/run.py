"""`edge-gateway run`: the daemon itself."""

import argparse
import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.cli.frame.client import socket_path
from gateway.cli.frame.terminal import config_path, fail, joined
from gateway.core.errors import ConfigError, GatewayError

BAD_CONFIG = 78
"""EX_CONFIG of sysexits(3); the unit does not restart on it."""


GARBAGE = 10_000
"""Objects that must have come, beyond those that went, before Python looks for cycles among them. With its own 700 that took
a twelfth of the CPU at 1,000 devices, and found next to nothing: what travels the road is freed without it."""
LARGE = 256 * 1024
"""Bytes from which on a block of memory has pages of its own, which go back when it is freed. The C library would learn
another bound, up to 32 MiB, from the first large answer of a device, and keep what lies between others from then on."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    if not _nothing_half_restored(config_path(args.config)):
        return BAD_CONFIG
    structlog = _structlog()
    from gateway.app import Gateway, look_up
    from gateway.config.load import load
    from gateway.operate.logs import set_up
    from gateway.places.owner import owner
    from gateway.places.person import user_name
    from gateway.places.state_dir import state_dir
    from gateway.supervise.event_loop import EventLoop
    from gateway.supervise.keep_running import leaves

    try:
        config = load(config_path(args.config), look_up)
    except ConfigError as error:
        from gateway.cli.config.check import told

        print(joined(line for problem in error.problems for line in told(problem)), file=sys.stderr)
        count = len(error.problems)
        fail(f"{count} problem{'s' if count > 1 else ''} in the configuration; nothing was started")
        return BAD_CONFIG
    set_up(config.gateway.log_level)
    _keep_large_blocks_apart()
    place = state_dir(config.path, config.gateway.state_dir, config.gateway.name)
    if not os.geteuid() and (uid := owner(place)[0]):
        name = user_name(uid)
        fail(
            f"the state directory {place} belongs to {name}, who could not read what root writes there: start the gateway "
            f"as that user:  systemctl start edge-gateway   or   sudo -u {name} edge-gateway run"
        )
        return 1

    async def serve() -> None:
        stop = asyncio.Event()
        gateway = Gateway(config)
        loop = asyncio.get_running_loop()
        # Not by add_signal_handler: at its end the loop gives each signal back to its default, and one that comes then would
        # end us as killed.
        calls = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: gateway.reload_soon}
        for signum, call in calls.items():
            signal.signal(signum, lambda *_, call=call: loop.call_soon_threadsafe(call))
            signal.siginterrupt(signum, False)
        try:
            await gateway.run(stop, socket_path(args.socket), _settle)
        finally:
            for signum in calls:
                signal.signal(signum, signal.SIG_IGN)

    code, loop = 0, EventLoop()
    try:
        loop.run(serve())
    except* GatewayError as errors:
        code = 1
        for refusal in leaves(errors):
            fail(str(refusal))
    except* Exception as errors:  # noqa: BLE001 - whatever it is, it must be told and end the process
        code = 1
        structlog.get_logger().critical("the gateway ends by a bug of its own", exc_info=errors)
        bug = next(leaves(errors))
        fail(f"{type(bug).__name__}: {bug} (a bug of the gateway; please report it with the traceback above)")
    _leave(code, loop.deaf)
    return code


def _nothing_half_restored(config: Path) -> bool:
    """End a restore that a power cut has broken off, before anything of it is believed."""
    from gateway.cli.moving.moves import JOURNAL

    if not os.path.lexists(config.parent / JOURNAL):
        return True
    from gateway.cli.moving.restore import end_broken_off

    try:
        print(end_broken_off(config.absolute()), file=sys.stderr)
    except (GatewayError, OSError) as error:
        fail(f"a restore was broken off, and cannot be ended ({error}):  sudo edge-gateway restore --resume")
        return False
    return True


def _structlog() -> Any:
    """It imports rich where that is installed, for tracebacks that the gateway prints plain: 4 MB for nothing."""
    if "structlog" not in sys.modules and "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]  # the import system's word for "not there"
        import_module("structlog")
        del sys.modules["rich"]
    return import_module("structlog")


def _settle() -> None:
    """What was made up to now stays until the configuration changes: the collector need not look at it again, and seldom at
    what comes. What is not in use goes back to the system."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    _c_library("malloc_trim", 0)


def _keep_large_blocks_apart() -> None:
    _c_library("mallopt", _MMAP_THRESHOLD, LARGE)
    _c_library("mallopt", _TRIM_THRESHOLD, 2 * LARGE)


def _c_library(function: str, *numbers: int) -> None:
    """Call it where the C library has it; musl's has none of these."""
    with suppress(AttributeError):
        getattr(ctypes.CDLL(None), function)(*numbers)


def _leave(code: int, deaf: Sequence[str]) -> None:
    """End at once when a plugin's thread or task hangs, for which Python would wait without limit."""
    main = threading.main_thread()
    hanging = [each.name for each in threading.enumerate() if not each.daemon and each is not main]
    log = _structlog().get_logger()
    if hanging:
        log.warning("threads do not end, they are left", threads=", ".join(hanging))
    if deaf:
        log.warning("tasks do not end, they are left", tasks=", ".join(deaf))
    if hanging or deaf:
        sys.stderr.flush()
        os._exit(code)
