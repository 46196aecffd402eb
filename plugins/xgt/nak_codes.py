"""What the codes in a refusal mean, and what to change (XGT FEnet I/F module manual, communication error codes)."""

from gateway.kit.line import RefusalCodes
from gateway.plugin import quality

_CONFIG = quality.BAD_CONFIGURATION
REFUSALS = RefusalCodes(
    {
        0x01: ("more places were asked for than it gives at once", _CONFIG),
        0x02: ("it does not take values of this size", _CONFIG),
        0x03: ("the PLC has no such device, or does not give it; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
        0x04: ("it is beyond the end of the device's range", quality.BAD_NODE_ID_UNKNOWN),
        0x05: ("more was asked for than it gives at once; lower max_words", _CONFIG),
        0x06: ("more was asked for than it gives at once; lower max_words", _CONFIG),
        0x10: ("the PLC does not take the address; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
        0x11: ("the PLC does not take the address; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
        0x75: ("it does not take our company id; is it another make's module?", _CONFIG),
        0x76: ("it finds the length of our frame wrong", _CONFIG),
        0x77: ("it finds the checksum of our frame wrong", _CONFIG),
        0x78: ("it does not know this command", quality.BAD_NOT_SUPPORTED),
    },
    of_device=(0x75, 0x76, 0x77),
    code="error code {:04X}",
)
