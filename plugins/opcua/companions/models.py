"""What the companion models declare: for each type the members that are worth a tag.

A type counts for its subtypes too. What has several objects of a type below it, such as axes, does not mention them: each is
found by its own type. Members are browse names, with "/" between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Members:
    """Of one type, by their names, with blanks between them."""

    needed: str = ""
    """The standard has each instance have them."""
    optional: str = ""


@dataclass(frozen=True, slots=True)
class Companion:
    """One model of the standards."""

    name: str
    uris: tuple[str, ...]
    """Namespaces of its versions, without the last "/"."""
    types: Mapping[str, Members]
    """By the browse name of the type."""


_UA = "http://opcfoundation.org/UA"

ROBOTICS = Companion(  # OPC 40010-1
    "Robotics",
    (f"{_UA}/Robotics",),
    {
        "MotionDeviceSystemType": Members(),
        "MotionDeviceType": Members(
            "ParameterSet/SpeedOverride", "ParameterSet/InControl ParameterSet/OnPath FlangeLoad/Mass"
        ),
        "AxisType": Members(
            "ParameterSet/ActualPosition",
            "ParameterSet/ActualSpeed ParameterSet/ActualAcceleration AdditionalLoad/Mass MotionProfile",
        ),
        "MotorType": Members(
            "ParameterSet/MotorTemperature", "ParameterSet/BrakeReleased ParameterSet/EffectiveLoadRate"
        ),
        "SafetyStateType": Members(
            "ParameterSet/EmergencyStop ParameterSet/OperationalMode ParameterSet/ProtectiveStop"
        ),
        "EmergencyStopFunctionType": Members("Active"),
        "ProtectiveStopFunctionType": Members("Active Enabled"),
        "ControllerType": Members(
            "",
            "ParameterSet/Temperature ParameterSet/InputVoltage ParameterSet/CabinetFanSpeed ParameterSet/CPUFanSpeed "
            "ParameterSet/TotalEnergyConsumption ParameterSet/TotalPowerOnTime ParameterSet/StartUpTime "
            "ParameterSet/UpsState CurrentUser/Level",
        ),
        "TaskControlType": Members(
            "ParameterSet/TaskProgramLoaded ParameterSet/TaskProgramName", "ParameterSet/ExecutionMode"
        ),
    },
)

LADS = Companion(  # OPC 30500-1
    "LADS",
    (f"{_UA}/LADS",),
    {
        "LADSDeviceType": Members(),
        "LADSComponentType": Members(),
        "FunctionalUnitType": Members(),
        "FunctionType": Members("IsEnabled"),
        "AnalogSensorFunctionType": Members("SensorValue", "RawValue"),
        "DiscreteSensorFunctionType": Members("", "SensorValue"),
        "AnalogControlFunctionType": Members("CurrentValue TargetValue"),
        "AnalogControlFunctionWithTotalizerType": Members("TotalizedValue"),
        "DiscreteControlFunctionType": Members("", "CurrentValue TargetValue"),
        "TimerControlFunctionType": Members("", "CurrentValue TargetValue DifferenceValue"),
        "ActiveProgramType": Members(
            "",
            "CurrentStepName CurrentStepNumber CurrentRuntime CurrentStepRuntime CurrentPauseTime EstimatedRuntime "
            "DeviceProgramRunId",
        ),
    },
)

PACKML = Companion(  # OPC 30050
    "PackML",
    (f"{_UA}/PackML",),
    {
        "PackMLBaseObjectType": Members("", "TagID"),
        "PackMLStatusObjectType": Members(
            "MachSpeed CurMachSpeed EquipmentBlocked EquipmentStarved UnitModeCurrent",
            "MaterialInterlock MaterialInterlocked StateRequested StateChangeInProcess UnitModeRequested "
            "UnitModeChangeInProcess StateCurrent",
        ),
        "PackMLAdminObjectType": Members(
            "",
            "AccTimeSinceReset MachDesignSpeed ModeCurrentTime ModeCumulativeTime StateCurrentTime StateCumulativeTime "
            "ProdConsumedCount ProdProcessedCount ProdDefectiveCount StopReason Alarm Warning",
        ),
    },
)

MACHINE_VISION = Companion(  # OPC 40100-1
    "Machine Vision",
    (f"{_UA}/MachineVision",),
    {
        "VisionSystemType": Members("", "DiagnosticLevel SystemState"),
        "SafetyStateManagementType": Members("VisionSafetyTriggered VisionSafetyInformation"),
        "ResultType": Members("ResultState IsPartial ResultId JobId CreationTime", "ResultContent IsSimulated"),
    },
)

PA_DIM = Companion(  # OPC 30081
    "PA-DIM",
    (f"{_UA}/PADIM",),
    {
        "PADIMType": Members("DeviceHealth", "DateOfLastChange"),
        "SignalType": Members("", "SignalTag"),
        "AnalogSignalType": Members("AnalogSignal"),
        "DiscreteSignalType": Members("DiscreteSignal"),
        "TwoStateDiscreteSignalType": Members("TwoStateDiscreteSignal"),
        "MultiStateDiscreteSignalType": Members("MultiStateDiscreteSignal"),
        "ControlSignalType": Members("ControlSignal", "ControlSignal/Setpoint"),
        "TwoStateDiscreteControlSignalType": Members("ControlSignal", "ControlSignal/Setpoint"),
        "MultiStateDiscreteControlSignalType": Members("ControlSignal", "ControlSignal/Setpoint"),
        "GeneralDeviceConditionSetType": Members(
            "", "InternalTemperature ResidualLife OperationDuration PowerOnDuration"
        ),
    },
)

JOB_CONTROL = Companion(  # OPC 10031-4
    "ISA-95 Job Control",
    (f"{_UA}/ISA95-JOBCONTROL_V2", f"{_UA}/ISA95-JOBCONTROL"),
    {
        "ISA95JobOrderReceiverObjectType": Members("JobOrderList", "MaxDownloadableJobOrders"),
        "ISA95JobResponseProviderObjectType": Members("", "JobOrderResponseList"),
    },
)

MACHINERY = Companion(  # OPC 40001-1
    "Machinery",
    (f"{_UA}/Machinery",),
    {
        "MachineryItemState_StateMachineType": Members("CurrentState"),
        "MachineryOperationModeStateMachineType": Members("CurrentState"),
        "MachineryOperationCounterType": Members("", "OperationDuration PowerOnDuration OperationCycleCounter"),
    },
)

COMPANIONS = (ROBOTICS, LADS, PACKML, MACHINE_VISION, PA_DIM, JOB_CONTROL, MACHINERY)

WITHIN = (
    Companion(  # what is taken of any object within one of those: DI (OPC 10000-100), state machines (OPC 10000-16)
        "",
        (f"{_UA}/DI", _UA),
        {
            "TopologyElementType": Members("", "DeviceHealth"),
            "StateMachineType": Members("CurrentState"),
        },
    )
)

NAMEPLATE = ("Manufacturer", "Model", "SerialNumber")
"""What an object, or the group `Identification` in it, says of itself (OPC 10000-100 §4.5)."""
