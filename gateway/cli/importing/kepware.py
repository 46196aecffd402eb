"""Kepware: the tags of one Modbus device as CSV ("Tag Name","Address","Data Type",…; the driver's manual says what addresses
mean)."""

import argparse
import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError, milliseconds

_AREAS = {"0": "co", "1": "di", "3": "ir", "4": "hr"}
_TYPES = {
    "boolean": "bool", "short": "int16", "word": "uint16", "long": "int32", "dword": "uint32", "float": "float32",
    "double": "float64", "llong": "int64", "qword": "uint64",
}  # fmt: skip
_NODE = re.compile(r"ns=\d+;[isgb]=")
_ADDRESS = re.compile(r"([0134])[xX]?(\d{4,5})(?:\.(\d+)([HhLl])?)?")


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no export of tags."""
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        titles = [title.strip().lower() for title in next(rows)]
    except (StopIteration, csv.Error):
        raise ImportRefusedError("it is empty, or no CSV") from None
    if not {"tag name", "address"} <= set(titles):
        raise ImportRefusedError(
            'its first row does not name the columns "Tag Name" and "Address": export the tags of one device as CSV'
        )
    options = {"host": args.host, "port": args.port, "unit": args.unit, "order": args.order or "CDAB"}
    device = made.device(args.name, "modbus", options, "the device")
    if device is None:
        return
    if args.host == "192.0.2.1":
        made.lost("the device", 'the export does not say where it is: host = "192.0.2.1" is a placeholder (--host)')
    if args.order is None:
        made.lost(
            "the device",
            'byte order "CDAB" was taken, as with "First word low" switched on, its default; else: --order ABCD',
        )
    server: list[ImportedDevice | None] = []
    try:
        for cells in rows:
            row = dict(zip(titles, (cell.strip() for cell in cells), strict=False))
            if row.get("tag name") and _NODE.match(row.get("address", "")):
                _node(row, server, made, args, f"line {rows.line_num}")
            elif row.get("tag name"):
                _row(row, device, made, args, f"line {rows.line_num}")
    except csv.Error as error:
        raise ImportRefusedError(f"line {rows.line_num}: it is no CSV: {error}") from None
    made.drop_empty()


def _node(
    row: Mapping[str, str], server: list[ImportedDevice | None], made: Import, args: argparse.Namespace, where: str
) -> None:
    """A tag of Kepware's client of OPC UA, whose addresses are node ids."""
    if not server:
        server.append(made.device(args.name, "opcua", {"url": "opc.tcp://192.0.2.1:4840"}, where))
        made.lost(where, "the export does not say where the OPC UA server is: the url is a placeholder")
    options = {"address": row["address"], "scan": milliseconds(row.get("scan rate"))}
    if server[0] is not None and _scale(row, options, made, where):
        made.tag(server[0], row["tag name"], options | _described(row), where)


def _described(row: Mapping[str, str]) -> dict[str, Any]:
    return {"unit": row.get("eng units", "") or row.get("eng. units", ""), "description": row.get("description", "")}


def _row(row: Mapping[str, str], device: ImportedDevice, made: Import, args: argparse.Namespace, where: str) -> None:
    name = row["tag name"]
    options = _address(row, made, args, where)
    if options is None or not _scale(row, options, made, where):
        return
    options |= _described(row)
    options["scan"] = milliseconds(row.get("scan rate"))
    if row.get("client access", "").upper() in ("R/W", "RW", "WO"):
        made.lost(where, f'"{name}" could be written there; here it cannot, until write, min, max and max_rate say so')
    if row.get("negate value", "") in ("1", "true"):
        made.lost(where, f'"{name}": Negate Value is not carried over')
    made.tag(device, name, options, where)


def _address(row: Mapping[str, str], made: Import, args: argparse.Namespace, where: str) -> dict[str, Any] | None:
    name, address, kind = row["tag name"], row.get("address", ""), row.get("data type", "").lower()
    found = _ADDRESS.fullmatch(address)
    if found is None:
        made.lost(
            where,
            f'the tag "{name}" is left out: "{address}" (an array, another area or driver) has no counterpart',
        )
        return None
    digit, number, part, half = found.groups()
    area, offset = _AREAS[digit], int(number) - (0 if args.not_zero_based else 1)
    if offset < 0:
        made.lost(where, f'the tag "{name}" is left out: {address} lies before the first address')
        return None
    if area in ("co", "di"):
        return {"address": f"{area}:{offset}"}
    if kind == "string" or half:
        length = int(part or 0)
        return {
            "address": f"{area}:{offset}",
            "type": "string",
            "length": length,
            **({"order": "BA"} if (half or "").upper() == "L" else {}),
        }
    if part is not None:
        return {"address": f"{area}:{offset}.{part}", "type": "bool"}
    type_ = _TYPES.get(kind or "word")
    if type_ is None or type_ == "bool":
        made.lost(
            where,
            f'the tag "{name}" is left out: a {row.get("data type")} in a register ({address}) has no counterpart',
        )
        return None
    return {"address": f"{area}:{offset}", "type": type_}


def _scale(row: Mapping[str, str], options: dict[str, Any], made: Import, where: str) -> bool:
    """Whether the tag can be carried over: a wrong number is worse than none."""
    kind = row.get("scaling", "").lower()
    if kind in ("", "none"):
        return True
    if kind != "linear":
        made.lost(where, f'the tag "{row["tag name"]}" is left out: {row.get("scaling")} scaling has no counterpart')
        return False
    try:
        raw_low, raw_high, low, high = (
            float(row[key].replace(",", ".")) for key in ("raw low", "raw high", "scaled low", "scaled high")
        )
        scale = (high - low) / (raw_high - raw_low)
    except (KeyError, ValueError, ZeroDivisionError):
        made.lost(where, f'the tag "{row["tag name"]}" is left out: its scaling makes no sense')
        return False
    options["scale"], options["offset"] = _short(scale), _short(low - raw_low * scale)
    clamps = row.get("clamp low", "0") in ("1", "true"), row.get("clamp high", "0") in ("1", "true")
    if all(clamps):
        options["clamp"] = [min(low, high), max(low, high)]
    elif any(clamps):
        made.lost(where, f'"{row["tag name"]}": a clamp at one end only is not carried over')
    return True


def _short(value: float) -> float:
    """Without the last digits, which come of the division."""
    return float(f"{value:.12g}")
