"""`edge-gateway run`."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from gateway.cli.client import socket_path
from gateway.cli.terminal import config_path, fail
from gateway.core.errors import ConfigError, GatewayError
from gateway.supervise.keep_running import leaves

BAD_CONFIG = 78
"""EX_CONFIG of sysexits(3); the unit does not restart on it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from gateway.app import Gateway, look_up
    from gateway.config.load import load
    from gateway.operate.logs import set_up

    try:
        config = load(config_path(args.config), look_up)
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = len(error.problems)
        fail(f"{count} problem{'s' if count > 1 else ''} in the configuration; nothing was started")
        return BAD_CONFIG
    set_up(config.gateway.log_level)
    gc.freeze()

    async def serve() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        await Gateway(config).run(stop, socket_path(args.socket))

    try:
        _run(serve())
    except* GatewayError as errors:
        failed = [str(error) for error in leaves(errors)]
    else:
        failed = []
    for text in failed:
        fail(text)
    return 1 if failed else 0


def _run(main: Coroutine[Any, Any, None]) -> None:
    """In uvloop where there is one: a small TCP exchange costs half there."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
