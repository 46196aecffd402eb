"""Node-RED: flows with modbus-read (node-red-contrib-modbus) and OpcUa-Item (node-red-contrib-opcua) nodes."""

import argparse
from collections.abc import Mapping
from typing import Any

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError
from gateway.core.parsing import doubting, parse_json

_AREAS = {"coil": "co", "input": "di", "holdingregister": "hr", "inputregister": "ir"}
_UNITS = {"ms": "ms", "s": "s", "m": "min", "h": "h"}
_BESIDE = ("modbus-client", "OpcUa-Client", "OpcUa-Endpoint")
_MOST = 500
"""Registers of one node that become tags."""


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no flow."""
    with doubting(lambda reason: ImportRefusedError(f"it is no JSON: {reason}")):
        told = parse_json(text.encode())
    nodes = _nodes(told)
    if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
        raise ImportRefusedError("it is no export of flows: a list of nodes")
    by_id = {str(node.get("id")): node for node in nodes}
    off = {str(node.get("id")) for node in nodes if node.get("type") == "tab" and node.get("disabled")}
    lines: dict[tuple[str, int], ImportedDevice | None] = {}
    for node in nodes:
        where = f'{node.get("type")} "{node.get("name") or node.get("id")}"'
        if (node.get("d") or str(node.get("z")) in off) and str(node.get("type", "")).lower() in (
            "modbus-read",
            "opcua-item",
        ):
            made.lost(where, "it is switched off there, and left out here")
        elif node.get("type") == "modbus-read":
            try:
                _modbus(node, by_id, lines, made, where)
            except ValueError as error:  # such as "${UNIT}", which its environment fills in
                made.lost(where, f"{error}: it is left out")
        elif node.get("type") == "OpcUa-Item":
            _opcua(node, nodes, by_id, lines, made, where)
        elif str(node.get("type", "")).startswith(("modbus-", "OpcUa-")) and node.get("type") not in _BESIDE:
            made.lost(where, "nodes of this type are not carried over")
    made.drop_empty()


def _nodes(told: Any) -> Any:
    """Of an export, or of what the program's own interface gives out: of all flows, or of one with what it shares."""
    if not isinstance(told, Mapping):
        return told
    if "nodes" in told:
        own, flow = told["nodes"], {"id": told.get("id"), "type": "tab", "disabled": told.get("disabled")}
        return [flow, *own, *(told.get("configs") or ())] if isinstance(own, list) else None
    return told.get("flows")


def _modbus(
    node: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]], lines: dict[tuple[str, int], ImportedDevice | None],
    made: Import, where: str,
) -> None:  # fmt: skip
    server = by_id.get(str(node.get("server")))
    if server is None:
        made.lost(where, "its server (modbus-client) is not in the export; it is left out")
        return
    unit = int(node.get("unitid") or server.get("unit_id") or 1)
    key = str(server.get("id")), unit
    if key not in lines:
        lines[key] = made.device(str(server.get("name") or "modbus"), "modbus", {**_line(server), "unit": unit}, where)
    device = lines[key]
    area = _AREAS.get(str(node.get("dataType", "")).lower())
    if device is None or area is None:
        made.lost(where, f'its dataType "{node.get("dataType") or ""}" is no kind of address; it is left out')
        return
    name, count, first = (
        str(node.get("name") or f"{area}{node.get('adr')}"),
        int(node.get("quantity") or 1),
        int(node.get("adr") or 0),
    )
    scan = f"{node.get('rate')}{_UNITS.get(str(node.get('rateUnit') or 's'), 's')}" if node.get("rate") else None
    if count > _MOST:
        made.lost(where, f"only the first {_MOST} of {count} addresses are carried over")
    for number in range(min(count, _MOST)):
        options = {
            "address": f"{area}:{first + number}",
            "scan": scan,
            "type": None if area in ("co", "di") else "uint16",
        }
        made.tag(device, name if count == 1 else f"{name}.{number}", options, where)
    if count > 1 and area in ("hr", "ir"):
        made.lost(
            where,
            "what the flow makes of several registers (buffer-parser, function) is not carried over: each is a uint16",
        )


def _line(server: Mapping[str, Any]) -> dict[str, Any]:
    if str(server.get("clienttype", "tcp")).startswith("simpleser"):
        parity = {"none": "none", "even": "even", "odd": "odd"}.get(
            str(server.get("serialParity", "none")).lower(), "none"
        )
        numbers = {key: int(server[ours]) for key, ours in _SERIAL.items() if str(server.get(ours, "")).isdigit()}
        transport = "ascii" if "ASCII" in str(server.get("serialType", "")).upper() else "rtu"
        return {"transport": transport, "serial": server.get("serialPort"), "parity": parity, **numbers}
    rtu = "RTU" in str(server.get("tcpType", "")).upper()
    port = int(server.get("tcpPort") or 502)
    return {"host": server.get("tcpHost"), "port": port, "transport": "rtu-over-tcp" if rtu else None}


_SERIAL = {"baud": "serialBaudrate", "data_bits": "serialDatabits", "stop_bits": "serialStopbits"}


def _opcua(
    node: Mapping[str, Any], nodes: list[Mapping[str, Any]], by_id: Mapping[str, Mapping[str, Any]],
    lines: dict[tuple[str, int], ImportedDevice | None], made: Import, where: str,
) -> None:  # fmt: skip
    endpoint = _endpoint(node, nodes, by_id)
    if endpoint is None:
        made.lost(where, "no OpcUa-Client with an endpoint is wired behind it; it is left out")
        return
    key = str(endpoint.get("id")), -1
    if key not in lines:
        security = str(endpoint.get("secpol") or "None")
        options: dict[str, Any] = {
            "url": str(endpoint.get("endpoint", "")),
            "security": "none" if security.lower() == "none" else security,
        }
        if str(endpoint.get("secmode")) == "SIGN":
            options["mode"] = "sign"
        lines[key] = made.device(str(endpoint.get("name") or "opcua"), "opcua", options, where)
        if endpoint.get("login"):
            made.lost(where, "the login is not carried over: user, and password = { credential = … }")
    device, item = lines[key], str(node.get("item", ""))
    if device is not None:
        made.tag(device, str(node.get("name") or item), {"address": item.split(";datatype=")[0]}, where)


def _endpoint(
    node: Mapping[str, Any], nodes: list[Mapping[str, Any]], by_id: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The endpoint of the client that is wired behind an item, within a few steps."""
    ahead, seen = [node], set()
    for _ in range(8):
        targets = [str(each) for part in ahead for wires in part.get("wires") or () for each in wires]
        ahead = [by_id[each] for each in targets if each in by_id and each not in seen]
        seen |= set(targets)
        for each in ahead:
            if each.get("type") == "OpcUa-Client":
                return by_id.get(str(each.get("endpoint")))
    return None
