"""What the codes mean by which ADS refuses: "Beckhoff Information System, ADS Return Codes"."""

from gateway.kit.line import RefusalCodes
from gateway.plugin import quality

TARGET_PORT, TARGET_HOST, NOT_SUPPORTED, NO_GROUP = 0x06, 0x07, 0x701, 0x702
NOT_FOUND, OTHER_VERSION, NOT_ACTIVE, NO_NOTE, BUSY = 0x710, 0x711, 0x722, 0x714, 0x708

_CONFIG, _FAILED, _UNKNOWN = quality.BAD_CONFIGURATION, quality.BAD_DEVICE_FAILURE, quality.BAD_NODE_ID_UNKNOWN
_ROUTE = "compare net_id, and the route in the controller"
_SECURED = "a secured route (TLS), which is not supported; make a plain one"
_OF_DEVICE = {
    TARGET_PORT: (
        "nobody is behind this port in the controller: is TwinCAT in config mode, is a PLC program loaded, and is"
        " ams_port right (851 is the first PLC of TwinCAT 3, 801 that of TwinCAT 2)?",
        _FAILED,
    ),
    TARGET_HOST: (f"the controller does not reach this AMS net id; {_ROUTE}", _CONFIG),
    0x0D: ("the port is not connected: is TwinCAT in config mode?", _FAILED),
    0x12: ("the port is disabled: is TwinCAT in config mode?", _FAILED),
    0x1B: (f"the controller cannot answer; {_ROUTE}", _CONFIG),
    0x1D: (f"the controller wants {_SECURED}", _CONFIG),
    0x1E: (f"the controller wants {_SECURED}", _CONFIG),
    0x707: ("the PLC is not ready", _FAILED),
    0x712: ("the PLC is in a state in which it does not do that", _FAILED),
    0x718: ("the PLC is not initialised: has it a program?", _FAILED),
    0x719: ("the controller waited too long for the PLC", _FAILED),
    0x724: ("a licence is missing in the controller", _FAILED),
    0x725: ("a licence in the controller has expired", _FAILED),
}
_BUSY = {BUSY: ("the PLC has no time", _FAILED)}
REFUSALS = RefusalCodes(
    {
        0x700: ("the PLC reports an error", _FAILED),
        NOT_SUPPORTED: ("the device does not know this service", quality.BAD_NOT_SUPPORTED),
        NO_GROUP: ("there is no such index group", _UNKNOWN),
        0x703: ("there is no such index offset", _UNKNOWN),
        0x704: ("it may not be read or written so", _CONFIG),
        0x705: ("it has another size there; compare the type", _CONFIG),
        0x706: ("the value is not one that it takes", _CONFIG),
        0x70B: ("a parameter is not one that it takes", _CONFIG),
        0x70C: ("it is not there", _UNKNOWN),
        NOT_FOUND: ("the program has no such symbol; compare the name, and the bounds of arrays", _UNKNOWN),
        OTHER_VERSION: ("the program was changed", _FAILED),
        NO_NOTE: ("the notification is not valid any more", _FAILED),
        0x716: ("the PLC has no notification left", _FAILED),
        0x717: ("it is too large for a notification", _CONFIG),
        0x721: ("it is beyond the bounds of the array", _UNKNOWN),
        NOT_ACTIVE: ("the symbol is not active", _FAILED),
        0x723: ("access is denied", _CONFIG),
    }
    | _OF_DEVICE
    | _BUSY,
    of_device=_OF_DEVICE,
    busy=_BUSY,
    code="ADS error 0x{:X}",
)
