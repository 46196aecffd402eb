"""The ThingsBoard IoT gateway: its connectors for Modbus (master.slaves) and OPC UA (server.mapping, or mapping)."""

import argparse
import re
from collections.abc import Mapping
from typing import Any

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError, milliseconds
from gateway.core.parsing import doubting, parse_json

_AREAS = {1: "co", 2: "di", 3: "hr", 4: "ir"}
_ORDERS = {("BIG", "BIG"): "ABCD", ("BIG", "LITTLE"): "CDAB", ("LITTLE", "BIG"): "DCBA", ("LITTLE", "LITTLE"): "BADC"}
_TYPE = re.compile(r"(\d+)(int|uint|float)")
_NODE = re.compile(r"\$\{((?:ns=\d+;)?[isgb]=[^}]+)\}|((?:ns=\d+;)?[isgb]=.+)")
_TRANSPORTS = {
    ("tcp", "socket"): "tcp",
    ("tcp", "rtu"): "rtu-over-tcp",
    ("tcp", "ascii"): "ascii-over-tcp",
    ("udp", "socket"): "udp",
}


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no connector."""
    with doubting(lambda reason: ImportRefusedError(f"it is no JSON: {reason}")):
        told = parse_json(text.encode())
    told = told.get("configurationJson", told) if isinstance(told, Mapping) else {}
    if isinstance(told.get("master"), Mapping):
        for number, slave in enumerate(told["master"].get("slaves") or ()):
            _slave(slave, made, f"master.slaves[{number}]")
        if told.get("slave"):
            made.lost("slave", "a server of its own is not carried over")
    elif isinstance(told.get("server"), Mapping):
        _opcua(told, made)
    else:
        raise ImportRefusedError(
            "it has neither master.slaves (Modbus) nor server (OPC UA): take modbus.json or opcua.json"
        )
    made.drop_empty()


def _slave(slave: Mapping[str, Any], made: Import, where: str) -> None:
    options = {
        "scan": milliseconds(slave.get("pollPeriod") or 5000),
        "unit": slave.get("unitId", 1),
        **_line(slave, made, where),
    }
    order = _order(slave)
    options["order"] = order if order != "ABCD" else None
    device = made.device(str(slave.get("deviceName") or "modbus"), "modbus", options, where)
    if device is None:
        return
    if order in ("DCBA", "BADC"):
        made.lost(where, f'byteOrder LITTLE was taken for "{order}": compare a value, or try edge-gateway probe')
    for key in ("attributes", "timeseries"):
        for number, tag in enumerate(slave.get(key) or ()):
            _tag(tag, slave, device, made, f"{where}.{key}[{number}]")
    for key, said in _NOT_CARRIED.items():
        if slave.get(key):
            made.lost(f"{where}.{key}", said)


_NOT_CARRIED = {
    "attributeUpdates": "writing from the platform is not carried over; write = true allows it tag by tag",
    "rpc": "writing from the platform is not carried over; write = true allows it tag by tag",
    "sendDataOnlyOnChange": "deadband = 0 on a tag publishes changes only",
    "reportStrategy": "deadband = 0 on a tag publishes changes only, heartbeat repeats them",
}


def _line(slave: Mapping[str, Any], made: Import, where: str) -> dict[str, Any]:
    kind, method = str(slave.get("type", "tcp")).lower(), str(slave.get("method", "socket")).lower()
    if kind == "serial":
        line = {
            "transport": "ascii" if method == "ascii" else "rtu",
            "serial": slave.get("port"),
            "baud": slave.get("baudrate"),
        }
        parity = {"N": "none", "E": "even", "O": "odd"}.get(str(slave.get("parity", "N")).upper()[:1])
        return {**line, "data_bits": slave.get("bytesize"), "stop_bits": slave.get("stopbits"), "parity": parity}
    transport = _TRANSPORTS.get((kind, method))
    if transport is None:
        made.lost(where, f'type "{kind}" with method "{method}" has no counterpart; Modbus TCP was taken')
    return {
        "host": slave.get("host"),
        "port": slave.get("port"),
        "transport": transport if transport != "tcp" else None,
    }


def _order(told: Mapping[str, Any], shared: Mapping[str, Any] | None = None) -> str:
    shared = shared or {}
    byte = str(told.get("byteOrder") or shared.get("byteOrder") or "BIG").upper()
    word = str(told.get("wordOrder") or shared.get("wordOrder") or "BIG").upper()
    return _ORDERS.get((byte, word), "ABCD")


def _tag(tag: Mapping[str, Any], slave: Mapping[str, Any], device: ImportedDevice, made: Import, where: str) -> None:
    name, kind, count = str(tag.get("tag", "")), str(tag.get("type", "")).lower(), int(tag.get("objectsCount") or 1)
    area = _AREAS.get(int(tag.get("functionCode") or 3))
    if area is None:
        made.lost(where, f'the tag "{name}" is left out: function {tag.get("functionCode")} does not read')
        return
    address = f"{area}:{tag.get('address')}"
    options: dict[str, Any] = {"address": address}
    if area in ("co", "di"):
        if count > 1:
            made.lost(where, f'"{name}": only the first of {count} bits is carried over')
    elif kind in ("string", "bytes"):
        options |= {"type": kind, "length": 2 * count}
    elif kind in ("bit", "bits"):
        options = {"address": f"{address}.{tag.get('bit', 0)}", "type": "bool"}
    elif (type_ := _type(kind, count)) is not None:
        options["type"] = type_
        if (order := _order(tag, slave)) != _order(slave) and type_.endswith("32"):
            options["order"] = order
    else:
        made.lost(where, f'the tag "{name}" is left out: type "{kind}" has no counterpart')
        return
    _scale(tag, options, made, where)
    made.tag(device, name, options, where)


def _type(kind: str, count: int) -> str | None:
    if kind in ("int", "uint", "long", "float", "double"):
        bits = 16 * count
        return f"{'float' if kind in ('float', 'double') else kind.replace('long', 'int')}{bits}"
    found = _TYPE.fullmatch(kind)
    return f"{found[2]}{found[1]}" if found else None


def _scale(tag: Mapping[str, Any], options: dict[str, Any], made: Import, where: str) -> None:
    scale = 1.0
    for key, divides in (("multiplier", False), ("divider", True)):
        value = tag.get(key)
        if isinstance(value, int | float) and value not in (0, 1):
            scale = scale / value if divides else scale * value
    if scale != 1:
        options["scale"] = float(f"{scale:.12g}")


def _opcua(told: Mapping[str, Any], made: Import) -> None:
    server = told["server"]
    options = _server(server, made)
    for number, mapping in enumerate(told.get("mapping") or server.get("mapping") or ()):
        where = f"mapping[{number}]"
        info = mapping.get("deviceInfo") or {}
        name = str(mapping.get("deviceNamePattern") or info.get("deviceNameExpression") or "")
        name = re.sub(r"\$\{[^}]*\}", "", name).strip() or f"opcua-{number + 1}"
        device = made.device(name, "opcua", options, where)
        for key in ("attributes", "timeseries") if device is not None else ():
            for row, tag in enumerate(mapping.get(key) or ()):
                _node(tag, device, made, f"{where}.{key}[{row}]")


def _server(server: Mapping[str, Any], made: Import) -> dict[str, Any]:
    url = str(server.get("url", ""))
    options: dict[str, Any] = {"url": url if "://" in url else f"opc.tcp://{url}"}
    options["scan"] = milliseconds(server.get("pollPeriodInMillis") or server.get("scanPeriodInMillis") or 5000)
    security = str(server.get("security", "")).removesuffix("_Sign").removesuffix("_SignAndEncrypt")
    if security in ("Basic128Rsa15", "Basic256"):
        made.lost(
            "server.security", f"{security} is no longer safe, and not supported: the best that is offered was taken"
        )
    else:
        options["security"] = "none" if security in ("", "None") else security
    if str((server.get("identity") or {}).get("type", "anonymous")) != "anonymous":
        made.lost("server.identity", "the login is not carried over: user, and password = { credential = … }")
    return options


def _node(tag: Mapping[str, Any], device: ImportedDevice | None, made: Import, where: str) -> None:
    value = str(tag.get("value") or tag.get("path") or "").strip()
    if tag.get("type") == "constant":
        made.lost(where, f'"{tag.get("key")}": a constant is not carried over')
        return
    found = _NODE.fullmatch(value)
    if found is None:
        made.lost(where, f'"{tag.get("key")}": "{value}" is no node id but a path: edge-gateway browse finds it')
    elif device is not None:
        made.tag(device, str(tag.get("key") or value), {"address": found[1] or found[2]}, where)
