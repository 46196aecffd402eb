"""What goes back: JSON, and errors as problem details (RFC 9457)."""

import json
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from gateway.plugin import encodable

PHRASES = {
    400: "not understood",
    401: "login needed",
    403: "not allowed",
    404: "not found",
    405: "method not allowed",
    406: "not acceptable",
    409: "cannot be done",
    411: "length needed",
    413: "too large",
    415: "of another kind",
    421: "another host is meant",
    429: "too many attempts",
    500: "a bug",
    503: "not now",
}
"""Title of each status that is answered."""
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


def dumps(value: Any) -> bytes:
    """As JSON; NaN becomes null, and what UTF-8 or 64 bits cannot hold costs no more than itself."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and value * 0 != 0 else value


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(dumps(value), status, headers, "application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Why it was not done, for the person."""
    body = {"type": "about:blank", "title": PHRASES[status], "status": status, "detail": detail}
    return Response(dumps(body), status, headers, "application/problem+json")
