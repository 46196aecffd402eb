"""A device by bacpypes3, which nobody here wrote, in a process of its own. Arguments: address with port, instance. It says
"ready", and then takes lines "set AI:1 presentValue 5.0", "delete AI:1" and "restart", each answered by "done" or why not."""

import asyncio
import sys
from typing import Any

from bacpypes3.app import Application
from bacpypes3.basetypes import EngineeringUnits, StatusFlags
from bacpypes3.local.analog import AnalogInputObject, AnalogOutputObject, AnalogValueObjectCmd
from bacpypes3.local.binary import BinaryInputObject, BinaryValueObject
from bacpypes3.local.cmd import Commandable
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.multistate import MultiStateValueObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.local.object import Object
from bacpypes3.object import CharacterStringValueObject, DateValueObject, IntegerValueObject, PositiveIntegerValueObject
from bacpypes3.primitivedata import ObjectIdentifier

SHORT = {"AI": "analog-input", "AO": "analog-output", "AV": "analog-value", "BI": "binary-input", "BV": "binary-value",
         "MSV": "multi-state-value", "CSV": "characterstring-value", "IV": "integer-value"}  # fmt: skip


class LocalSwitch(Commandable, BinaryValueObject):
    """A binary value that can be commanded."""


class LocalMode(Commandable, MultiStateValueObject):
    """A multi-state value, likewise."""


class LocalText(Object, CharacterStringValueObject):
    """A text."""


class LocalInteger(Object, IntegerValueObject):
    """A signed number."""


class LocalPositive(Object, PositiveIntegerValueObject):
    """A number without sign."""


class LocalDate(Object, DateValueObject):
    """A date."""


def objects() -> list[Any]:
    flags = StatusFlags([0, 0, 0, 0])
    common: dict[str, Any] = {"statusFlags": flags, "eventState": "normal", "outOfService": False}
    made: list[Any] = [
        AnalogInputObject(
            objectIdentifier=f"analog-input,{n}", objectName=f"AI-{n}", presentValue=float(n), covIncrement=0.1,
            units=EngineeringUnits("degreesCelsius"), description=f"Room {n}", reliability="no-fault-detected", **common,
        )
        for n in range(1, 121)
    ]  # fmt: skip
    for make, name in ((AnalogOutputObject, "analog-output"), (AnalogValueObjectCmd, "analog-value")):
        made.append(
            make(
                objectIdentifier=f"{name},1", objectName=f"{name}-1", presentValue=20.5, covIncrement=0.1,
                units=EngineeringUnits("percent"), relinquishDefault=20.5, **common,
            )
        )  # fmt: skip
    made += [
        BinaryInputObject(
            objectIdentifier="binary-input,1", objectName="Fan", presentValue="active", polarity="normal",
            inactiveText="off", activeText="running", **common,
        ),
        LocalSwitch(
            objectIdentifier="binary-value,1", objectName="Enable", presentValue="inactive", relinquishDefault="inactive",
            **common,
        ),
        LocalMode(
            objectIdentifier="multi-state-value,1", objectName="Mode", presentValue=2, numberOfStates=3,
            stateText=["stop", "auto", "hand"], relinquishDefault=2, **common,
        ),
        LocalText(
            objectIdentifier="characterstring-value,1", objectName="Batch", presentValue="Ansatz 4711 µ", statusFlags=flags
        ),
        LocalInteger(
            objectIdentifier="integer-value,1", objectName="Offset", presentValue=-300, statusFlags=flags,
            units=EngineeringUnits("pascals"),
        ),
        LocalPositive(
            objectIdentifier="positive-integer-value,1", objectName="Count", presentValue=70000, statusFlags=flags,
            units=EngineeringUnits("noUnits"),
        ),
        LocalDate(
            objectIdentifier="date-value,1", objectName="Day", presentValue=(126, 11, 30, 1), statusFlags=flags
        ),
    ]  # fmt: skip
    return made


class Plant:
    def __init__(self, address: str, instance: int) -> None:
        device = DeviceObject(
            objectIdentifier=f"device,{instance}", objectName=f"AHU-{instance}", vendorIdentifier=999, modelName="Test"
        )
        port = NetworkPortObject(
            address, objectIdentifier="network-port,1", objectName="NetworkPort-1", networkNumber=0,
            networkNumberQuality="unknown",
        )  # fmt: skip
        self.app: Any = Application.from_object_list([device, port, *objects()])

    def do(self, line: str) -> None:
        verb, name, *rest = line.split(" ", 3)
        type_, instance = name.split(":")
        found = self.app.get_object_id(ObjectIdentifier(f"{SHORT.get(type_, type_)},{instance}"))
        if verb == "delete":
            self.app.delete_object(found)
        else:
            attribute, value = rest
            kind = type(getattr(found, attribute))
            setattr(
                found,
                attribute,
                kind([int(bit) for bit in value]) if attribute == "statusFlags" else kind(_typed(value)),
            )


def _typed(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


async def main(address: str, instance: int) -> None:
    plant = Plant(address, instance)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := (await reader.readline()).decode().strip():
        try:
            plant.do(line)
            print("done", flush=True)
        except Exception as error:
            print(f"not done: {type(error).__name__}: {error}", flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
