"""EDE: objects of BACnet devices as CSV, as their makers hand them over (BIG-EU, Engineering Data Exchange, version 2.3)."""

import argparse
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError

_NEEDED = ("deviceobjinstance", "objecttype", "objectinstance")
"""Columns, by the letters of their titles alone: makers write them with blanks and hyphens of their own."""
_VALUES = frozenset((*range(6), 12, 13, 14, 17, 18, 19, 21, 22, 23, 24, *range(39, 51), 53, 54, 55))
"""Object types that have a present value."""


def read(text: str, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no EDE."""
    devices: dict[int, ImportedDevice | None] = {}
    without: Counter[int] = Counter()
    settable: Counter[str] = Counter()
    for where, row in _rows(text):
        numbers = [_number(row.get(key, "")) for key in _NEEDED]
        if None in numbers:
            made.lost(where, "the object is left out: device, type and instance are to be numbers")
            continue
        instance, type_, object_ = (number for number in numbers if number is not None)
        if type_ not in _VALUES:
            without[type_] += 1
            continue
        if instance not in devices:
            devices[instance] = _device(instance, made, args, where)
        device = devices[instance]
        if device is None:
            continue
        name = row.get("objectname") or row.get("keyname") or f"{type_}:{object_}"
        made.tag(device, name, {"address": _address(type_, object_), "description": row.get("description", "")}, where)
        settable[str(instance)] += row.get("settable", "").upper() in ("Y", "YES", "TRUE", "1", "J")
    for instance_, count in settable.items():
        if count:
            made.lost(
                f"device {instance_}",
                f"{count} objects can be commanded; here none is written, until write, min, max and max_rate say so",
            )
    if without:
        types = ", ".join(f"{count} of type {type_}" for type_, count in sorted(without.items()))
        made.lost("the file", f"objects without a present value are left out: {types}")
    if len(devices) > 1 and args.host != "192.0.2.1":
        made.lost("the file", "--host was left out: it has several devices, which are looked for by their instances")
    made.drop_empty()
    _place(made, devices, args)


def _place(made: Import, devices: Mapping[int, ImportedDevice | None], args: argparse.Namespace) -> None:
    """Where a single device is, if that was said."""
    if len(devices) == 1 and args.host != "192.0.2.1":
        for device in made.devices.values():
            device.options["host"] = args.host


def _device(instance: int, made: Import, args: argparse.Namespace, where: str) -> ImportedDevice | None:
    name = f"device-{instance}" if args.name == "imported" else f"{args.name}-{instance}"
    return made.device(name, "bacnet", {"device": instance}, where)


def _address(type_: int, instance: int) -> str:
    short = {0: "AI", 1: "AO", 2: "AV", 3: "BI", 4: "BO", 5: "BV", 13: "MSI", 14: "MSO", 19: "MSV"}.get(type_)
    return f"{short or type_}:{instance}"


def _rows(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Where each object stands, and its cells by the titles' letters."""
    reader = csv.reader(io.StringIO(text), delimiter=";" if text.count(";") >= text.count(",") else ",")
    titles: Sequence[str] = ()
    try:
        for cells in reader:
            plain = [re.sub(r"[^a-z]", "", cell.lower()) for cell in cells]
            if set(_NEEDED) <= set(plain):
                titles = plain
            elif cells and titles and not cells[0].lstrip().startswith("#") and any(map(str.strip, cells)):
                yield f"line {reader.line_num}", dict(zip(titles, map(str.strip, cells), strict=False))
    except csv.Error as error:
        raise ImportRefusedError(f"line {reader.line_num}: it is no CSV: {error}") from None
    if not titles:
        raise ImportRefusedError(
            'no row names the columns "device obj.-instance", "object-type" and "object-instance": is it the EDE file of the'
            " device, and not one of its lists of states or units?"
        )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,10}", text) else None
