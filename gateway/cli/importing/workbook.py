"""Workbooks (xlsx) and XML of other programs.

A workbook is a zip file of XML (ECMA-376); of it only the first sheet and the shared texts are read, within bounds, and
nothing with a document type is, since entities are declared there.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from xml.etree import ElementTree

from gateway.cli.importing.carried import ImportRefusedError
from gateway.core.parsing import doubting

_PART = 64 * 1024 * 1024
"""Bytes of a part of the workbook, unpacked, at most."""
_RATIO = 200
_NAME = re.compile(r"([A-Z]+)\d+")


def first_sheet(data: bytes) -> list[list[str]]:
    """The cells of the first sheet as texts. Raises ImportRefusedError."""
    with doubting(lambda reason: ImportRefusedError(f"it is no xlsx workbook: {reason}")):
        return _rows(zipfile.ZipFile(io.BytesIO(data)))


def _rows(book: zipfile.ZipFile) -> list[list[str]]:
    names = set(book.namelist())
    sheets = sorted(name for name in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
    if not sheets:
        raise ImportRefusedError("it is no xlsx workbook: it has no sheet")
    texts = "xl/sharedStrings.xml"
    shared = [_text(each) for each in _xml(book, texts)] if texts in names else []
    return [_cells(row, shared) for row in _xml(book, sheets[0]).iter() if local_name(row) == "row"]


def _xml(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    info = book.getinfo(name)
    if info.file_size > _PART or info.file_size > _RATIO * max(info.compress_size, 1024):
        raise ImportRefusedError("a part of the workbook unpacks to more than makes sense")
    with book.open(info) as file:
        data = file.read(_PART + 1)
    if len(data) > _PART:
        raise ImportRefusedError("a part of the workbook unpacks to more than makes sense")
    return parse_xml(data)


def parse_xml(data: bytes) -> ElementTree.Element:
    """A document without entities. Raises ImportRefusedError for one that declares some, and what the parser raises."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ImportRefusedError("it declares entities: no program that exports tags does that")
    return ElementTree.fromstring(data)


def local_name(element: ElementTree.Element) -> str:
    """Without its namespace."""
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element) -> str:
    return "".join(each.text or "" for each in element.iter() if local_name(each) == "t")


def _cells(row: ElementTree.Element, shared: Sequence[str]) -> list[str]:
    cells: dict[int, str] = {}
    for cell in row:
        found = _NAME.fullmatch(cell.get("r", ""))
        at = _column(found[1]) if found else len(cells)
        value = next((each.text or "" for each in cell if local_name(each) == "v"), "")
        if cell.get("t") == "s":
            value = shared[int(value)] if value.isdigit() and int(value) < len(shared) else ""
        elif cell.get("t") == "inlineStr":
            value = _text(cell)
        if at < 1000:
            cells[at] = value
    return [cells.get(at, "") for at in range(max(cells, default=-1) + 1)]


def _column(letters: str) -> int:
    number = 0
    for letter in letters[:4]:
        number = 26 * number + ord(letter) - 64
    return number - 1
