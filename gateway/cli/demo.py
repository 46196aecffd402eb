"""`edge-gateway demo`: simulated devices, a broker, and the gateway between them."""

import argparse
import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.frame.terminal import fail
from gateway.core.errors import GatewayError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--keep", metavar="DIR", type=Path, help="leave configuration, model and data there")
    when = "stop after so long; default: at Ctrl-C, and without a terminal once the fault was found and is over"
    parser.add_argument("--seconds", type=float, metavar="N", help=when)


def run(args: argparse.Namespace) -> int:
    """Play it; 1 if a part of it does not work."""
    with _directory(args.keep) as directory:
        try:
            return 0 if asyncio.run(_play(directory, args.seconds, args.keep is not None)) else 1
        except GatewayError as error:
            fail(str(error))
            return 1


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="edge-gateway-demo-") as name:
            yield Path(name)


async def _play(directory: Path, seconds: float | None, kept: bool) -> bool:
    from gateway.demo.play import Play
    from gateway.demo.show import Show

    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    return await Play(Show(), stop, seconds).run(directory, kept)
