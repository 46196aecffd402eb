"""Ignition: tags as JSON (8.x), with folders and UDTs, whose instances inherit from their types.

The gateway's own Modbus driver names tags by designators, such as [PLC1]HRF100 (holding register 100 as a float) or
[PLC1]2.HR7 (unit 2), counted from 1; anything else is a node of an OPC UA server.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError
from gateway.core.parsing import doubting, parse_json

_OWN = re.compile(
    r"(?:ns=1;s=)?\[([^\]]+)\](?:(\d+)\.)?(HR|IR|C|DI)(F|D|I|UI|US|UI_64|I_64|S|BCD|BCD_32)?(\d+)(?:[.:](\d+))?",
    re.IGNORECASE,
)
_AREAS = {"HR": "hr", "IR": "ir", "C": "co", "DI": "di"}
_TYPES = {
    "": "int16", "F": "float32", "D": "float64", "I": "int32", "UI": "uint32", "US": "uint16",
    "I_64": "int64", "UI_64": "uint64",
}  # fmt: skip
_PARAMETER = re.compile(r"\{([^{}]+)\}")
_DEEPEST = 30


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no export of tags."""
    with doubting(lambda reason: ImportRefusedError(f"it is no JSON: {reason}")):
        told = parse_json(text.encode())
    told = {"tags": told} if isinstance(told, list) else told
    if not isinstance(told, Mapping) or not isinstance(told.get("tags", told.get("tagType")), list | str):
        raise ImportRefusedError('it is no export of tags: it has no "tags"')
    types: dict[str, Mapping[str, Any]] = {}
    _collect(told, "", types)
    devices: dict[str, ImportedDevice | None] = {}
    root = told if told.get("tags") is not None and told.get("tagType") != "UdtInstance" else {"tags": [told]}
    for path, tag, parameters in _tags(root, "", {}, types, made, 0):
        _tag(path, tag, parameters, devices, made, args)
    made.drop_empty()


def _collect(node: Mapping[str, Any], path: str, types: dict[str, Mapping[str, Any]]) -> None:
    for each in node.get("tags") or ():
        at = f"{path}/{each.get('name')}" if path else str(each.get("name"))
        if each.get("tagType") == "UdtType":
            types[at.removeprefix("_types_/")] = each
        elif each.get("tagType") == "Folder":
            _collect(each, at, types)


def _tags(
    node: Mapping[str, Any],
    path: str,
    parameters: Mapping[str, Any],
    types: Mapping[str, Mapping[str, Any]],
    made: Import,
    depth: int,
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    if depth > _DEEPEST:
        made.lost(path, "folders, or types within types, without end")
        return
    for each in node.get("tags") or ():
        at = f"{path}/{each.get('name')}" if path else str(each.get("name"))
        kind = each.get("tagType", "Folder" if each.get("tags") else "AtomicTag")
        if kind == "UdtType" or at == "_types_":
            continue
        if kind == "UdtInstance":
            whole = _inherited(each, types, made, at)
            own = {**parameters, **_values(whole.get("parameters"))}
            own |= {
                "InstanceName": each.get("name"),
                "PathToParentFolder": path,
                "ParentInstanceName": parameters.get("InstanceName", ""),
            }
            yield from _tags(whole, at, own, types, made, depth + 1)
        elif kind == "Folder":
            yield from _tags(each, at, parameters, types, made, depth + 1)
        else:
            yield at, each, parameters


def _inherited(
    instance: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]], made: Import, where: str
) -> Mapping[str, Any]:
    """An instance, or a type, with all that it has of its type."""
    whole: Mapping[str, Any] = instance
    name, seen = str(instance.get("typeId") or ""), set()
    while name and name not in seen:
        seen.add(name)
        name = name if name in types else _of_a_part(name, types)
        if name not in types:
            made.lost(where, f'its type "{name}" is not in the export: only what it says itself is carried over')
            break
        whole = _merged(types[name], whole)
        name = str(types[name].get("typeId") or "")
    return whole


