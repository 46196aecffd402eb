"""The log of a driver's process, on its way to the gateway's."""

import asyncio
import logging
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from gateway.isolation import wire
from gateway.isolation.wire import FrameKind
from gateway.plugin.sound import sound

_TRACE = 16_000


def ship_logs(level: int, send: Callable[..., None], loop: asyncio.AbstractEventLoop) -> None:
    """Send all that is logged in this process from `level` on, be it by structlog or by a library."""
    thread = threading.get_ident()

    def ship(_: Any, __: str, record: MutableMapping[str, Any]) -> str:
        trace = str(record.pop("exception", ""))[-_TRACE:]
        body = wire.as_json({**sound(dict(record)), "exception": trace})
        if threading.get_ident() == thread:
            send(FrameKind.SAID, 0, body)
        else:
            loop.call_soon_threadsafe(send, FrameKind.SAID, 0, body)
        return ""

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            ship,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Libraries()], force=True)


class _Libraries(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        trace = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(record.levelno, record.getMessage(), library=record.name, **trace)
