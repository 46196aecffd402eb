"""What the service itself answers below `/api/v1`, beside the commands, for the OpenAPI document."""

from collections.abc import Mapping

from gateway.plugin.openapi import Operation, Written


def _operation(name: str, does: str, more: str, answers: Mapping[str, Written], **rest: object) -> Operation:
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in REFUSED}
    made: Operation = {
        "operationId": name,
        "summary": does,
        "description": more,
        "responses": {**refused, **answers},
        "parameters": [],
    }
    return {**made, **rest}  # type: ignore[typeddict-item]  # parameters and requestBody


REFUSED = ("400", "401", "403", "404", "405", "413", "415", "421", "429", "500", "503")


def _json(schema: Written, text: str = "Done.") -> Mapping[str, Written]:
    return {"200": {"description": text, "content": {"application/json": {"schema": schema}}}}


def _query(name: str, text: str) -> Written:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": text}


_TEXT = {"type": "string"}
_WHO = {
    "type": "object",
    "required": ["name", "roles", "csrf_token"],
    "properties": {
        "name": _TEXT,
        "roles": {"type": "array", "items": _TEXT},
        "csrf_token": {
            "type": ["string", "null"],
            "description": "What a browser sends as x-csrf-token with each POST.",
        },
    },
}
_LOGIN = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["name", "password"],
                "properties": {"name": _TEXT, "password": _TEXT},
                "additionalProperties": False,
            }
        }
    },
}
_STREAM = {
    "200": {"description": "Server-Sent Events, without end.", "content": {"text/event-stream": {"schema": _TEXT}}}
}
_DEVICE = _query("device", "Only of this device.")
_AGAIN = {
    "name": "Last-Event-ID", "in": "header", "required": False, "schema": _TEXT,
    "description": "Go on behind this event, if it is not too long ago.",
}  # fmt: skip

PATHS: Mapping[str, Mapping[str, Operation]] = {
    "/openapi.json": {"get": _operation("openapi", "this document", "For whoever may look.", _json({"type": "object"}))},
    "/session": {
        "get": _operation("session", "who one is", "For whoever may look.", _json(_WHO)),
        "post": _operation(
            "log_in", "log in", "Sets a cookie. Five wrong passwords make one wait.", _json(_WHO), requestBody=_LOGIN
        ),
        "delete": _operation("log_out", "log out", "Ends the login whose cookie is sent.", _json({"type": "null"})),
    },
    "/stream/values": {
        "get": _operation(
            "stream_values", "values as they change", "All values first, then once a second what changed.", _STREAM,
            parameters=[_DEVICE, _AGAIN],
        )
    },
    "/stream/events": {
        "get": _operation(
            "stream_events", "events as they happen", "An event `gap` says that some were missed: ask for the alarms.",
            _STREAM, parameters=[_DEVICE, _AGAIN],
        )
    },
}  # fmt: skip
"""By path and method, without the servers' address."""
