"""An OPC UA server for the tests, built on asyncua: the same options, variables and orders as `opcua/server.js`."""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.user_managers import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMESPACE = "http://peer.example/plant"
SCALARS: dict[str, Any] = {
    "Boolean": True,
    "SByte": -8,
    "Byte": 200,
    "Int16": -3000,
    "UInt16": 60000,
    "Int32": -2000000000,
    "UInt32": 4000000000,
    "Int64": -4294967296000000,
    "UInt64": 9223372036854775807,
    "Float": 1.5,
    "Double": 2.25,
    "String": "grün",
    "DateTime": datetime(2024, 2, 29, 12, 0, 0, 123000, UTC),
    "ByteString": b"\x00\x01\xff",
    "LocalizedText": ua.LocalizedText("offen"),
    "StatusCode": ua.StatusCode(ua.StatusCodes.BadOutOfRange),
}
POLICIES = {
    ("None", ""): ua.SecurityPolicyType.NoSecurity,
    ("Basic256Sha256", "Sign"): ua.SecurityPolicyType.Basic256Sha256_Sign,
    ("Basic256Sha256", "SignAndEncrypt"): ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ("Aes128_Sha256_RsaOaep", "Sign"): ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ("Aes256_Sha256_RsaPss", "Sign"): ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"): ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ("Aes256_Sha256_RsaPss", "SignAndEncrypt"): ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}


class OneUser:
    def __init__(self, name: str, password: str) -> None:
        self.name, self.password = name, password

    def get_user(
        self, iserver: object, username: str | None = None, password: str | None = None, certificate: object = None
    ) -> User | None:
        if username is None:  # the server has checked the signature of the user's certificate
            return User(role=UserRole.User, name="by certificate")
        good = (username, password) == (self.name, self.password)
        return User(role=UserRole.User, name=username) if good else None


async def secure(server: Server, names: list[str], folder: Path) -> None:
    policies = [policy for (name, _), policy in POLICIES.items() if name in names]
    server.set_security_policy(policies)
    if names == ["None"]:
        return
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "key.pem", folder / "certificate.der"
    await setup_self_signed_certificate(
        key, certificate, "urn:peer.example:plant", "localhost", [ExtendedKeyUsageOID.SERVER_AUTH], {}
    )
    await server.load_certificate(certificate)
    await server.load_private_key(key)


async def add_variables(server: Server, structures: bool) -> dict[str, Any]:
    index = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_folder(ua.NodeId("Plant", index), ua.QualifiedName("Plant", index))
    nodes = {}

    async def add(name: str, value: object, kind: ua.VariantType | None = None) -> Any:
        node = await folder.add_variable(ua.NodeId(name, index), ua.QualifiedName(name, index), value, kind)
        nodes[name] = node
        return node

    for name, value in SCALARS.items():
        await add(name, value, getattr(ua.VariantType, name))
    await add("Count", 0, ua.VariantType.UInt32)
    await add("Array", [1.0, 2.0, 3.0])
    await add("Structure", ua.Range(0.0, 1.0))
    await add("ReadOnly", 1.0)
    for name, value in (("Setpoint", 10.0), ("Switch", False), ("Words", "a")):
        await (await add(name, value)).set_writable()
    temperature = await add("Temperature", 21.5)
    await temperature.write_attribute(
        ua.AttributeIds.Description,
        ua.DataValue(ua.Variant(ua.LocalizedText("inlet air"), ua.VariantType.LocalizedText)),
    )
    unit = ua.EUInformation(DisplayName=ua.LocalizedText("°C"))
    await temperature.add_property(ua.NodeId("Temperature.Unit", index), ua.QualifiedName("EngineeringUnits", 0), unit)
    if structures:
        await add_structures(server, index, add)
    return nodes


async def add_structures(server: Server, index: int, add: Any) -> None:
    """A recipe with zones, an enumeration, an optional member and a union; and a structure that is not explained."""
    mode = await new_enum(server, index, "Mode", ["Idle", "Heating", "Cooling"])
    limit, _ = await new_struct(
        server,
        index,
        "Limit",
        [new_struct_field("number", ua.VariantType.Int16), new_struct_field("text", ua.VariantType.String)],
        is_union=True,
    )
    zone, _ = await new_struct(
        server,
        index,
        "Zone",
        [
            new_struct_field("setpoint", ua.VariantType.Float),
            new_struct_field("mode", mode),
            new_struct_field("note", ua.VariantType.String, optional=True),
            new_struct_field("limit", limit),
        ],
    )
    await new_struct(
        server,
        index,
        "Recipe",
        [
            new_struct_field("temperature", ua.VariantType.Double),
            new_struct_field("count", ua.VariantType.UInt64),
            new_struct_field("name", ua.VariantType.LocalizedText),
            new_struct_field("zones", zone, array=True),
            new_struct_field("started", ua.NodeId(ua.ObjectIds.UtcTime)),
            new_struct_field("range", ua.NodeId(ua.ObjectIds.Range)),
            new_struct_field("running", ua.VariantType.Boolean),
        ],
    )
    await add("Matrix", ua.Variant([[1, 2, 3], [4, 5, 6]], ua.VariantType.Int32))
    await add("Temps", [20.5, 21.5, 22.5, 23.5])
    secret, _ = await new_struct(server, index, "Secret", [new_struct_field("number", ua.VariantType.Int32)])
    types = await server.load_data_type_definitions()
    zones = [
        types["Zone"](setpoint=21.5, mode=types["Mode"](1), note="hot"),
        types["Zone"](setpoint=8.0, mode=types["Mode"](2)),
    ]
    zones[0].limit.number, zones[1].limit.text = 90, "none"
    started = datetime(2024, 2, 29, 12, 0, 0, 0, UTC)
    value = types["Recipe"](
        temperature=66.5,
        count=2**63,
        name=ua.LocalizedText("grün"),
        zones=zones,
        started=started,
        range=ua.Range(0.0, 1.0),
        running=True,
    )
    await add("Recipe", value)
    await add("Recipes", [value, value])
    await (await add("Mode", 1, ua.VariantType.Int32)).write_attribute(
        ua.AttributeIds.DataType, ua.DataValue(ua.Variant(mode.nodeid, ua.VariantType.NodeId))
    )
    await add("Secret", types["Secret"](7))
    await server.delete_nodes([secret])


async def count(node: Any, interval: float) -> None:
    number = 0
    while True:
        await asyncio.sleep(interval)
        number += 1
        now = datetime.now(UTC)
        await node.write_value(ua.DataValue(ua.Variant(number, ua.VariantType.UInt32), SourceTimestamp=now))


async def tell_the_time(server: Server, count: int, interval: float) -> None:
    """P0, P1 and so on: tenths of a second since 1970, times a hundred, and their own number."""
    index = await server.get_namespace_index(NAMESPACE)
    names = [f"P{number}" for number in range(count)]
    nodes = [
        await server.nodes.objects.add_variable(ua.NodeId(name, index), ua.QualifiedName(name, index), 0.0)
        for name in names
    ]
    while True:
        now = datetime.now(UTC)
        tenths = int(now.timestamp() * 10)
        for number, node in enumerate(nodes):
            value = ua.Variant(float(tenths * 100 + number), ua.VariantType.Double)
            await server.write_attribute_value(node.nodeid, ua.DataValue(value, SourceTimestamp=now))
        await asyncio.sleep(interval)


async def obey(server: Server, nodes: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    if "sessions" in order:
        subscriptions = server.iserver.subscription_service.subscriptions
        return {"sessions": len(server.iserver._external_sessions), "subscriptions": len(subscriptions)}
    if "add" in order:
        index = await server.get_namespace_index(NAMESPACE)
        name = ua.QualifiedName(order["add"], index)
        nodes[order["add"]] = await server.nodes.objects.add_variable(ua.NodeId(order["add"], index), name, 1.0)
        return {"set": order["add"]}
    node = nodes[order["name"]]
    kind = getattr(ua.VariantType, order["type"]) if "type" in order else await node.read_data_type_as_variant_type()
    time = datetime.fromtimestamp(order["time"] / 1000, UTC) if "time" in order else datetime.now(UTC)
    status = ua.StatusCode(getattr(ua.StatusCodes, order.get("status", "Good")))
    value = ua.DataValue(ua.Variant(order["value"], kind), StatusCode=status, SourceTimestamp=time)
    await server.write_attribute_value(node.nodeid, value)
    return {"set": order["name"]}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--pki", type=Path)
    parser.add_argument("--security", default="None")
    parser.add_argument("--user")
    parser.add_argument("--tick", type=float, default=100)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--shift", action="store_true")
    parser.add_argument("--history", action="store_true")
    parser.add_argument("--structures", action="store_true")
    parser.add_argument("--clocks", type=int, default=0)
    options = parser.parse_args()
    server = Server(user_manager=OneUser(*options.user.split(":")) if options.user else None)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options.port}/")
    await server.set_application_uri("urn:peer.example:plant")
    if options.user:
        server.set_identity_tokens([ua.UserNameIdentityToken, ua.X509IdentityToken])
    await secure(server, options.security.split(","), options.pki)
    if options.shift:
        await server.register_namespace("http://peer.example/other")
    nodes = await add_variables(server, options.structures)
    async with server:
        if options.history:
            await server.historize_node_data_change(nodes["Count"], None, 10_000)
        counting = asyncio.create_task(count(nodes["Count"], options.tick / 1000))
        telling = asyncio.create_task(tell_the_time(server, options.clocks, options.tick / 1000))
        certificate = options.pki / "certificate.der"
        print(json.dumps({"ready": options.port, "certificate": str(certificate)}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await obey(server, nodes, json.loads(line))), flush=True)
        counting.cancel()
        telling.cancel()


if __name__ == "__main__":
    asyncio.run(main())
