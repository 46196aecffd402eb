// A tank with alarms, events and methods, for server.js --alarms.
//
// Its variables Level, L1 to L9 and Pressure raise the exclusive limit alarms LevelAlarm, … above 0.8 (and 0.9) and below 0.2;
// that of Pressure wants to be confirmed too. Orders: {"event": "text", "severity": 500, "count": 1} raises events,
// {"acknowledge": "LevelAlarm", "comment": "…"} acknowledges as an operator there would, {"disable": "LevelAlarm"} does that;
// {"audit": "AuditWriteUpdateEventType", "user": "anna", "done": true} raises an audit event of this type, or of the vendor's subtype of
// AuditEventType, "VendorAuditEventType".
// The object's methods: Fill(volume: Double, times: UInt16) gives total, Name(text: String[]) gives name, Jam() refuses.

const { DataType, StatusCodes, Variant, VariantArrayType } = require("node-opcua");

const LIMITS = { highHighLimit: 0.9, highLimit: 0.8, lowLimit: 0.2, lowLowLimit: 0.1 };

function argument(name, dataType, valueRank = -1) {
    return { name, dataType, valueRank, ...(valueRank > 0 ? { arrayDimensions: [0] } : {}) };
}

function addMethods(namespace, tank) {
    const add = (name, inputArguments, outputArguments, call) => {
        const method = namespace.addMethod(tank, { browseName: name, nodeId: `s=Tank.${name}`, inputArguments, outputArguments });
        method.bindMethod((given, context, done) => done(null, call(...given.map((each) => each.value))));
    };
    const good = (dataType, value) => ({ statusCode: StatusCodes.Good, outputArguments: [{ dataType, value }] });
    add("Fill", [argument("volume", DataType.Double), argument("times", DataType.UInt16)], [argument("total", DataType.Double)],
        (volume, times) => good(DataType.Double, volume * times));
    add("Name", [argument("text", DataType.String, 1)], [argument("name", DataType.String)],
        (text) => good(DataType.String, text.join(" ")));
    add("Jam", [], [], () => ({ statusCode: StatusCodes.BadInvalidState, outputArguments: [] }));
    add("Hidden", [], [], () => ({ statusCode: StatusCodes.Good, outputArguments: [] }));
}

// Adds the tank; its variables are set like all others. Returns what answers the orders above, and null to others.
exports.install = (addressSpace, namespace, variables) => {
    addressSpace.installAlarmsAndConditionsService();
    const tank = namespace.addObject({
        browseName: "Tank", nodeId: "s=Tank", organizedBy: "ObjectsFolder", eventNotifier: 1, notifierOf: addressSpace.rootFolder.objects.server,
    });
    const alarms = {};
    const names = ["Level", "Pressure", ...Array.from({ length: 9 }, (_, i) => `L${i + 1}`)];
    for (const name of names) {
        const source = namespace.addVariable({
            browseName: name, nodeId: `s=${name}`, componentOf: tank, dataType: "Double", eventSourceOf: tank, accessLevel: "CurrentRead | CurrentWrite",
        });
        source.setValueFromSource({ dataType: DataType.Double, value: 0.5 });
        variables[name] = source;
        alarms[`${name}Alarm`] = namespace.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
            browseName: `${name}Alarm`, nodeId: `s=${name}Alarm`, componentOf: tank, conditionName: `${name}Alarm`, conditionSource: source,
            inputNode: source, optionals: name === "Pressure" ? ["ConfirmedState", "Confirm"] : [], ...LIMITS,
        });
    }
    const vendorAudit = namespace.addEventType({ browseName: "VendorAuditEventType", subtypeOf: "AuditEventType" });
    addMethods(namespace, tank);
    return (order) => {
        if (order.event !== undefined) {
            for (let i = 0; i < (order.count || 1); i++) {
                tank.raiseEvent("BaseEventType", {
                    message: { dataType: DataType.LocalizedText, value: { text: `${order.event}${order.count ? ` ${i}` : ""}` } },
                    severity: { dataType: DataType.UInt16, value: order.severity || 100 },
                });
            }
            return { set: order.event };
        }
        if (order.audit !== undefined) {
            const variant = (dataType, value) => ({ dataType: DataType[dataType], value });
            addressSpace.rootFolder.objects.server.raiseEvent(order.audit === "VendorAuditEventType" ? vendorAudit : order.audit, {
                message: variant("LocalizedText", { text: order.message || "audited" }), severity: variant("UInt16", 200),
                actionTimeStamp: variant("DateTime", new Date(1_700_000_000_000)), status: variant("Boolean", order.done !== false),
                serverId: variant("String", "urn:peer"), clientUserId: variant("String", order.user || "anna"), clientAuditEntryId: variant("String", "entry 7"),
                ...(order.audit.includes("Write") ? {
                    attributeId: variant("UInt32", 13), indexRange: variant("String", ""), oldValue: variant("Double", 1.5), newValue: variant("Double", 2.5),
                } : {}),
                ...(order.audit.includes("Method") ? {
                    methodId: variant("NodeId", tank.getMethodByName("Fill").nodeId),
                    inputArguments: { dataType: DataType.Variant, arrayType: VariantArrayType.Array, value: [new Variant(variant("Double", 3)), new Variant(variant("UInt16", 2))] },
                } : {}),
            });
            return { set: order.audit };
        }
        if (order.acknowledge) {
            const alarm = alarms[order.acknowledge];
            const branch = alarm.currentBranch();
            branch.setClientUserId("operator");
            alarm._acknowledge_branch(branch.getEventId(), { text: order.comment || "" }, branch, "operator");
            return { set: order.acknowledge };
        }
        if (order.disable) {
            alarms[order.disable].setEnabledState(false);
            return { set: order.disable };
        }
        return null;
    };
};
