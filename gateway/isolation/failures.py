"""Errors on their way from the process of a driver to the gateway."""

from typing import Any

from gateway.core.errors import DeviceError, ForeseenError, LinkError, PluginError, RefusedError, UnreachableError
from gateway.core.text import cleaned
from gateway.supervise.keep_running import EXPECTED, leaves

_TRACE = 16_000
"""Characters of a traceback."""
_SAID = 2_000
# The more special ones first.
_KNOWN: tuple[type[Exception], ...] = (
    *(
        RefusedError,
        UnreachableError,
        ForeseenError,
        LinkError,
        DeviceError,
        PluginError,
        TimeoutError,
        OSError,
        EOFError,
    ),
)


class BugError(Exception):
    """What a driver raised in its process, and is none of the errors that it may raise."""


def failure(error: BaseException) -> dict[str, str]:
    """An error in JSON; of a group, the one that counts."""
    single = [*leaves(error)]
    error = next((each for each in single if not isinstance(each, EXPECTED)), single[0])
    known = next((kind for kind in _KNOWN if isinstance(error, kind)), None)
    if known is not None:
        return {"known": known.__name__, "text": _text(error)}
    return {"kind": cleaned(type(error).__name__, 100), "text": _text(error), "trace": _traceback(error)}


def _text(error: BaseException) -> str:
    try:
        said = cleaned(error, _SAID)
        return said or ("its process may take no more (process_memory)" if isinstance(error, MemoryError) else "")
    except Exception:  # noqa: BLE001 - a plugin's own class
        return ""


def _traceback(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_tb(error.__traceback__))[-_TRACE:]
    except Exception:  # noqa: BLE001 - whatever the plugin has made of its frames
        return ""


def raised(failure: Any) -> Exception:
    """The error again. Raises ValueError for what is no failure."""
    if not isinstance(failure, dict) or not all(isinstance(part, str) for part in failure.values()):
        raise ValueError("an error that is none")
    text = cleaned(failure.get("text", ""), _SAID)
    for kind in _KNOWN:
        if failure.get("known") == kind.__name__:
            return kind(text)
    name = failure.get("kind", "")
    bug: Exception = type(name if name.isidentifier() else "Exception", (BugError,), {})(text)
    if trace := failure.get("trace", "")[-_TRACE:]:
        bug.add_note("in its own process:\n" + "\n".join(cleaned(line) for line in trace.splitlines()))
    return bug
