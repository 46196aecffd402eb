// Instances of companion types, for server.js --companions: a robot with two axes, a laboratory device, a packing machine, a
// camera, a pH meter with its dictionary entry, a job order receiver; and what is wrong: a robot without a safety state's members,
// an axis of a vendor's subtype, and two folders that contain each other.
//
// Orders: {"member": "Robot/MotionDevices/Arm/Axes/Axis_1/ParameterSet/ActualPosition", "value": 12.5} sets one by its path.

const { AttributeIds, DataType, EUInformation, LocalizedText, Variant, VariantArrayType, makeEUInformation, nodesets } = require("node-opcua");

const files = [
    nodesets.standard, nodesets.di, nodesets.ia, nodesets.amb, nodesets.machinery, nodesets.lads, nodesets.robotics, nodesets.packML,
    nodesets.irdi, nodesets.padim, nodesets.machineVision, nodesets.isa95JobControl,
];
const UA = "http://opcfoundation.org/UA/";

function install(addressSpace, namespace, shifted) {
    const plant = namespace.addFolder("ObjectsFolder", { browseName: "Cells" });
    if (shifted) for (let i = 0; i < 50; i++) namespace.addFolder(plant, { browseName: `Before${i}` });  // other numbers for all that follows
    const type = (uri, name) => {
        const found = addressSpace.findObjectType(name, addressSpace.getNamespaceIndex(uri));
        if (!found) throw new Error(`no type ${name} in ${uri}`);
        return found;
    };
    const add = (parent, uri, typeName, browseName, optionals = []) =>
        type(uri, typeName).instantiate({ namespace, browseName, componentOf: parent, optionals });
    const child = (node, path) => path.split("/").reduce((at, name) => {
        const next = at.getChildByName(name) || at.getFolderElementByName?.(name);
        if (!next) throw new Error(`${at.browseName} has no ${name}`);
        return next;
    }, node);
    const set = (node, path, dataType, value) => {
        child(node, path).setValueFromSource({ dataType: DataType[dataType], value });
    };
    const unit = (node, path, symbol, text) =>
        child(node, `${path}/EngineeringUnits`).setValueFromSource({ dataType: DataType.ExtensionObject, value: makeEUInformation(symbol, text, text) });
    const about = (node, manufacturer, model, serial) => {
        set(node, "Manufacturer", "LocalizedText", new LocalizedText({ text: manufacturer }));
        set(node, "Model", "LocalizedText", new LocalizedText({ text: model }));
        set(node, "SerialNumber", "String", serial);
    };

    // Robotics, OPC 40010-1
    const robotics = `${UA}Robotics/`;
    const robot = add(plant, robotics, "MotionDeviceSystemType", "Robot");
    const arm = add(child(robot, "MotionDevices"), robotics, "MotionDeviceType", "Arm", ["ParameterSet.InControl", "ParameterSet.OnPath"]);
    about(arm, "Arms & Co", "A6", "S-4711");
    const vendor = namespace.addObjectType({ browseName: "VendorAxisType", subtypeOf: type(robotics, "AxisType") });
    for (const name of ["Axis_1", "Axis_2"]) {
        const made = name === "Axis_2" ? vendor : type(robotics, "AxisType");
        const axis = made.instantiate({ namespace, browseName: name, componentOf: child(arm, "Axes"), optionals: ["ParameterSet.ActualSpeed"] });
        unit(axis, "ParameterSet/ActualPosition", "DD", "deg");
        unit(axis, "ParameterSet/ActualSpeed", name === "Axis_1" ? "E96" : "XXX", name === "Axis_1" ? "" : "furlong");
        set(axis, "ParameterSet/ActualPosition", "Double", 12.5);
    }
    const motor = add(add(child(arm, "PowerTrains"), robotics, "PowerTrainType", "Train_1"), robotics, "MotorType", "Motor");
    unit(motor, "ParameterSet/MotorTemperature", "CEL", "");
    const controller = add(child(robot, "Controllers"), robotics, "ControllerType", "Cabinet", ["ParameterSet", "ParameterSet.Temperature", "SystemOperation"]);
    about(controller, "Arms & Co", "C5", "S-4712");
    add(child(controller, "TaskControls"), robotics, "TaskControlType", "Task");
    const safety = add(child(robot, "SafetyStates"), robotics, "SafetyStateType", "Safety");
    set(safety, "ParameterSet/OperationalMode", "Int32", 2);
    const broken = add(child(robot, "SafetyStates"), robotics, "SafetyStateType", "Broken");
    addressSpace.deleteNode(child(broken, "ParameterSet/EmergencyStop"));

    // LADS, OPC 30500-1
    const lads = `${UA}LADS/`;
    const lab = add(plant, lads, "LADSDeviceType", "Incubator", ["DeviceHealth"]);
    about(lab, "Lab Inc", "I-1", "L-9");
    const unitOfLab = add(child(lab, "FunctionalUnitSet"), lads, "FunctionalUnitType", "Chamber", ["FunctionSet", "ProgramManager"]);
    const functions = child(unitOfLab, "FunctionSet");
    const sensor = add(functions, lads, "AnalogScalarSensorFunctionType", "Humidity");
    set(sensor, "SensorValue", "Double", 55);
    add(functions, lads, "AnalogControlFunctionType", "Heater");
    add(functions, lads, "MultiStateDiscreteSensorFunctionType", "Door");
    set(functions, "Door/SensorValue", "UInt32", 1);
    child(functions, "Door/SensorValue/EnumStrings").setValueFromSource({
        dataType: DataType.LocalizedText, arrayType: VariantArrayType.Array, value: ["closed", "open"].map((text) => new LocalizedText({ text })),
    });

    // PackML, OPC 30050
    const packer = add(plant, `${UA}PackML/`, "PackMLBaseObjectType", "Packer");
    for (const name of ["Admin", "Status"]) {
        if (!packer.getChildByName(name)) add(packer, `${UA}PackML/`, `PackML${name}ObjectType`, name, name === "Admin" ? ["AccTimeSinceReset", "MachDesignSpeed"] : ["StateRequested"]);
    }
    set(packer, "Status/CurMachSpeed", "Float", 120);

    // PA-DIM, OPC 30081
    const padim = `${UA}PADIM/`;
    const meter = add(plant, padim, "PhMeterType", "pH-1", ["SignalSet"]);
    about(meter, "Probes", "P-7", "P-0815");
    set(meter, "DeviceHealth", "Int32", 4);
    const signals = meter.getChildByName("SignalSet");
    const acid = add(signals, padim, "PhSignalType", "Acidity");
    const analog = child(acid, "AnalogSignal");
    analog.setValueFromSource({ dataType: DataType.Float, value: 7.2 });
    child(acid, "SignalTag").setValueFromSource({ dataType: DataType.String, value: "QT-101" });
    child(analog, "EngineeringUnits").setValueFromSource({ dataType: DataType.ExtensionObject, value: makeEUInformation("Q30", "pH", "pH") });
    const entry = addressSpace.getNamespace(`${UA}Dictionary/IRDI`).addObject({
        browseName: "0112/2///61987#ABA563#001", typeDefinition: addressSpace.findObjectType("IrdiDictionaryEntryType"),
    });
    analog.addReference({ referenceType: "HasDictionaryEntry", nodeId: entry });

    // Machine Vision, OPC 40100-1
    add(plant, `${UA}MachineVision`, "VisionSystemType", "Camera", ["DiagnosticLevel", "SafetyStateManagement"]);

    // ISA-95 Job Control, OPC 10031-4
    add(plant, `${UA}ISA95-JOBCONTROL_V2/`, "ISA95JobOrderReceiverObjectType", "Jobs");

    // what is wrong
    const round = namespace.addFolder(plant, { browseName: "Round" });
    const back = namespace.addFolder(round, { browseName: "Back" });
    back.addReference({ referenceType: "Organizes", nodeId: round });
    namespace.addObject({ organizedBy: plant, browseName: "Bare", typeDefinition: type(robotics, "AxisType") });

    return (order) => {
        if (order.member === undefined) return null;
        const node = child(plant, order.member);
        const { dataType } = node.readAttribute(null, AttributeIds.Value).value;
        node.setValueFromSource(new Variant({ dataType, value: order.value }));
        return { set: order.member };
    };
}

module.exports = { install, nodesets: files };
