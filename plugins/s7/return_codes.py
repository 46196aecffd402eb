"""What the codes mean by which an S7 refuses: of single places, and, from 0x8000 on, class and code of a whole request."""

from gateway.kit.line import RefusalCodes
from gateway.plugin import quality

_CONFIG, _FAILED, _UNKNOWN = quality.BAD_CONFIGURATION, quality.BAD_DEVICE_FAILURE, quality.BAD_NODE_ID_UNKNOWN
_PUT_GET = "allow 'PUT/GET communication from remote partner' in the CPU's properties, Connection mechanisms"
_OF_PLACE = {
    0x01: ("the CPU reports a hardware fault there", _FAILED),
    0x03: ("the CPU does not let it be accessed; look at its protection level", _CONFIG),
    0x05: ("it is beyond the end; compare the address with the data block, or was a smaller one downloaded?", _UNKNOWN),
    0x06: ("the CPU does not read this type there", _CONFIG),
    0x07: ("the CPU does not read this size there", _CONFIG),
    0x0A: (
        "the CPU does not have it, or not at this address: is 'Optimized block access' switched off in its properties?",
        _UNKNOWN,
    ),
}
_OF_DEVICE = {
    0x8104: (f"the CPU does not allow it: {_PUT_GET}", _CONFIG),
    0x8402: ("the CPU cannot do that now; is it in STOP?", _FAILED),
    0xD401: ("the CPU wants to be told more; look at its protection level", _CONFIG),
    0xD402: ("the CPU does not know it", _CONFIG),
    0xD602: ("the CPU is protected by a password", _CONFIG),
}
_BUSY = {
    0x8302: ("the CPU has too many requests", _FAILED),
    0x8500: ("the request is larger than the CPU takes", _CONFIG),
}
REFUSALS = RefusalCodes(
    _OF_PLACE | _OF_DEVICE | _BUSY,
    of_device=_OF_DEVICE,
    busy=(0x8302,),
    code="code {:04X}",
)
