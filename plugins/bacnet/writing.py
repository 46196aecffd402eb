"""Writes present values at a priority, takes commands back, and writes other properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.plugin import DeviceError, Tag

from . import services
from .address import BINARY, MULTI_STATE, PRESENT_VALUE, shown, type_of
from .config import BacnetDevice, BacnetTag
from .encoding import Kind, application
from .frames import Confirmed
from .peer import Peer
from .services import Place

_KINDS = {
    **dict.fromkeys((0, 1, 2, 12, 24), Kind.REAL),
    **dict.fromkeys(BINARY, Kind.ENUMERATED),
    **dict.fromkeys((*MULTI_STATE, 23, 48), Kind.UNSIGNED),
    40: Kind.TEXT,
    45: Kind.INTEGER,
    46: Kind.DOUBLE,
}
"""Of the present values of objects; of anything else the device is asked."""


async def write(peer: Peer, options: BacnetDevice, tag: Tag, value: Any, texts: Mapping[int, Sequence[str]]) -> None:
    """Raises DeviceError with the reason, or TimeoutError where it may have been written."""
    config: BacnetTag = tag.config
    at, priority = config.at, config.priority or options.priority
    if config.commanded:
        if value:
            raise DeviceError(
                f"{tag}: only false can be written, which takes the command back; to command {shown(at)}, write its value"
            )
        encoded = application(Kind.NULL, None)
    else:
        encoded = await _encoded(peer, tag, value, texts)
    commanding = priority if at.property == PRESENT_VALUE and at.item < 0 else None
    try:
        await peer.ask(Confirmed.WRITE_PROPERTY, services.write_property(at, encoded, commanding), retries=0)
    except TimeoutError as error:
        raise TimeoutError(f"{error}; it may have been written") from None
    except DeviceError as error:
        raise DeviceError(f"{tag}: {error}") from error


async def _encoded(peer: Peer, tag: Tag, value: Any, texts: Mapping[int, Sequence[str]]) -> bytes:
    config: BacnetTag = tag.config
    if config.bit is not None:
        raise DeviceError(f"{tag}: single bits are not written")
    try:
        if config.text:
            value = _number(config.at, value, texts.get(config.at.object, ()))
        return application(await _kind(peer, tag, config.at), value)
    except (ValueError, TypeError, AttributeError) as error:
        raise DeviceError(f"{tag}: {value!r} cannot be written there: {error}") from error


def _number(at: Place, text: str, texts: Sequence[str]) -> int:
    if text not in texts:
        raise ValueError(f"its states are {', '.join(texts) or 'not known'}")
    return texts.index(text) + (0 if type_of(at.object) in BINARY else 1)


async def _kind(peer: Peer, tag: Tag, at: Place) -> Kind:
    if at.property == PRESENT_VALUE and at.item < 0 and type_of(at.object) in _KINDS:
        return _KINDS[type_of(at.object)]
    found = await peer.read(at)
    if len(found) != 1 or found[0][0] == Kind.NULL:
        raise DeviceError(f"{tag}: the device has no single value there, so that its type is not known")
    return Kind(found[0][0])