def _of_a_part(name: str, types: Mapping[str, Any]) -> str:
    """A type is named by its whole path, of which an export of a folder has only the end."""
    ends = [each for each in types if name.endswith(f"/{each}")]
    return max(ends, key=len, default=name)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in `own` counts; tags of the same name are merged likewise."""
    tags = {str(each.get("name")): each for each in base.get("tags") or ()}
    for each in own.get("tags") or ():
        name = str(each.get("name"))
        tags[name] = _merged(tags[name], each) if name in tags else each
    parameters = {**(base.get("parameters") or {}), **(own.get("parameters") or {})}
    merged = {**base, **own, "parameters": parameters}
    return {**merged, "tags": list(tags.values())} if tags else merged


def _values(parameters: Any) -> dict[str, Any]:
    found = {}
    for name, told in (parameters or {}).items():
        found[str(name)] = told.get("value") if isinstance(told, Mapping) else told
    return found


def _tag(
    path: str, tag: Mapping[str, Any], parameters: Mapping[str, Any], devices: dict[str, ImportedDevice | None], made: Import,
    args: argparse.Namespace,
) -> None:  # fmt: skip
    if str(tag.get("valueSource") or "opc").lower() != "opc":
        made.lost(path, f'a tag of the kind "{tag.get("valueSource")}" is not carried over')
        return
    if tag.get("enabled") is False:
        made.lost(path, "it is switched off there, and left out here")
        return
    item, server = (_filled(tag.get(key), parameters) for key in ("opcItemPath", "opcServer"))
    if not item or "{" in item:
        made.lost(
            path,
            f'its opcItemPath "{item or ""}" is empty, or has an expression, or a parameter without value',
        )
        return
    own = _OWN.fullmatch(item)
    if own is None and re.match(r"(ns=1;s=)?\[", item):
        made.lost(path, f'"{item}" belongs to another driver than Modbus; it is left out')
        return
    options = _options(tag, path, made)
    if options is None:
        return
    if own is None:
        device = _opcua(server or "opcua", devices, made, path)
        options["address"] = item
    else:
        device = _modbus(own[1], int(own[2] or 1), devices, made, args, path)
        if not _placed(own, options):
            made.lost(path, f'"{item}" (BCD, text) has no counterpart; it is left out')
            return
    if device is not None:
        made.tag(device, path.replace("/", "."), options, path)


def _filled(told: Any, parameters: Mapping[str, Any]) -> str:
    """A text, or a binding to parameters, with these put in; what has no value stays as it is."""
    text = str(told.get("binding", "")) if isinstance(told, Mapping) else str(told or "")
    for _ in range(_DEEPEST):
        filled = _PARAMETER.sub(lambda found: str(parameters.get(found[1], found[0])), text)
        if filled == text:
            break
        text = filled
    return text


def _placed(own: "re.Match[str]", options: dict[str, Any]) -> bool:
    area, kind, offset = _AREAS[own[3].upper()], (own[4] or "").upper(), int(own[5]) - 1
    options["address"] = f"{area}:{offset}"
    if area in ("co", "di"):
        return not kind and offset >= 0
    if own[6] is not None:
        options["address"], options["type"] = f"{area}:{offset}.{own[6]}", "bool"
        return not kind and offset >= 0
    if kind not in _TYPES or offset < 0:
        return False
    options["type"] = _TYPES[kind]
    return True


def _options(tag: Mapping[str, Any], path: str, made: Import) -> dict[str, Any] | None:
    options: dict[str, Any] = {"unit": tag.get("engUnit") or "", "description": tag.get("documentation") or ""}
    mode = str(tag.get("scaleMode") or "Off")
    if mode == "Linear":
        try:
            raw_low, raw_high = float(tag.get("rawLow", 0)), float(tag.get("rawHigh", 10))
            low, high = float(tag.get("scaledLow", 0)), float(tag.get("scaledHigh", 10))
            scale = (high - low) / (raw_high - raw_low)
        except (TypeError, ValueError, ZeroDivisionError):
            made.lost(path, "its scaling makes no sense; it is left out")
            return None
        options["scale"], options["offset"] = float(f"{scale:.12g}"), float(f"{low - raw_low * scale:.12g}")
    elif mode != "Off":
        made.lost(path, f"{mode} scaling has no counterpart; the tag is left out")
        return None
    for key in ("alarms", "historyEnabled", "expression", "eventScripts", "scaleFactor"):
        if tag.get(key):
            made.lost(path, f"{key} is not carried over")
    return options


def _modbus(
    name: str, unit: int, devices: dict[str, ImportedDevice | None], made: Import, args: argparse.Namespace, where: str
) -> ImportedDevice | None:
    key = f"modbus {name} {unit}"
    if key not in devices:
        called = name if unit == 1 else f"{name}-unit-{unit}"
        options = {"host": args.host, "port": args.port, "unit": unit, "order": args.order}
        devices[key] = made.device(called, "modbus", options, where)
        made.lost(
            name, f'the export does not say where it is, nor its byte order: host = "{args.host}" (--host, --order)'
        )
    return devices[key]


def _opcua(server: str, devices: dict[str, ImportedDevice | None], made: Import, where: str) -> ImportedDevice | None:
    key = f"opcua {server}"
    if key not in devices:
        devices[key] = made.device(server, "opcua", {"url": "opc.tcp://192.0.2.1:4840"}, where)
        made.lost(server, "the export does not say where the OPC UA server is: the url is a placeholder")
    return devices[key]
