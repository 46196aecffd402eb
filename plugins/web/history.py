"""`/api/v1/history` as a table: CSV, and Arrow where pyarrow is there. As JSON it is as any other command."""

import asyncio
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.plugin import ServiceHost, for_spreadsheet
from gateway.plugin.openapi import BASE, from_query

from .api import Api
from .replies import Refusal
from .visitors import Visitors

ARROW = "application/vnd.apache.arrow.stream"
"""IPC stream format of Apache Arrow."""
COLUMNS = ("time", "device", "tag", "value", "unit")

Series = Mapping[str, Any]


class History:
    """Its route, before that of all commands."""

    def __init__(self, host: ServiceHost, visitors: Visitors, api: Api) -> None:
        self._host = host
        self._visitors = visitors
        self._api = api

    def routes(self) -> list[Route]:
        """Of history alone."""
        return [Route(f"{BASE}/history", self.history)]

    async def history(self, request: Request) -> Response:
        kind = _wanted(request.headers.get("accept", ""))
        if kind is None:
            request.path_params["command"] = "history"
            return await self._api.command(request)
        actor = await self._visitors.must_be(request)
        declared = self._host.commands["history"].arguments
        arguments = {
            key: from_query(declared[key], said) if key in declared else said
            for key in request.query_params
            if (said := request.query_params.getlist(key)) and key not in ("limit", "offset")
        }
        found = await self._api.ask(actor, "history", arguments, at_once=False)
        data = await asyncio.to_thread(_arrow if kind == ARROW else _csv, found)
        return Response(data, headers={"content-disposition": "attachment"}, media_type=kind)


def _wanted(accept: str) -> str | None:
    """CSV, Arrow, or None for JSON: what stands first in Accept."""
    for each in accept.lower().split(","):
        kind = each.partition(";")[0].strip()
        if kind in ("text/csv", ARROW):
            return kind
        if kind in ("application/json", "*/*"):
            return None
    return None


def _csv(found: Sequence[Series]) -> bytes:
    """A row for each value, with a byte order mark, so that spreadsheet programs read UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_rows(found))
    return b"\xef\xbb\xbf" + text.getvalue().encode(errors="replace")


def _rows(found: Sequence[Series]) -> Iterator[tuple[object, ...]]:
    for each in found:
        device, tag, unit = (for_spreadsheet(each[name]) for name in ("device", "tag", "unit"))
        for ts, value in zip(each["ts"], each["values"], strict=True):
            time = datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")
            yield time, device, tag, "" if value is None else value, unit


def _arrow(found: Sequence[Series]) -> bytes:
    """The same columns, time as timestamp[ms, UTC]. Raises Refusal where pyarrow is missing."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise Refusal(406, "Arrow needs a library that is not installed (pyarrow): ask for text/csv") from None
    counts = [len(each["ts"]) for each in found]
    place = pa.array([number for number, count in enumerate(counts) for _ in range(count)], pa.int32())
    texts = {
        name: pa.array([each[name] for each in found], pa.string()).take(place) for name in ("device", "tag", "unit")
    }
    times = pa.array([ts for each in found for ts in each["ts"]], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    values = pa.array([value for each in found for value in each["values"]], pa.float64())
    table = pa.table(
        {"time": times, "device": texts["device"], "tag": texts["tag"], "value": values, "unit": texts["unit"]}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
