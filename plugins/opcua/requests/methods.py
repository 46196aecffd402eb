"""Calling methods of a server's objects; acknowledging a condition is one of them."""

import base64
from collections.abc import Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.uaprotocol_auto import Argument

from gateway.plugin import DeviceError, LinkError

from ..address import Address, NamePath, parse_address, parse_place
from ..session.errors import in_words, name_of
from ..session.session import OpcUaSession
from ..values.plain import as_exact, one
from ..values.structures import Types
from .browsing import browse
from .event_fields import node_of
from .services import call, read
from .writing import of_kind

_ACKNOWLEDGE = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
_HAS_COMPONENT = ua.NodeId(ua.ObjectIds.HasComponent)
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_HAS_SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
_BUILT_IN = {kind.value: kind for kind in ua.VariantType}
_ENUMERATION = 29
_DEEPEST = 20
"""Steps from a data type to the built-in one that it derives from, at most."""
_NOT_ACKNOWLEDGED = {
    "BadEventIdUnknown": "the condition has changed meanwhile: look at it once more, then acknowledge it again",
    "BadConditionBranchAlreadyAcked": "somebody has acknowledged it there already",
    "BadConditionDisabled": "the condition is disabled there",
    "BadUserAccessDenied": "this user may not acknowledge",
    "BadNodeIdUnknown": "the server no longer has this condition",
    "BadNodeIdInvalid": "the server does not take acknowledgements of this condition",
    "BadMethodInvalid": "the server does not take acknowledgements of this condition",
}
_NOT_CALLED = {
    "BadUserAccessDenied": "this user may not call it",
    "BadNotExecutable": "the server says that it cannot be called now",
    "BadNodeIdUnknown": "the server has no such object",
    "BadMethodInvalid": "the object has no such method",
    "BadArgumentsMissing": "the server wants more arguments",
    "BadTooManyArguments": "the server wants fewer arguments",
    "BadInvalidArgument": "the server refuses an argument",
    "BadInvalidState": "it is not possible in the state that the device is in",
}


async def acknowledge(session: OpcUaSession, condition: str, event: str, comment: str) -> None:
    """Acknowledge a condition at the event of this id, in hex. Raises DeviceError with the server's reason."""
    node = session.node_id(parse_place(node_of(condition)))
    if node is None:
        raise DeviceError("the server no longer has the namespace of this condition")
    arguments = [
        ua.Variant(bytes.fromhex(event), ua.VariantType.ByteString),
        ua.Variant(ua.LocalizedText(comment), ua.VariantType.LocalizedText),
    ]
    with in_words("acknowledging", session.certificate):
        result = await call(session, node, _ACKNOWLEDGE, arguments)
    _check(result.StatusCode, _NOT_ACKNOWLEDGED, "the server refuses the acknowledgement")


async def call_method(
    session: OpcUaSession, target: Address | NamePath, method: str, arguments: Sequence[Any]
) -> Sequence[tuple[str, Any]]:
    """Call a method, given by its name or node id, with JSON values. Returns name and JSON value of each result. Raises
    DeviceError with the reason."""
    node = session.node_id(target)
    if node is None:
        raise DeviceError(f"{target}: {session.why_none(target)}")
    called = await _method(session, node, method)
    wanted, given = await _signature(session, called)
    variants = await _variants(session, method, wanted, arguments)
    try:
        with in_words("calling", session.certificate):
            result = await call(session, node, called, variants)
    except LinkError as error:
        raise LinkError(f"{error}; it may have been carried out") from error
    _check_arguments(wanted, result)
    _check(result.StatusCode, _NOT_CALLED, "the server refuses the call")
    names = [argument.Name or "" for argument in given]
    values = [_shown(variant.Value, session.types) for variant in result.OutputArguments or ()]
    return [(names[row] if row < len(names) else f"result {row + 1}", value) for row, value in enumerate(values)]


async def _method(session: OpcUaSession, target: ua.NodeId, method: str) -> ua.NodeId:
    if "=" in method:
        address = parse_address(method)
        node = session.node_id(address)
        if node is None:
            raise DeviceError(f"{method}: {session.why_none(address)}")
        return node
    found = await browse(session, target, _HAS_COMPONENT, ua.NodeClass.Method)
    for reference in found:
        if reference.BrowseName.Name == method:
            return reference.NodeId
    names = ", ".join(str(reference.BrowseName.Name) for reference in found) or "none"
    raise DeviceError(f'the object has no method "{method}"; it has: {names}')


