// Decodes Sparkplug payloads, a line of hex digits each, with Eclipse Tahu's own library, and prints them as JSON: "whole" as the
// library gives it, which needs datatypes, as births have them; "raw" the fields that are set.
const readline = require("readline");
const Long = require("long");
const sparkplug = require("sparkplug-payload").get("spBv1.0");
const { Payload } = require("sparkplug-payload/lib/sparkplugPayloadProto").org.eclipse.tahu.protobuf;

function plain(key, value) {
  if (Long.isLong(value)) return Number(value.toString());
  if (value && value.type === "Buffer") return Buffer.from(value.data).toString("hex");
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const data = Buffer.from(line, "hex");
  const raw = Payload.toObject(Payload.decode(data), { longs: String, bytes: Buffer });
  console.log(JSON.stringify({ whole: sparkplug.decodePayload(data), raw }, plain));
});
