// An OPC UA server for the tests, built on node-opcua: one variable of each scalar type, a counter, and some odd ones.
//
//   node server.js --port N --pki DIR [--security None,Basic256Sha256] [--user name:password] [--tick ms] [--limit n]
//                  [--shift] [--distrust] [--log FILE] [--many n] [--clocks n] [--history] [--alarms] [--structures] [--companions] [--audit]
//
// --limit bounds the nodes in one request, --shift registers another namespace first, --distrust trusts no certificate,
// --history keeps what Count was, --many adds the variables M0, M1, … of five types, in folders of 500, all of which change with
// every tick,
// --clocks adds P0, P1, …, whose value is tenths of a second since 1970, times a hundred, and their own number;
// it takes a thousand sessions too.
// --log writes a line for each new Count: the number, and its source time in ms since 1970.
//
// Prints one line {"ready": port, "certificate": file} when it serves. Each line on standard input sets a variable:
// {"name": "Double", "value": 1.5, "status": "Good", "time": 1700000000000}; the answer is a line {"set": "Double"}.
// --audit raises the audit events of a server for what its clients do; --alarms adds what alarms.js says, --structures what structures.js says, --companions what companions.js says. {"add": "Late"} adds a variable. {"sessions": true} is answered with the number of open sessions and subscriptions.

const fs = require("node:fs");
const readline = require("node:readline");
const { parseArgs } = require("node:util");

globalThis.crypto ??= require("node:crypto").webcrypto; // node 18, Debian 12's, has it, and hides it
const {
    DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, Range, SecurityPolicy,
    StatusCodes, Variant, VariantArrayType, coerceLocalizedText, coerceNodeId, standardUnits,
} = require("node-opcua");

const alarms = require("./alarms");
const companions = require("./companions");
const structures = require("./structures");

const { values: options } = parseArgs({
    options: {
        port: { type: "string" }, pki: { type: "string" }, security: { type: "string", default: "None" },
        user: { type: "string" }, shift: { type: "boolean" }, distrust: { type: "boolean" }, tick: { type: "string", default: "100" }, log: { type: "string" },
        history: { type: "boolean" }, alarms: { type: "boolean" }, audit: { type: "boolean" }, structures: { type: "boolean" }, companions: { type: "boolean" }, limit: { type: "string", default: "0" }, many: { type: "string", default: "0" },
        clocks: { type: "string", default: "0" },
    },
});

const NAMESPACE = "http://peer.example/plant";
const WHEN = new Date("2024-02-29T12:00:00.123Z");
const SCALARS = {
    Boolean: true, SByte: -8, Byte: 200, Int16: -3000, UInt16: 60000, Int32: -2000000000, UInt32: 4000000000,
    Int64: [0xfff0bdc0, 0x00000000], UInt64: [0x7fffffff, 0xffffffff], Float: 1.5, Double: 2.25, String: "grün",
    DateTime: WHEN, ByteString: Buffer.from([0, 1, 255]), Guid: "72962B91-FA75-4AE6-8D28-B404DC7DAF63",
    LocalizedText: coerceLocalizedText("offen"), StatusCode: StatusCodes.BadOutOfRange,
};

async function certificates(folder) {
    const manager = new OPCUACertificateManager({ automaticallyAcceptUnknownCertificate: !options.distrust, rootFolder: folder });
    await manager.initialize();
    return manager;
}

