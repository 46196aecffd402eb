"""What a Modbus exception means (Modbus Application Protocol V1.1b3, §7), and the quality that follows."""

from gateway.kit.line import MISFIT, RefusalCodes
from gateway.plugin import quality

REFUSALS = RefusalCodes(
    {
        1: ("illegal function: the device has no such kind of address", quality.BAD_NOT_SUPPORTED),
        2: ("illegal data address: the device has nothing there; compare with its manual", quality.BAD_NODE_ID_UNKNOWN),
        3: ("illegal data value: the device does not allow this read", quality.BAD_CONFIGURATION),
        4: ("device failure: the device could not do it", quality.BAD_DEVICE_FAILURE),
        5: ("acknowledge: the device needs longer than a read allows", quality.BAD_DEVICE_FAILURE),
        6: ("busy: the device is doing something else", quality.BAD_DEVICE_FAILURE),
        8: ("memory parity error: the device found its memory damaged", quality.BAD_DEVICE_FAILURE),
        10: ("path unavailable: the gateway in front of the device has no way to it", quality.BAD_NO_COMMUNICATION),
        11: ("no answer: the gateway in front of the device does not reach it", quality.BAD_NO_COMMUNICATION),
        MISFIT: (
            "the answer has another length than was asked for; if the device pads all its answers, padded = true takes them",
            quality.BAD_DECODING,
        ),
    },
    of_device=(5,),
    busy=(6,),
    unreachable=(10, 11),
    code="exception {}",
)
