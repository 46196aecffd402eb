"""Telegraf: inputs.modbus in its three styles, inputs.opcua and inputs.opcua_listener (its README of version 1.3x)."""

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import tomli

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError
from gateway.core.parsing import doubting

AREAS = {"coil": "co", "discrete": "di", "holding": "hr", "input": "ir"}
_REGISTER_STYLE = {"coils": "co", "discrete_inputs": "di", "holding_registers": "hr", "input_registers": "ir"}
_TYPES = {
    "INT16": "int16", "UINT16": "uint16", "INT32": "int32", "UINT32": "uint32", "INT64": "int64", "UINT64": "uint64",
    "FLOAT32": "float32", "FLOAT64": "float64", "FLOAT32-IEEE": "float32", "FLOAT64-IEEE": "float64", "BIT": "bool",
    "INT8L": "int8", "UINT8L": "uint8", "INT8H": "int8", "UINT8H": "uint8", "STRING": "string",
}  # fmt: skip
_FIXED = {
    ("FIXED", 1): "int16", ("FIXED", 2): "int32", ("FIXED", 4): "int64",
    ("UFIXED", 1): "uint16", ("UFIXED", 2): "uint32", ("UFIXED", 4): "uint64",
}  # fmt: skip
_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\}|\$(?P<bare>[A-Za-z_]\w*)")
_PARITY = {"N": "none", "E": "even", "O": "odd"}
_MODES = {"": "tcp", "auto": "tcp", "tcp": "tcp", "rtuovertcp": "rtu-over-tcp", "asciiovertcp": "ascii-over-tcp"}


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no TOML."""
    text, unset = _with_variables(text)
    if unset:
        names = ", ".join(sorted(unset))
        made.lost(
            "the file", f"{names}: no such variable is set here, as Telegraf's is: set it for edge-gateway import"
        )
    hint = f". {names} may be a number, and is not set here: set it for edge-gateway import" if unset else ""
    with doubting(lambda reason: ImportRefusedError(f"it is no TOML: {reason}{hint}")):
        told = tomli.loads(text)
    inputs, agent = told.get("inputs", {}), told.get("agent", {})
    for kind, tables in inputs.items() if isinstance(inputs, Mapping) else ():
        for number, table in enumerate(tables if isinstance(tables, list) else [tables], 1):
            where = f"[[inputs.{kind}]] {number}"
            if kind == "modbus":
                _modbus(table, agent, made, where)
            elif kind in ("opcua", "opcua_listener"):
                _opcua(table, agent, made, where)
            else:
                made.lost(where, "only modbus and opcua are carried over")
    for section in ("outputs", "processors", "aggregators"):
        made.lost(section, "is not carried over; a [[sink]] says where values go") if told.get(section) else None
    made.drop_empty()


def _with_variables(text: str) -> tuple[str, set[str]]:
    """The text with the variables of the environment put in, as Telegraf does; and the names of those that are not set."""
    unset: set[str] = set()

    def value(found: "re.Match[str]") -> str:
        name = found["braced"] or found["bare"]
        told = os.environ.get(name, found["default"])
        if told is None:
            unset.add(name)
        return found[0] if told is None else told

    lines = (line if line.lstrip().startswith("#") else _VARIABLE.sub(value, line) for line in text.split("\n"))
    return "\n".join(lines), unset


def _modbus(table: Mapping[str, Any], agent: Mapping[str, Any], made: Import, where: str) -> None:
    base = _line(table, agent, made, where)
    if base is None:
        return
    for key in ("busy_retries", "workarounds", "optimization", "tags", "exclude_register_type_tag"):
        if table.get(key):
            made.lost(where, f"{key} is not carried over")
    units = _Units(table, base, made, where)
    for key, area in _REGISTER_STYLE.items():
        for field in table.get(key) or ():
            if (found := units.device(None)) is not None:
                _old_field(field, area, found, made, f"{where} {key}")
    for style in ("request", "metric"):
        for request in table.get(style) or ():
            if (found := units.device(request.get("slave_id"))) is not None:
                _request(request, found, made, f"{where} {style}")


def _request(request: Mapping[str, Any], device: ImportedDevice, made: Import, where: str) -> None:
    for field in request.get("fields") or ():
        area = AREAS.get(str(field.get("register") or request.get("register") or "holding"), "?")
        _field(field, request, area, device, made, where)


class _Units:
    """The devices of one table, by their slave ids."""

    def __init__(self, table: Mapping[str, Any], base: Mapping[str, Any], made: Import, where: str) -> None:
        self._table, self._base, self._made, self._where = table, base, made, where
        self._known: dict[int, ImportedDevice | None] = {}

    def device(self, unit: Any) -> ImportedDevice | None:
        """The one with this slave id, by default the table's."""
        number = int(unit or self._table.get("slave_id") or 1)
        if number not in self._known:
            name = str(self._table.get("name") or "modbus")
            called = f"{name}-{number}" if self._known else name
            self._known[number] = self._made.device(called, "modbus", {**self._base, "unit": number}, self._where)
        return self._known[number]


