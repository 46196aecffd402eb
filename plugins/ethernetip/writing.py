"""Writing: the one service that sets a value, and nothing beside it."""

from typing import Any

from .address import AttributeAddress, FileAddress, TagAddress, parse_address
from .config import EthernetIpTag
from .data_files import pccc_status
from .data_files import write_message as file_message
from .frames import opened_reply, service
from .plan import Refusal
from .questions import MODIFY_TAG, SET_ATTRIBUTE, WRITE_TAG, Learned, declared, place_of
from .status_codes import meaning, pccc_meaning
from .types import BY_CODE, DWORD, STRUCTURE, TYPES, logix_string_wire, parse_type, wire


def write_message(tag: EthernetIpTag, what: Learned | None, value: Any) -> bytes:
    """`what` the controller has there, of a tag. Raises ValueError, with the reason, for what cannot be written."""
    at = parse_address(tag.address)
    if isinstance(at, FileAddress):
        return file_message(at, value)
    if isinstance(at, AttributeAddress):
        assert tag.type is not None
        type_, count = parse_type(tag.type)
        if count is not None:
            raise ValueError("lists are not written")
        return service(SET_ATTRIBUTE, at.path(), wire(type_, value))
    assert what is not None
    return _tag_message(at, what, declared(tag), value)


def _tag_message(at: TagAddress, what: Learned, said: str, value: Any) -> bytes:
    place_of(at, what, said)
    if at.count is not None:
        raise ValueError("lists are not written; name a tag for each element that is")
    if what.code == STRUCTURE:
        size = what.template.size if what.template else what.size
        room = what.characters or (size - 4 if said == "STRING" else 0)
        if not room:
            raise ValueError("a structure is not written; name its members")
        data = logix_string_wire(value, room, size)
        return service(WRITE_TAG, at.path(), what.head + b"\1\0" + data)
    type_ = BY_CODE[what.code]
    if what.code == DWORD and said in ("", "BOOL") and at.index is not None:
        return _bit_message(at.path(at.index // 32), 4, at.index % 32, value)
    if at.bit is not None:
        return _bit_message(at.path(), type_.size, at.bit, value)
    return service(WRITE_TAG, at.path(), what.head + b"\1\0" + wire(type_, value))


def _bit_message(path: bytes, size: int, which: int, value: Any) -> bytes:
    """Read-modify-write within the controller: masks to be ORed and ANDed."""
    on = wire(TYPES["BOOL"], value) != b"\0"
    mask = 1 << which
    ors, ands = (mask, (1 << 8 * size) - 1) if on else (0, ((1 << 8 * size) - 1) ^ mask)
    masks = ors.to_bytes(size, "little") + ands.to_bytes(size, "little")
    return service(MODIFY_TAG, path, size.to_bytes(2, "little") + masks)


def refusal(answer: bytes) -> Refusal | None:
    """Why a write was not carried out; None where it was."""
    reply = opened_reply(answer)
    if reply.status:
        return Refusal(*meaning(reply.status, reply.more))
    status = pccc_status(answer)
    return Refusal(*pccc_meaning(status)) if status else None
