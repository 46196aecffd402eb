"""The table of commands as an OpenAPI document (3.1), for whoever writes a client."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NotRequired, TypedDict

from gateway.core.arguments import Argument
from gateway.core.command import VIEWER, Declared

BASE = "/api/v1"
Written = Mapping[str, object]
"""A part of the document that nobody here reads again."""
LIMIT, LONGEST = 1000, 100_000
"""Entries of a list that come at once: when nobody says how many, and at most."""

Parameter = TypedDict("Parameter", {"name": str, "in": str, "required": bool, "schema": Written})
"""What a query may say."""


class Operation(TypedDict):
    """What one method of one path does."""

    operationId: str
    summary: str
    description: str
    responses: Mapping[str, Written]
    parameters: Sequence[Written | Parameter]
    requestBody: NotRequired[Written]


class Document(TypedDict):
    """All of it."""

    openapi: str
    info: Written
    servers: Sequence[Written]
    security: Sequence[Written]
    paths: Mapping[str, Mapping[str, Operation]]
    components: Mapping[str, Written]


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person."},
    },
}
_ANSWERS = {
    "400": "Not understood: an argument is missing, unknown, or of another kind.",
    "401": "A login or a token is needed.",
    "403": "Who asks may not, or the request comes from a page of another site.",
    "404": "There is no such thing.",
    "405": "Another method is meant: allow says which.",
    "409": "It cannot be done as things are; detail says why.",
    "413": "The request is too large.",
    "415": "The body is no JSON.",
    "421": "The request is for another host.",
    "429": "Too many attempts: Retry-After says how long to wait.",
    "500": "A bug; the traceback is in the gateway's log.",
    "503": "Too much at once; try again.",
}
_PAGING = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST, "default": LIMIT},
     "description": "Entries of a list, at most."},
    {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0},
     "description": "Entries of a list that are left out before."},
]  # fmt: skip


def method_of(declared: Declared) -> str:
    """GET for what only looks; all else may move something, a device for instance, and is a POST."""
    return "get" if declared.role == VIEWER and not declared.audited else "post"


def document(
    table: Mapping[str, Declared],
    gateway: str,
    version: str,
    more: Mapping[str, Mapping[str, Operation]] = MappingProxyType({}),
) -> Document:
    """All commands of a table, and what else is answered, by path and method."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Edge gateway {gateway}".rstrip(),
            "version": version,
            "description": "Each command of the gateway. Lists come as {items, total, next}, or as CSV by Accept: text/csv.",
        },
        "servers": [{"url": BASE}],
        "security": [{"token": []}, {"session": []}, {}],
        "paths": {
            **{f"/{name}": {method_of(declared): _operation(name, declared)} for name, declared in table.items()},
            **more,
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "edge-gateway user token"},
                "session": {
                    "type": "apiKey", "in": "header", "name": "x-csrf-token",
                    "description": "A browser that is logged in: its cookie, and with a POST this header too.",
                },
            },
            "schemas": {"Problem": _PROBLEM},
            "responses": {
                status: {
                    "description": text,
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, text in _ANSWERS.items()
            },
        },
    }  # fmt: skip


def _operation(name: str, declared: Declared) -> Operation:
    answers: dict[str, Written] = {
        status: {"$ref": f"#/components/responses/{status}"} for status in _ANSWERS if status != "429"
    }
    answers["200"] = {
        "description": "Done.",
        "content": {"application/json": {"schema": {}}, "text/csv": {"schema": {"type": "string"}}},
    }
    operation: Operation = {
        "operationId": name.replace(".", "_"),
        "summary": declared.does or name,
        "description": f"Needs the role {declared.role}." + (" It is in the audit trail." if declared.audited else ""),
        "responses": answers,
        "parameters": _PAGING,
    }
    if method_of(declared) == "get":
        operation["parameters"] = [*(_parameter(*each) for each in declared.arguments.items()), *_PAGING]
    else:
        operation["requestBody"] = {
            "required": any(argument.needed for argument in declared.arguments.values()),
            "content": {"application/json": {"schema": _body(declared.arguments)}},
        }
    return operation


def _parameter(name: str, argument: Argument) -> Parameter:
    return {"name": name, "in": "query", "required": argument.needed, "schema": _without_null(argument.schema)}


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """In a query nothing is said by leaving it out."""
    some = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return some[0] if some else schema


def _body(arguments: Mapping[str, Argument]) -> Written:
    return {
        "type": "object",
        "properties": {name: argument.schema for name, argument in arguments.items()},
        "required": [name for name, argument in arguments.items() if argument.needed],
        "additionalProperties": False,
    }


def from_query(argument: Argument, said: list[str]) -> Any:
    """What a query says of an argument, as JSON would have it; what cannot be read stays a text, which its check refuses."""
    kind = _without_null(argument.schema).get("type")
    if kind == "array":
        return said
    if kind in ("integer", "number") and len(said[-1]) < 30:
        try:
            return int(said[-1]) if kind == "integer" else float(said[-1])
        except ValueError:
            return said[-1]
    return said[-1]
