"""What the end codes of the MC protocol mean and what to change (SLMP Reference Manual SH(NA)-080956ENG, and the lists of
the CPU modules' and Ethernet modules' manuals)."""

from gateway.kit.line import RefusalCodes
from gateway.plugin import quality

_FAILED, _CONFIG = quality.BAD_DEVICE_FAILURE, quality.BAD_CONFIGURATION
_UNKNOWN, _UNREACHED = quality.BAD_NODE_ID_UNKNOWN, quality.BAD_NO_COMMUNICATION
_UNREACHABLE = {
    0x4A00: ("the relay has no routing to that network; look at network, or at the routing parameters", _UNREACHED),
    0x4A01: ("the network is not there; look at network", _UNREACHED),
    0x4A02: ("the station is not there; look at network and pc", _UNREACHED),
    0x4B00: ("the station, or a relay on the way, has an error; look at network, pc and io", _UNREACHED),
    0xC035: ("the PLC behind it did not answer in time; is it on?", _UNREACHED),
    0xC05E: ("the CPU did not answer its Ethernet port in time; is it overloaded, or stopped by an error?", _UNREACHED),
    0xC05F: ("this request cannot go to that target; look at network, pc, io and station", _UNREACHED),
    0xCEE0: ("the relay is occupied by another request", _UNREACHED),
}
_OF_DEVICE = {
    0xC050: ("it takes our ASCII for binary; write code as it is set in the PLC's open setting", _CONFIG),
    0xC06F: ("it is set to the other code; write code as it is set in the PLC's open setting", _CONFIG),
    0xC200: ("the remote password is wrong; look at password", _CONFIG),
    0xC201: ("the port is locked by a remote password; give it as password", _CONFIG),
    0xC202: ("the remote password did not unlock it; look at password", _CONFIG),
    0xC204: ("another device has unlocked the port; wait until it lets go", _CONFIG),
    0xC810: ("the remote password is wrong; look at password", _CONFIG),
    0xC815: ("a wrong remote password was given ten times; wait, and look at password", _CONFIG),
    0xC816: ("the remote password is locked out for a while; wait, and look at password", _CONFIG),
    0xC1A7: ("there is no such network; look at network", _CONFIG),
    0xC1A8: ("there is no such station; look at pc", _CONFIG),
    0xC0B5: ("the CPU or the module cannot handle this data", _FAILED),
}
_BUSY = {
    0x4006: ("it is starting", _FAILED),
    0xC0B2: ("its memory for requests is full", _FAILED),
    0xC0BD: ("it has more requests than it can process", _FAILED),
    0xC86C: ("it has more requests than it can take at once", _FAILED),
}
_OF_ADDRESS = {
    0x0055: ("writing while it runs is switched off; allow online change in the PLC's open setting", _CONFIG),
    0x4001: ("the CPU does not know this request", quality.BAD_NOT_SUPPORTED),
    0x4002: ("the CPU does not know this request", quality.BAD_NOT_SUPPORTED),
    0x4005: ("more was asked for than the CPU gives at once; lower max_words", _CONFIG),
    0x4010: ("this cannot be written while the CPU runs", _FAILED),
    0x4013: ("this cannot be written in the CPU's present state", _FAILED),
    0x4021: ("there is no such memory; is the file register set up?", _UNKNOWN),
    0x4030: ("the CPU has no such device; compare with its manual", _UNKNOWN),
    0x4031: ("it is beyond the device's range in the CPU's parameters", _UNKNOWN),
    0x4032: ("this device is not read in such pieces", _CONFIG),
    0xC051: ("more was asked for than it gives at once; lower max_words", _CONFIG),
    0xC052: ("more bits were asked for than it gives at once", _CONFIG),
    0xC053: ("more places were asked for than it gives at once; lower max_words", _CONFIG),
    0xC054: ("more places were asked for than it gives at once; lower max_words", _CONFIG),
    0xC056: ("it is beyond the highest address", _UNKNOWN),
    0xC058: ("the length of the request does not fit what it asks for", _CONFIG),
    0xC059: ("the PLC's model does not have this command", quality.BAD_NOT_SUPPORTED),
    0xC05A: ("the CPU cannot read or write this device", _UNKNOWN),
    0xC05B: ("the CPU cannot read or write this device", _UNKNOWN),
    0xC05C: ("the request does not fit the device", _CONFIG),
    0xC060: ("the value does not fit the device", _CONFIG),
    0xC062: ("writing while it runs is switched off; allow online change in the PLC's open setting", _CONFIG),
    0xC0D8: ("more places were asked for than it gives at once", _CONFIG),
    0xC0D9: ("the PLC's model does not have this command", quality.BAD_NOT_SUPPORTED),
    0xC1A4: ("the PLC's model does not have this command", quality.BAD_NOT_SUPPORTED),
    0xC1A9: ("it is beyond the highest address", _UNKNOWN),
    0xC1AA: ("the PLC has no such device", _UNKNOWN),
    0xC061: ("the length of the request does not fit its data", _CONFIG),
}
REFUSALS = RefusalCodes(
    _UNREACHABLE | _OF_DEVICE | _BUSY | _OF_ADDRESS,
    of_device=_OF_DEVICE,
    busy=_BUSY,
    unreachable=_UNREACHABLE,
    code="end code {:04X}",
)
