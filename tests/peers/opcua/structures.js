// Variables of types that the server defines itself (types.xml), for server.js --structures: Recipe, Recipes, Mode, and the
// arrays Temps, which can be written, and Matrix.

const path = require("node:path");
const { DataType, Range, VariantArrayType, coerceLocalizedText, nodesets } = require("node-opcua");

const TYPES = "http://peer.example/types";

function recipe(addressSpace) {
    const index = addressSpace.getNamespaceIndex(TYPES);
    return addressSpace.constructExtensionObject(addressSpace.findDataType("Recipe", index), {
        temperature: 66.5, count: [0x80000000, 0], name: coerceLocalizedText("grün"),
        zones: [{ setpoint: 21.5, mode: 1, note: "hot", limit: { number: 90 } }, { setpoint: 8, mode: 2, limit: { text: "none" } }],
        started: new Date("2024-02-29T12:00:00Z"), range: new Range({ low: 0, high: 1 }), running: true,
    });
}

function install(addressSpace, namespace, variables) {
    const index = addressSpace.getNamespaceIndex(TYPES);
    const add = (name, dataType, variant, extra = {}) => {
        variables[name] = namespace.addVariable({
            organizedBy: "ObjectsFolder", browseName: name, nodeId: `s=${name}`, dataType, accessLevel: "CurrentRead | CurrentWrite", ...extra,
        });
        variables[name].setValueFromSource(variant);
    };
    const array = (dimensions) => ({ valueRank: dimensions.length, arrayDimensions: dimensions });
    const value = recipe(addressSpace);
    add("Recipe", `ns=${index};i=4`, { dataType: DataType.ExtensionObject, value });
    add("Recipes", `ns=${index};i=4`, { dataType: DataType.ExtensionObject, arrayType: VariantArrayType.Array, value: [value, recipe(addressSpace)] }, array([2]));
    add("Mode", `ns=${index};i=1`, { dataType: DataType.Int32, value: 1 });
    add("Temps", "Double", { dataType: DataType.Double, arrayType: VariantArrayType.Array, value: [20.5, 21.5, 22.5, 23.5] }, array([4]));
    add("Matrix", "Int32", { dataType: DataType.Int32, arrayType: VariantArrayType.Matrix, dimensions: [2, 3], value: [1, 2, 3, 4, 5, 6] }, array([2, 3]));
}

module.exports = { install, nodesets: [nodesets.standard, path.join(__dirname, "types.xml")] };
