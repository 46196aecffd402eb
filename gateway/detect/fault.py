"""Errors that are no model's and no limit's, but the gateway's own: they end neither a task nor another part."""

from collections import deque

import structlog

from gateway.core.text import cleaned

log = structlog.get_logger()

_logged: deque[str] = deque(maxlen=16)


def fault(error: Exception) -> str:
    """What to say of one; where it was raised stands in the log, once for each of the last few kinds."""
    text = cleaned(f"{type(error).__name__}: {error}")
    if text not in _logged:
        _logged.append(text)
        log.error("a fault of the gateway in a part that watches", exc_info=error)
    return f"a fault of the gateway: {text}"
