"""Values that nothing in a plant has: as numbers look whose bytes are read in the wrong order, or as the wrong type."""

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gateway.core.live import LiveDevice
from gateway.core.quality import is_good
from gateway.core.tag import Tags

_known: WeakKeyDictionary[Tags, NDArray[np.bool_]] = WeakKeyDictionary()

SMALLEST, LARGEST = 1e-12, 1e15
"""Sizes beyond which a number other than 0 is taken for absurd: two thirds of all floats are, and hardly one in a plant."""


def doubt(live: LiveDevice) -> str:
    """What is to be said of a device all of whose floating-point numbers are absurd; empty when one of them is not."""
    floats = _floats(live.device.tags)
    value = live.value[floats & is_good(live.quality) & (live.t_ns > 0)]
    value = np.abs(value[(value != 0) & ~np.isnan(value)])
    if not len(value) or ((value >= SMALLEST) & (value <= LARGEST)).any():
        return ""
    numbers = f"its {len(value)} numbers are" if len(value) > 1 else "its only number is"
    return (
        f"{numbers} good and yet absurd (such as {float(value[0]):.3g}): most likely the order of bytes or words, or the "
        f"type, is another one; see edge-gateway probe and edge-gateway tags {live.device.name}"
    )


def _floats(tags: Tags) -> NDArray[np.bool_]:
    """Which tags are floating-point numbers; kept, since all devices are looked at every ten seconds."""
    floats = _known.get(tags)
    if floats is None:
        floats = _known[tags] = np.array([tag.type.startswith("float") for tag in tags], np.bool_)
    return floats
