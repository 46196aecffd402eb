"""TIA Portal and STEP 7: PLC tags (PLCTags.xlsx, Openness' XML, .sdf), data blocks (sources .db, .scl, .awl, or Openness'
XML), with their data types (.udt).

PUT/GET needs a data block's number, which its source does not have, and standard access. Where it has neither, its values are
carried over as symbols (--symbols).
"""

import argparse
import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from gateway.cli.importing.carried import Import, ImportedDevice, ImportRefusedError
from gateway.cli.importing.step7_places import Leaf, Placing
from gateway.cli.importing.step7_source import Block, Member, Sources, Type, parse_type, read_source
from gateway.cli.importing.text import decoded
from gateway.cli.importing.workbook import first_sheet, local_name, parse_xml
from gateway.places.regular import read_regular

_DECLARED = re.compile(r"<\?xml[^>]*\?>")
"""What says the encoding, by which the text was read already."""
LARGEST = 64 * 1024 * 1024
_TITLES = {
    "name": "name", "logical address": "address", "logische adresse": "address", "data type": "type",
    "datentyp": "type", "comment": "comment", "kommentar": "comment",
}  # fmt: skip


class PlcTag(NamedTuple):
    """A row of a tag table."""

    name: str
    address: str
    type: str
    comment: str


def read(data: bytes, made: Import, args: argparse.Namespace) -> None:
    """All of the file. Raises ImportRefusedError for what is no such export."""
    sources, tags = Sources(), list[PlcTag]()
    for path in args.udt:
        read_source(decoded(read_regular(path, LARGEST), args.encoding, made), sources)
    if data.startswith(b"PK"):
        tags = [*_of_rows(first_sheet(data))]
    else:
        text = decoded(data, args.encoding, made).lstrip()
        if text.startswith("<"):
            tags = _of_xml(parse_xml(_DECLARED.sub("", text).encode()), sources)
        elif re.search(r"^\s*(DATA_BLOCK|TYPE)\b", text, re.MULTILINE | re.IGNORECASE):
            read_source(text, sources)
        else:
            tags = [PlcTag(*map(str.strip, row)) for row in _sdf(text) if row[0].strip()]
    if not tags and not sources.blocks:
        raise ImportRefusedError(
            "neither PLC tags nor a data block are in it: export the tag table (xlsx), or generate a source of the block"
        )
    _carry(tags, sources, made, args)


def _carry(tags: list[PlcTag], sources: Sources, made: Import, args: argparse.Namespace) -> None:
    symbols = {"transport": "s7commplus"} if args.symbols else {}
    device = made.device(args.name, "s7", {"host": args.host, **symbols}, "the device")
    if device is None:
        return
    if args.host == "192.0.2.1":
        made.lost("the device", 'the export does not say where it is: host = "192.0.2.1" is a placeholder (--host)')
    if args.symbols:
        made.lost("the device", "the CPU's certificate must be verified: tls = { pin = ... }; see the driver's page")
    for tag in tags:
        _tag(tag, device, made, args)
    numbers = dict(map(_numbered, args.db))
    for block in sources.blocks:
        _block(block, numbers.get(block.name, block.number), sources, device, made, args)
    made.drop_empty()


