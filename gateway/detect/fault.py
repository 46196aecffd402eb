"""Errors that are no model's and no limit's, but the gateway's own: they end neither a task nor another part."""

import structlog

from gateway.core.text import cleaned

log = structlog.get_logger()


def fault(error: Exception) -> str:
    """What to say of one; where it was raised stands in the log."""
    log.error("a fault of the gateway in a part that watches", exc_info=error)
    return f"a fault of the gateway: {cleaned(f'{type(error).__name__}: {error}')}"