def _line(table: Mapping[str, Any], agent: Mapping[str, Any], made: Import, where: str) -> dict[str, Any] | None:
    controller = str(table.get("controller", ""))
    parts = urlsplit(controller)
    options: dict[str, Any] = {
        "scan": _period(table.get("interval") or agent.get("interval") or "10s"),
        "timeout": table.get("timeout"),
    }
    mode = str(table.get("transmission_mode", "")).lower()
    if parts.scheme == "tcp" and parts.hostname:
        if mode not in _MODES:
            made.lost(where, f'transmission_mode "{mode}" does not go with TCP; tcp was taken')
        transport = _MODES.get(mode, "tcp")
        return {
            **options,
            "host": parts.hostname,
            "port": parts.port or 502,
            **({"transport": transport} if transport != "tcp" else {}),
        }
    if parts.scheme == "file":
        parity = _PARITY.get(str(table.get("parity", "N")).upper()[:1], "none")
        serial = {"serial": parts.path, "transport": "ascii" if mode == "ascii" else "rtu", "parity": parity}
        numbers = {
            "baud": table.get("baud_rate", 9600),
            "data_bits": table.get("data_bits"),
            "stop_bits": table.get("stop_bits"),
        }
        return {**options, **serial, **numbers}
    made.lost(
        where, f'controller = "{controller}" is none that can be reached from here (such as a COM port of Windows)'
    )
    return None


def _period(told: Any) -> Any:
    return told if isinstance(told, str) else f"{told}s"


def _old_field(field: Mapping[str, Any], area: str, device: ImportedDevice, made: Import, where: str) -> None:
    """Of the style by registers, whose address is a list of registers, and whose FLOAT32 means a scaled integer."""
    name, addresses = str(field.get("name", "")), field.get("address") or []
    where = f"{where} {name}"
    if (
        not isinstance(addresses, list)
        or not addresses
        or addresses != list(range(addresses[0], addresses[0] + len(addresses)))
    ):
        made.lost(where, f"the registers {addresses} do not follow each other; the tag is left out")
        return
    options: dict[str, Any] = {"address": f"{area}:{addresses[0]}"}
    if area in ("hr", "ir"):
        kind = str(field.get("data_type", "")).upper()
        if kind == "FLOAT32":
            made.lost(
                where, "FLOAT32 means an unsigned, scaled integer here, not a float (FLOAT32-IEEE); it was taken so"
            )
            kind = "UFIXED"
        options |= _typed(kind, len(addresses), field, options["address"])
        if "type" not in options:
            made.lost(
                where, f'data_type "{kind}" of {len(addresses)} registers has no counterpart; the tag is left out'
            )
            return
        _scaled(field, options)
    made.tag(device, _full(field, name), options, where)