def _numbered(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise ImportRefusedError(f'--db "{text}" is no NAME=NUMBER, such as Mixer=5')
    return name, int(number)


def _tag(tag: PlcTag, device: ImportedDevice, made: Import, args: argparse.Namespace) -> None:
    type_ = re.sub(r"\s", "", tag.type).upper()
    options = {"description": tag.comment}
    if args.symbols:
        options["symbol"] = tag.name if re.fullmatch(r"[^\W\d]\w*", tag.name) else f'"{tag.name}"'
    else:
        address = re.sub(r"[\s%]", "", tag.address).upper()
        if type_ != "BOOL" and address.endswith(".0"):
            address = address.removesuffix(".0")
        options["address"] = address
    if type_ not in ("BOOL", "TIMER", "COUNTER"):
        options["type"] = type_
    made.tag(device, tag.name, options, f'the PLC tag "{tag.name}"')


def _block(
    block: Block, number: int | None, sources: Sources, device: ImportedDevice, made: Import, args: argparse.Namespace
) -> None:
    where = f'the block "{block.name}"'
    if block.type.name != "STRUCT" and block.type.name not in sources.types:
        made.lost(where, f"is left out: it is made of {block.type.name}, which is not in the file (--udt)")
        return
    if not args.symbols and block.optimized:
        made.lost(
            where,
            "is left out: it has optimized access, which PUT/GET cannot read; import it with --symbols, or switch"
            ' "Optimized block access" off in its properties, and export it anew',
        )
        return
    if not args.symbols and number is None:
        made.lost(where, f'is left out: its source does not have its number; say it: --db "{block.name}=5"')
        return
    placing = Placing(sources.types)
    for leaf in placing.leaves(block.type):
        if placing.doubt and not args.symbols:
            made.lost(where, f"from {leaf.path} on it is left out: {placing.doubt}")
            return
        options = {"description": leaf.comment, "type": leaf.type if leaf.type != "BOOL" else None}
        if args.symbols:
            options["symbol"] = f'"{block.name}".{leaf.path}'
        else:
            options["address"] = _address(leaf, number or 0)
        made.tag(device, f"{block.name}.{leaf.path}".replace('"', ""), options, where)


def _address(leaf: Leaf, number: int) -> str:
    return f"DB{number}.{leaf.byte}" if leaf.bit is None else f"DB{number}.DBX{leaf.byte}.{leaf.bit}"


def _of_rows(rows: list[list[str]]) -> Iterator[PlcTag]:
    titles = [_TITLES.get(title.strip().lower(), "") for title in rows[0]] if rows else []
    if not {"name", "address", "type"} <= set(titles):
        raise ImportRefusedError('its first row does not name the columns "Name", "Data Type" and "Logical Address"')
    for cells in rows[1:]:
        row = dict(zip(titles, (cell.strip() for cell in cells), strict=False))
        if row.get("name"):
            yield PlcTag(row["name"], row.get("address", ""), row.get("type", ""), row.get("comment", ""))


def _sdf(text: str) -> Iterator[list[str]]:
    """Rows of name, address, type and comment. The TIA Portal writes three switches before the comment."""
    try:
        for row in csv.reader(io.StringIO(text)):
            if len(row) >= 3:
                yield [*row[:3], row[6] if len(row) > 6 else row[3] if len(row) == 4 else ""]
    except csv.Error as error:
        raise ImportRefusedError(f"it is no export of symbols: {error}") from None


def _of_xml(root: ElementTree.Element, into: Sources) -> list[PlcTag]:
    tags = []
    for element in root.iter():
        name = local_name(element)
        if name == "SW.Tags.PlcTag":
            said = _attributes(element)
            tags.append(
                PlcTag(
                    said.get("Name", ""), said.get("LogicalAddress", ""), said.get("DataTypeName", ""), _said(element)
                )
            )
        elif name in ("SW.Blocks.GlobalDB", "SW.Types.PlcStruct"):
            said = _attributes(element)
            members = tuple(_xml_members(element, 0))
            if name == "SW.Types.PlcStruct":
                into.types[f'"{said.get("Name", "")}"'] = Type("STRUCT", members=members)
                continue
            number = said.get("Number", "")
            into.blocks.append(
                Block(
                    said.get("Name", ""),
                    int(number) if number.isdecimal() else None,
                    said.get("MemoryLayout") != "Standard",
                    Type("STRUCT", members=members),
                )
            )
    return tags


def _attributes(element: ElementTree.Element) -> Mapping[str, str]:
    return {
        local_name(each): (each.text or "").strip()
        for part in element
        if local_name(part) == "AttributeList"
        for each in part
    }


def _said(element: ElementTree.Element) -> str:
    """The first comment that is not empty."""
    texts = (each.text or "" for each in element.iter() if local_name(each) in ("Text", "Comment", "MultiLanguageText"))
    return next((text.strip() for text in texts if text.strip()), "")


def _xml_members(element: ElementTree.Element, depth: int) -> Iterator[Member]:
    """The members nearest below an element."""
    if depth > 64:
        raise ImportRefusedError("it is nested too deep")
    for each in element:
        if local_name(each) == "Member":
            comments = [part for part in each if local_name(part) == "Comment"]
            comment = _said(comments[0]) if comments else ""
            type_ = parse_type(each.get("Datatype", ""), tuple(_xml_members(each, depth + 1)))
            yield Member(each.get("Name", ""), type_, comment)
        elif local_name(each) not in ("Comment", "Subelement"):
            yield from _xml_members(each, depth + 1)
