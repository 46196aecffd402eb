"""What goes back: JSON, and errors as problem details (RFC 9457)."""

from typing import Any

from starlette.responses import Response

from gateway.plugin import to_json

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


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(to_json(value), status, headers, "application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Why it was not done, for the person."""
    body = {"type": "about:blank", "title": PHRASES[status], "status": status, "detail": detail}
    return Response(to_json(body), status, headers, "application/problem+json")