def _field(
    field: Mapping[str, Any], request: Mapping[str, Any], area: str, device: ImportedDevice, made: Import, where: str
) -> None:
    name = str(field.get("name") or f"{area}{field.get('address')}")
    where = f"{where} {name}"
    if field.get("omit"):
        made.lost(where, "omit = true: left out there, and here")
        return
    options: dict[str, Any] = {"address": f"{area}:{field.get('address')}"}
    if area in ("hr", "ir"):
        kind = str(field.get("type", "")).upper()
        options |= _typed(
            kind, int(field.get("length") or 1), {"byte_order": request.get("byte_order"), **field}, options["address"]
        )
        if "type" not in options:
            made.lost(where, f'type "{kind}" has no counterpart; the tag is left out')
            return
        _scaled(field, options)
    if field.get("output"):
        made.lost(where, f'output = "{field["output"]}" is not carried over: the value is published as it is')
    measurement = field.get("measurement") or request.get("measurement")
    made.tag(device, _full({"measurement": measurement}, name), options, where)


def _typed(kind: str, registers: int, field: Mapping[str, Any], address: str) -> dict[str, Any]:
    type_ = _FIXED.get((kind, registers)) or _TYPES.get(kind)
    if type_ is None:
        return {}
    if kind == "BIT":
        return {"address": f"{address}.{field.get('bit', 0)}", "type": "bool"}
    if kind[-1:] in "LH" and "8" in kind:
        return {"address": f"{address}.{'low' if kind.endswith('L') else 'high'}", "type": type_}
    if type_ == "string":
        return {"type": type_, "length": 2 * registers}
    order = str(field.get("byte_order") or "").upper()
    if type_.endswith("16"):
        return {"type": type_, **({"order": "BA"} if order in ("BA", "DCBA", "BADC") else {})}
    eight = {"CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}
    wanted = eight.get(order) if type_.endswith("64") else order
    return {"type": type_, **({"order": wanted} if wanted and order != "ABCD" else {})}


def _scaled(field: Mapping[str, Any], options: dict[str, Any]) -> None:
    scale = field.get("scale")
    if isinstance(scale, int | float) and scale not in (0, 1):
        options["scale"] = float(scale)


def _full(field: Mapping[str, Any], name: str) -> str:
    measurement = field.get("measurement")
    return f"{measurement}.{name}" if measurement and measurement != "modbus" else name


def _opcua(table: Mapping[str, Any], agent: Mapping[str, Any], made: Import, where: str) -> None:
    device = made.device(str(table.get("name") or "opcua"), "opcua", _server(table, agent), where)
    if device is None:
        return
    if table.get("username"):
        made.lost(
            where, "the password is not carried over: edge-gateway secret set NAME, and password = { credential = … }"
        )
    for key in ("certificate", "private_key", "remote_certificate"):
        if table.get(key):
            made.lost(
                where, f"{key} is not carried over: the gateway makes a certificate of its own (edge-gateway trust)"
            )
    for name, node in _nodes(table):
        namespace, kind, identifier = (
            node.get("namespace", 0),
            node.get("identifier_type", "s"),
            node.get("identifier", ""),
        )
        made.tag(
            device, name, {"address": str(node.get("id") or f"ns={namespace};{kind}={identifier}")}, f"{where} {name}"
        )
    for key in ("events", "browse"):
        if table.get(key):
            made.lost(where, f"{key} is not carried over")


def _server(table: Mapping[str, Any], agent: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"url": str(table.get("endpoint", ""))}
    options["scan"] = _period(table.get("interval") or agent.get("interval") or "10s")
    policy = str(table.get("security_policy", "auto"))
    if policy.lower() != "auto":
        options["security"] = "none" if policy.lower() == "none" else policy
    if table.get("security_mode") == "Sign":
        options["mode"] = "sign"
    if table.get("username"):
        options["user"] = str(table["username"])
    return options


def _nodes(table: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Nodes by themselves, and those of groups, which inherit from their group. Several of one name are told apart by their
    own tags, as they are there."""
    found = [(str(node.get("name", "")), node) for node in table.get("nodes") or ()]
    for group in table.get("group") or ():
        shared = {key: group[key] for key in ("namespace", "identifier_type") if key in group}
        name = group.get("name", "group")
        found += [(f"{name}.{node.get('name', '')}", {**shared, **node}) for node in group.get("nodes") or ()]
    times = Counter(name for name, _ in found)
    for name, node in found:
        apart = node.get("default_tags") if times[name] > 1 else None
        yield ".".join([name, *map(str, apart.values())]) if isinstance(apart, Mapping) else name, node
