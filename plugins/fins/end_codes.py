"""What the end codes of FINS mean (W342, §5-1-3) and those of FINS/TCP (W421, §7-4), and what to change."""

from gateway.kit.line import RefusalCodes
from gateway.plugin import quality

_FAILED, _CONFIG = quality.BAD_DEVICE_FAILURE, quality.BAD_CONFIGURATION
_UNREACHED = quality.BAD_NO_COMMUNICATION
_UNREACHABLE = {
    0x0101: ("the network unit of the PLC is not in its network", _UNREACHED),
    0x0102: ("the token did not come round in the PLC's network", _UNREACHED),
    0x0103: ("the PLC's network unit did not get through", _UNREACHED),
    0x0105: ("the node address is out of range; look at node and source_node", _UNREACHED),
    0x0106: ("a node address is given twice; look at source_node", _UNREACHED),
    0x0201: ("the node is not in the network; look at network and node", _UNREACHED),
    0x0202: ("there is no such unit; look at unit (0 is the CPU)", _UNREACHED),
    0x0203: ("a node between here and there is missing", _UNREACHED),
    0x0205: ("the node did not answer the one between; is it on, and are its routing tables right?", _UNREACHED),
    0x0401: ("the PLC does not know this command", quality.BAD_NOT_SUPPORTED),
    0x0402: ("the PLC's model does not have this command", quality.BAD_NOT_SUPPORTED),
    0x0501: ("the routing tables do not have the way; look at network, or set them in CX-Integrator", _UNREACHED),
    0x0502: ("there are no routing tables; set them in CX-Integrator", _UNREACHED),
    0x0503: ("the routing tables are wrong; look at them in CX-Integrator", _UNREACHED),
    0x0504: ("there are more than two relays on the way", _UNREACHED),
}
_OF_DEVICE = {
    0x0001: ("the service was cancelled; is a link between the units cut?", _FAILED),
    0x0301: ("the communications controller has an error; look at its ERC light", _FAILED),
    0x0302: ("the CPU unit has an error; look at its ERR light", _FAILED),
    0x0303: ("the board has an error; look at its lights", _FAILED),
    0x0304: ("the unit number is set wrongly or twice", _FAILED),
    0x1005: ("the header is not understood; look at network, node and unit", _CONFIG),
    0x2201: ("not possible in the PLC's present mode", _FAILED),
    0x2202: ("not possible while the PLC runs; switch it to MONITOR or PROGRAM", _FAILED),
    0x2203: ("the PLC is in PROGRAM mode", _FAILED),
    0x2604: ("the PLC is protected by a password", _CONFIG),
    0x3001: ("another device holds the access right; wait until it lets go", _CONFIG),
}
_BUSY = {
    0x0104: ("too many frames are under way; lower max_in_flight", _FAILED),
    0x0204: ("the node is busy", _FAILED),
    0x2605: ("the service is already going on", _FAILED),
}
_OF_ADDRESS = {
    0x1001: ("the request is too long for the PLC; lower max_words", _CONFIG),
    0x1003: ("the number of words does not fit the data", _CONFIG),
    0x1101: ("the PLC has no such area; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
    0x1102: ("this area is not read in such pieces", _CONFIG),
    0x1103: ("the PLC has nothing at this address; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
    0x1104: ("the words run over the end of the area", quality.BAD_NODE_ID_UNKNOWN),
    0x110B: ("the answer would be too long for the PLC; lower max_words", _CONFIG),
    0x110C: ("the PLC does not take one of the numbers in the request", _CONFIG),
    0x2002: ("it is protected against reading", _CONFIG),
    0x2101: ("it can only be read; an area that is write-protected, or a switch on the CPU", _CONFIG),
    0x2102: ("it is protected against writing; look at the PLC's setup and its DIP switch 1", _CONFIG),
    0x2108: ("it cannot be changed now", _FAILED),
    0x2302: ("there is no such memory; is the EM bank in this model, or taken for files?", quality.BAD_NODE_ID_UNKNOWN),
}
REFUSALS = RefusalCodes(
    _UNREACHABLE | _OF_DEVICE | _BUSY | _OF_ADDRESS,
    of_device=_OF_DEVICE,
    busy=_BUSY,
    unreachable=_UNREACHABLE,
    code="end code {:04X}",
)

TCP_ERRORS = {
    0x01: "it does not take our frames for FINS",
    0x02: "our frame is too long for it",
    0x03: "it does not know the FINS/TCP command",
    0x20: "all its connections are in use; close one, or give it more in the PLC's setup",
    0x21: "this node is connected already; give another source_node",
    0x22: "it is protected, and this computer's address is not among those it lets in; add it in the PLC's setup",
    0x23: "the source_node is out of its range",
    0x24: "source_node is the PLC's own node; give another one",
    0x25: "all node addresses that it can give are used",
}
