// ask.js PORT NAME…: what ads-client makes of a PLC, as JSON: values by the types that it uploads, its tables, a report.
const { Client } = require("ads-client");

const plain = (_, value) => (typeof value === "bigint" ? String(value) : value);

async function main() {
  const [port, ...names] = process.argv.slice(2);
  const client = new Client({
    targetAmsNetId: "5.80.201.232.1.1", targetAdsPort: 851, routerAddress: "127.0.0.1", routerTcpPort: Number(port),
    localAmsNetId: "127.0.0.1.1.1", localAdsPort: 32750, autoReconnect: false, hideConsoleWarnings: true,
    convertDatesToJavascript: false, objectifyEnumerations: false,
  });
  await client.connect();
  const values = {};
  for (const name of names) values[name] = (await client.readValue(name)).value;
  const symbols = Object.values(await client.getSymbols()).map((each) => [each.name, each.type, each.size]);
  const types = Object.values(await client.getDataTypes()).map((each) => [each.name, each.size, each.subItems.length]);
  const reported = await new Promise((done) =>
    client.subscribeValue("MAIN.nCount", (data) => done([data.value, data.timestamp.toISOString()])));
  await client.writeValue("MAIN.nCount", 1234);
  console.log(JSON.stringify({ values, symbols, types, reported }, plain));
  await client.disconnect();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