async def _signature(session: OpcUaSession, method: ua.NodeId) -> tuple[list[Argument], list[Argument]]:
    """What a method wants, and what it gives."""
    found = await browse(session, method, _HAS_PROPERTY, ua.NodeClass.Variable)
    properties = {str(reference.BrowseName.Name): reference.NodeId for reference in found}
    names = [name for name in ("InputArguments", "OutputArguments") if name in properties]
    answers = await read(session, [(properties[name], ua.AttributeIds.Value) for name in names])
    told = {name: _arguments(answer) for name, answer in zip(names, answers, strict=True)}
    return told.get("InputArguments", []), told.get("OutputArguments", [])


def _arguments(answer: ua.DataValue) -> list[Argument]:
    value = answer.Value.Value if answer.Value is not None else None
    return [each for each in value or () if isinstance(each, Argument)]


async def _variants(
    session: OpcUaSession, method: str, wanted: Sequence[Argument], arguments: Sequence[Any]
) -> list[ua.Variant]:
    kinds = [await _kind(session, argument.DataType) for argument in wanted]
    if len(arguments) != len(wanted):
        words = ", ".join(_in_words(each, kind) for each, kind in zip(wanted, kinds, strict=True)) or "no arguments"
        raise DeviceError(f"{method} wants {words}; {len(arguments)} given")
    variants = []
    for argument, kind, value in zip(wanted, kinds, arguments, strict=True):
        try:
            variants.append(as_argument(value, kind, is_list=argument.ValueRank >= 1))
        except ValueError as error:
            raise DeviceError(f"{argument.Name}: {error}") from error
    return variants


def as_argument(value: Any, kind: ua.VariantType, *, is_list: bool) -> ua.Variant:
    """A JSON value as an argument of this type. Raises ValueError, saying what is wanted."""
    if not is_list:
        if isinstance(value, list):
            raise ValueError(f"wants one value, not {value!r}")
        return of_kind(value, kind)
    if not isinstance(value, list) or any(isinstance(each, list) for each in value):
        raise ValueError(f"wants a list such as [1, 2], not {value!r}")
    return ua.Variant([of_kind(each, kind).Value for each in value], kind, is_array=True)


def _in_words(argument: Argument, kind: ua.VariantType) -> str:
    return f"{argument.Name} ({'a list of ' if argument.ValueRank >= 1 else ''}{kind.name})"


async def _kind(session: OpcUaSession, data_type: ua.NodeId) -> ua.VariantType:
    """The built-in type of a data type, found on the way up to it."""
    for _ in range(_DEEPEST):
        if data_type.NamespaceIndex == 0 and data_type.Identifier == _ENUMERATION:
            return ua.VariantType.Int32
        if data_type.NamespaceIndex == 0 and data_type.Identifier in _BUILT_IN:
            return _BUILT_IN[data_type.Identifier]
        above = await browse(session, data_type, _HAS_SUBTYPE, ua.NodeClass.DataType, ua.BrowseDirection.Inverse)
        if not above:
            break
        data_type = above[0].NodeId
    raise DeviceError(f"an argument has a type that is not known: {data_type.to_string()}")


def _check(status: ua.StatusCode, reasons: dict[str, str], otherwise: str) -> None:
    if not status.is_good():
        name = name_of(int(status.value))
        raise DeviceError(f"{reasons.get(name, otherwise)} ({name})")


def _check_arguments(wanted: Sequence[Argument], result: ua.CallMethodResult) -> None:
    for argument, status in zip(wanted, result.InputArgumentResults or (), strict=False):
        if not status.is_good():
            raise DeviceError(f"the server refuses {argument.Name} ({name_of(int(status.value))})")


def _shown(value: Any, types: Types) -> Any:
    """A result as JSON has it: bytes as base64, structures as the text that a tag would have."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [_shown(each, types) for each in value]
    found = one(value, types)
    return as_exact(found) if isinstance(found, dict) else found
