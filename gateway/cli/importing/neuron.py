"""NeuronEX and Neuron: tags of a Modbus node as xlsx (columns group, name, address, attribute, type, description,
decimal)."""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError
from gateway.cli.importing.workbook import first_sheet
from gateway.core.parsing import doubting

_TYPES = {
    "int16": "int16", "uint16": "uint16", "word": "uint16", "int32": "int32", "uint32": "uint32", "dword": "uint32",
    "int64": "int64", "uint64": "uint64", "lword": "uint64", "float": "float32", "double": "float64",
}  # fmt: skip
_ADDRESS = re.compile(r"(\d+)!([0134])(\d{4,5})(?:\.(\d+)([HLDE])?)?(?:#([BL]{1,2}))?(?:\.(\d+)([HLDE])?)?")
_AREAS = {"0": "co", "1": "di", "3": "ir", "4": "hr"}
_ORDERS = {"BB": "ABCD", "BL": "BADC", "LB": "CDAB", "LL": "DCBA"}


def read(data: bytes, made: Import, args: argparse.Namespace) -> None:
    """All of the first sheet. Raises ImportRefusedError for what is no such workbook."""
    rows = first_sheet(data)
    titles = [title.strip().lower() for title in rows[0]] if rows else []
    if not {"name", "address", "type"} <= set(titles):
        raise ImportRefusedError(
            'its first row does not name the columns "name", "address" and "type": export the tags of one node'
        )
    if args.host == "192.0.2.1":
        made.lost("the device", 'the sheet does not say where it is: host = "192.0.2.1" is a placeholder (--host)')
    if args.order is None:
        made.lost(
            "the device", "the node's byte order is not in the sheet: ABCD was taken where a tag names none (--order)"
        )
    devices: dict[int, ImportedDevice | None] = {}
    for number, cells in enumerate(rows[1:], 2):
        row = dict(zip(titles, cells, strict=False))
        if row.get("name"):
            _row(row, devices, made, args, f"row {number}")
    made.drop_empty()


def _row(
    row: Mapping[str, str],
    devices: dict[int, ImportedDevice | None],
    made: Import,
    args: argparse.Namespace,
    where: str,
) -> None:
    name = f"{row['group']}.{row['name']}" if row.get("group") else row["name"]
    found = _ADDRESS.fullmatch(row.get("address", "").strip())
    if found is None:
        made.lost(where, f'the tag "{name}" is left out: the address "{row.get("address")}" has no counterpart')
        return
    unit, area, offset = int(found[1]), _AREAS[found[2]], int(found[3]) - 1
    if unit not in devices:
        line = {"host": args.host, "port": args.port, "unit": unit, "order": args.order}
        devices[unit] = made.device(args.name if not devices else f"{args.name}-{unit}", "modbus", line, where)
    device = devices[unit]
    options: dict[str, Any] | None = _typed(row.get("type", "").lower(), f"{area}:{offset}", area, found.groups()[3:])
    if options is None:
        made.lost(where, f'the tag "{name}" is left out: {row.get("type")} at {row.get("address")} has no counterpart')
        return
    if "write" in row.get("attribute", "").lower():
        made.lost(where, f'"{name}" could be written there; here it cannot, until write, min, max and max_rate say so')
    options["description"] = row.get("description", "")
    decimal = row.get("decimal", "")
    if decimal and decimal not in ("0", "1", "0.0", "1.0"):
        with doubting(lambda reason: ImportRefusedError(f"{where}: decimal: {reason}")):
            options["scale"] = float(decimal)
    if device is not None:
        made.tag(device, name, options, where)


def _typed(kind: str, address: str, area: str, rest: Sequence[str | None]) -> dict[str, Any] | None:
    part, half, order, length, way = rest
    if area in ("co", "di"):
        return {"address": address} if kind in ("bit", "bool") else None
    if kind == "bit":
        return {"address": f"{address}.{part or 0}", "type": "bool"}
    if kind == "string":
        size, how = length or part, (way or half or "H")
        wanted = {"H": None, "L": "BA", "D": "A", "E": "B"}[how]
        return {"address": address, "type": "string", "length": int(size), "order": wanted} if size else None
    type_ = _TYPES.get(kind)
    if type_ is None or part is not None:
        return None
    options: dict[str, Any] = {"address": address, "type": type_}
    if order and type_.endswith("16"):
        options["order"] = "BA" if order == "L" else None
    elif order and type_.endswith("32"):
        options["order"] = _ORDERS.get(order)
    elif order and type_.endswith("64"):
        options["order"] = "HGFEDCBA" if order == "L" else None
    return options
