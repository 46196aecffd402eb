"""Values that stand in blocks of addresses: which blocks are read, what is learned of refusals, and how they become columns.

A protocol says by a `BlockReading` where a tag's value stands and how a block is asked for; `gateway.kit.BlockDriver` does
the rest with it.
"""

from gateway.kit.blocks.areas import AddressBlock, AddressSpan, Area, address_range, by_scan
from gateway.kit.blocks.decoder import BlockDecoder, DecodedBlocks, ValuePlace
from gateway.kit.blocks.describe import describe, seconds
from gateway.kit.blocks.plan import PROBE_AFTER, RELEARN_AFTER, BlockPlan
from gateway.kit.blocks.reading import BlockReading

__all__ = [
    "PROBE_AFTER",
    "RELEARN_AFTER",
    "AddressBlock",
    "AddressSpan",
    "Area",
    "BlockDecoder",
    "BlockPlan",
    "BlockReading",
    "DecodedBlocks",
    "ValuePlace",
    "address_range",
    "by_scan",
    "describe",
    "seconds",
]