function addVariables(server) {
    if (options.shift) server.engine.addressSpace.registerNamespace("http://peer.example/other");
    const namespace = server.engine.addressSpace.registerNamespace(NAMESPACE);
    const folder = namespace.addFolder("ObjectsFolder", { browseName: "Plant" });
    const variables = {};
    const add = (name, dataType, value, extra = {}) => {
        variables[name] = namespace.addVariable({
            componentOf: folder, browseName: name, nodeId: `s=${name}`, dataType, accessLevel: "CurrentRead | CurrentWrite", ...extra,
        });
        variables[name].setValueFromSource({ dataType: DataType[dataType], arrayType: VariantArrayType.Scalar, value });
        return variables[name];
    };
    for (const [type, value] of Object.entries(SCALARS)) add(type, type, value);
    add("Count", "UInt32", 0, { minimumSamplingInterval: 0 });  // each new number is sampled, also by a server that was held up
    add("Setpoint", "Double", 10);
    add("Switch", "Boolean", false);
    add("Words", "String", "a");
    add("ReadOnly", "Double", 1, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
    variables.Structure = namespace.addVariable({ componentOf: folder, browseName: "Structure", nodeId: "s=Structure", dataType: "Range" });
    variables.Structure.setValueFromSource({ dataType: DataType.ExtensionObject, value: new Range({ low: 0, high: 1 }) });
    variables.Array = namespace.addVariable({
        componentOf: folder, browseName: "Array", nodeId: "s=Array", dataType: "Double", valueRank: 1, arrayDimensions: [3],
    });
    variables.Array.setValueFromSource({ dataType: DataType.Double, arrayType: VariantArrayType.Array, value: [1, 2, 3] });
    variables.State = namespace.addVariable({
        componentOf: folder, browseName: "State", nodeId: "s=State", dataType: coerceNodeId("i=852"),
    });
    variables.State.setValueFromSource({ dataType: DataType.Int32, value: 3 });
    variables.Temperature = namespace.addAnalogDataItem({
        componentOf: folder, browseName: "Temperature", nodeId: "s=Temperature", dataType: "Double",
        description: "inlet air", engineeringUnitsRange: { low: 0, high: 200 }, engineeringUnits: standardUnits.degree_celsius,
        value: { dataType: DataType.Double, value: 21.5 },
    });
    const obeyCompanions = options.companions ? companions.install(server.engine.addressSpace, namespace, options.shift) : () => null;
    const obeyAlarms = options.alarms ? alarms.install(server.engine.addressSpace, namespace, variables) : () => null;
    variables.obey = (order) => obeyCompanions(order) || obeyAlarms(order);
    if (options.structures) structures.install(server.engine.addressSpace, namespace, variables);
    variables.add = (name) => add(name, "Double", 1);
    return variables;
}

function startCounter(count, interval) {
    let n = 0;
    setInterval(() => {
        const now = new Date();
        count.setValueFromSource({ dataType: DataType.UInt32, value: ++n }, StatusCodes.Good, now);
        if (options.log) fs.appendFileSync(options.log, `${n} ${now.getTime()}\n`);
    }, interval);
}

function addMany(server, count, interval) {
    const namespace = server.engine.addressSpace.getNamespace(NAMESPACE);
    const above = namespace.addFolder("ObjectsFolder", { browseName: "Many" });
    const types = ["Double", "Float", "Int32", "UInt16", "Int16"];
    const many = [];
    let folder = above;
    for (let i = 0; i < count; i++) {
        if (i % 500 === 0) folder = namespace.addFolder(above, { browseName: `Part${i / 500}` });
        const dataType = types[i % types.length];
        const variable = namespace.addVariable({ componentOf: folder, browseName: `M${i}`, nodeId: `s=M${i}`, dataType, minimumSamplingInterval: 0 });
        variable.setValueFromSource({ dataType: DataType[dataType], value: 0 });
        many.push([variable, DataType[dataType]]);
    }
    let turn = 0;
    if (count) setInterval(() => {
        turn = (turn + 1) % 30000;
        for (const [variable, dataType] of many) variable.setValueFromSource({ dataType, value: turn });
    }, interval);
}

function addClocks(server, count, interval) {
    const namespace = server.engine.addressSpace.getNamespace(NAMESPACE);
    const clocks = [];
    for (let i = 0; i < count; i++) {
        clocks.push(namespace.addVariable({
            organizedBy: "ObjectsFolder", browseName: `P${i}`, nodeId: `s=P${i}`, dataType: "Double", minimumSamplingInterval: 0,
        }));
    }
    const tell = () => {
        const now = new Date();
        const tenths = Math.floor(now.getTime() / 100);
        clocks.forEach((clock, i) => clock.setValueFromSource({ dataType: DataType.Double, value: tenths * 100 + i }, StatusCodes.Good, now));
    };
    tell();
    if (count) setInterval(tell, interval);
}

function answer(server, variables, line) {
    const order = JSON.parse(line);
    if (order.sessions) {
        const { currentSessionCount, currentSubscriptionCount } = server.engine;
        return { sessions: currentSessionCount, subscriptions: currentSubscriptionCount };
    }
    const answered = variables.obey(order);
    if (answered) return answered;
    if (order.add) return { set: variables.add(order.add).browseName.name };
    const variable = variables[order.name];
    const { dataType } = variable.readValue().value;
    const value = new Variant({ arrayType: VariantArrayType.Scalar, dataType: order.type ? DataType[order.type] : dataType, value: order.value });
    const status = StatusCodes[order.status || "Good"];
    variable.setValueFromSource(value, status, order.time ? new Date(order.time) : new Date());
    return { set: order.name };
}

async function main() {
    const manager = await certificates(options.pki);
    const policies = options.security.split(",").map((name) => SecurityPolicy[name]);
    const secured = policies.some((policy) => policy !== SecurityPolicy.None);
    const modes = secured ? [MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt] : [];
    if (policies.includes(SecurityPolicy.None)) modes.push(MessageSecurityMode.None);
    const [user, password] = (options.user || ":").split(":");
    const limit = Number(options.limit);
    const server = new OPCUAServer({
        port: Number(options.port), hostname: "127.0.0.1", host: "127.0.0.1", securityPolicies: policies, securityModes: modes,
        serverCertificateManager: manager, userCertificateManager: manager,
        allowAnonymous: !options.user, userManager: { isValidUser: (name, word) => name === user && word === password },
        serverCapabilities: {
            ...(limit ? { operationLimits: { maxNodesPerRead: limit, maxMonitoredItemsPerCall: limit } } : {}),
            ...(Number(options.clocks) ? { maxSessions: 1000, maxSubscriptions: 5000 } : {}),
        },
        ...(Number(options.clocks) ? { maxConnectionsPerEndpoint: 1000 } : {}),
        isAuditing: options.audit,
        serverInfo: { applicationUri: "urn:peer.example:plant" },
        ...(options.structures ? { nodeset_filename: structures.nodesets } : {}),
        ...(options.companions ? { nodeset_filename: companions.nodesets } : {}),
    });
    await server.initialize();
    const variables = addVariables(server);
    await server.start();
    if (options.history) server.engine.addressSpace.installHistoricalDataNode(variables.Count, { maxOnlineValues: 10000 });
    addMany(server, Number(options.many), Number(options.tick));
    addClocks(server, Number(options.clocks), Number(options.tick));
    startCounter(variables.Count, Number(options.tick));
    console.log(JSON.stringify({ ready: Number(options.port), certificate: server.certificateFile }));
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => console.log(JSON.stringify(answer(server, variables, line))));
    lines.on("close", () => server.shutdown(0).finally(() => process.exit(0)));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
