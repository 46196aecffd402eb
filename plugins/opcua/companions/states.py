"""What the numbers of states and modes mean, and what dictionaries call a value."""

from collections.abc import Sequence

from asyncua import ua

from gateway.plugin import cleaned

from ..requests.browsing import references
from ..requests.nodes import SHOWN
from ..requests.services import read
from ..session.session import OpcUaSession
from .lineage import lineages
from .tree import Node

STATE = "state"
"""Role of a variable that is in one of a few states."""
_STATES = {"StateVariableType", "TwoStateDiscreteType", "MultiStateDiscreteType", "MultiStateValueDiscreteType"}
_UA = "http://opcfoundation.org/UA"
_HAS_PROPERTY = ua.NodeId(ua.ObjectIds.HasProperty)
_HAS_DICTIONARY_ENTRY = ua.NodeId(17597)
_WORDS = ("EnumStrings", "EnumValues", "FalseState", "TrueState")


async def about_values(session: OpcUaSession, nodes: Sequence[Node]) -> list[tuple[str, list[str]]]:
    """Of each variable its role, "state" or none, and what to say of it: its states in words, its dictionary entries."""
    ids = [node.id for node in nodes]
    kinds = await lineages(session, [node.type for node in nodes])
    enumerated = await _enumerated(session, ids)
    is_state = [
        enumeration or any(uri == _UA and name in _STATES for uri, name in kinds.get(node.type, ()))
        for node, enumeration in zip(nodes, enumerated, strict=True)
    ]
    words = await _words(session, [node for node, state in zip(ids, is_state, strict=True) if state])
    entries = await references(session, ids, _HAS_DICTIONARY_ENTRY)
    found = []
    for node, state, ends in zip(ids, is_state, entries, strict=True):
        said = [words[node]] if words.get(node) else []
        said += [f"[{cleaned(each.BrowseName.Name or '', 100)}]" for each in ends.references[:SHOWN]]
        found.append((STATE if state else "", said))
    return found


async def _enumerated(session: OpcUaSession, nodes: Sequence[ua.NodeId]) -> list[bool]:
    """Whether the data type of each is an enumeration."""
    answers = await read(session, [(node, ua.AttributeIds.DataType) for node in nodes])
    types = [answer.Value.Value if answer.Value is not None else None for answer in answers]
    wanted = list(dict.fromkeys(each for each in types if isinstance(each, ua.NodeId) and not each.is_null()))
    kinds = await lineages(session, wanted)
    return [(_UA, "Enumeration") in kinds.get(each, ()) for each in types]


async def _words(session: OpcUaSession, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, str]:
    """Node → what its numbers mean, as "(0 closed, 1 open)"."""
    properties = await references(session, nodes, _HAS_PROPERTY)
    wanted = [
        (node, str(each.BrowseName.Name), each.NodeId)
        for node, ends in zip(nodes, properties, strict=True)
        for each in ends.references
        if each.BrowseName.Name in _WORDS and not each.BrowseName.NamespaceIndex
    ]
    answers = await read(session, [(target, ua.AttributeIds.Value) for *_, target in wanted])
    told: dict[ua.NodeId, list[str]] = {}
    for (node, name, _), answer in zip(wanted, answers, strict=True):
        value = answer.Value.Value if answer.Value is not None else None
        told.setdefault(node, []).extend(_meanings(name, value))
    return {node: f"({_shortened(each)})" for node, each in told.items() if each}


def _meanings(name: str, value: object) -> list[str]:
    if isinstance(value, ua.LocalizedText):
        return [f"{'false' if name == 'FalseState' else 'true'} {cleaned(value.Text or '', 100)}"] if value.Text else []
    found = []
    for place, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, ua.EnumValueType):
            found.append(f"{each.Value} {cleaned(each.DisplayName.Text or '', 100)}")
        elif isinstance(each, ua.LocalizedText) and each.Text:
            found.append(f"{place} {cleaned(each.Text, 100)}")
    return found


def _shortened(words: list[str]) -> str:
    more = [f"and {len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join(words[:SHOWN] + more)
