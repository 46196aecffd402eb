"""Values with a schema: what registries are told and say, and that foreign readers understand what is written."""

import asyncio
import contextlib
import importlib
import io
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from gateway.core.errors import RefusedError
from gateway.core.record import Kind, Record
from gateway.plugin import DeviceConfig, TagConfig
from gateway.testing import bind, build_sink_config, eventually, load_plugin, records
from gateway.testing.host import FakeSinkHost
from tests.peers.kafka_server import KafkaServer
from tests.peers.registry_server import RegistryServer

from .log import in_log

KafkaSink: Any = load_plugin(Path(__file__).parents[1])
values: Any = importlib.import_module(KafkaSink.__module__.rpartition(".")[0] + ".values")
config_of: Any = importlib.import_module(KafkaSink.__module__.rpartition(".")[0] + ".config")
PRESS = bind(DeviceConfig(name="press-1", driver="test"), {"force": TagConfig(), "speed": TagConfig()})
pytestmark = pytest.mark.timeout(300)
Reply = Callable[[str, Any], tuple[int, Any]]


def message() -> bytes:
    """A JSON message with everything that docs/json.md knows."""
    return json.dumps(
        {
            "ts": 1_800_000_000_000,
            "values": {"temp": 61.5, "fan": True, "count": -7, "big": 2**63, "recipe": "A-17 é", "bad": None, "wave": [1, 2]},
            "t": {"recipe": 1_799_999_940_000},
            "q": {"bad": "bad no communication"},
            "f32": True,
            "historical": True,
            "id": "6f1c:data:1041",
            "accepted": 1_800_000_000_004,
            "clock": "not yet synchronised",
            "context": {"site": "north", "line": "coating"},
        }
    ).encode()  # fmt: skip


def event() -> Record:
    return records(PRESS, 1, first=9, kind=Kind.EVENT)[0]


def test_avro_is_read_by_a_foreign_reader_and_nothing_is_left_out() -> None:
    (record,) = records(PRESS, 1)
    data = io.BytesIO(values.avro(record, "gw", message()))
    read: Any = fastavro.schemaless_reader(data, fastavro.parse_schema(dict(values.AVRO)))
    assert not data.read(), "all bytes belong to the message"
    assert read["id"] == "6f1c:data:1041"
    assert (read["kind"], read["gateway"], read["device"], read["historical"]) == ("readings", "gw", "press-1", True)
    assert {each["tag"]: each["value"] for each in read["readings"]} == {
        "temp": 61.5, "fan": True, "count": -7, "big": str(2**63), "recipe": "A-17 é", "bad": None, "wave": "[1,2]",
    }  # fmt: skip
    by_tag = {each["tag"]: each for each in read["readings"]}
    assert by_tag["bad"]["quality"] == "bad no communication"
    assert int(by_tag["recipe"]["t"].timestamp() * 1000) == 1_799_999_940_000
    assert by_tag["temp"]["t"] is None
    assert int(read["ts"].timestamp() * 1000) == 1_800_000_000_000
    assert read["context"] == {"site": "north", "line": "coating"}
    assert json.loads(read["more"]) == {"f32": True, "clock": "not yet synchronised"}


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 2**31, -(2**31), 2**63 - 1, -(2**63)])
def test_integers_are_whole_in_both_forms(number: int) -> None:
    (record,) = records(PRESS, 1)
    said = json.dumps({"ts": number, "values": {"n": number}, "id": "a:data:1", "accepted": 1}).encode()
    schema = fastavro.parse_schema(
        json.loads(json.dumps(values.AVRO).replace(', "logicalType": "timestamp-millis"', ""))
    )
    read: Any = fastavro.schemaless_reader(io.BytesIO(values.avro(record, "gw", said)), schema)
    assert (read["readings"][0]["value"], read["ts"]) == (number, number)
    parsed = proto().FromString(values.protobuf(record, "gw", said))
    assert (parsed.readings[0].integer, parsed.ts) == (number, number)


def test_an_event_keeps_its_body() -> None:
    record = event()
    body = json.dumps({"id": record.id, "t": 1, **dict(record.body or {})}).encode()
    read: Any = fastavro.schemaless_reader(
        io.BytesIO(values.avro(record, "gw", body)), fastavro.parse_schema(dict(values.AVRO))
    )
    assert (read["kind"], read["readings"]) == ("event", [])
    told = json.loads(read["more"])
    assert told["t"] == 1
    assert set(record.body or {}) <= {*told, "ts", "device", "context"}


def proto() -> Any:
    """The message of PROTOBUF, put together from its text."""
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="edge_gateway", syntax="proto3")
    kinds = {"string": 9, "int64": 3, "bool": 8, "sint64": 18, "double": 1}
    pattern = re.compile(r"(repeated )?(map<string, string>|\w+) (\w+) = (\d+);")
    for name, text in re.findall(r"^message (\w+) \{\n(.*?)^\}", values.PROTOBUF, re.DOTALL | re.MULTILINE):
        of = file.message_type.add(name=name)
        for line in text.splitlines():
            if line.strip().startswith("oneof"):
                of.oneof_decl.add(name="value")
            elif found := pattern.search(line):
                repeated, kind, field, number = found.groups()
                made = of.field.add(name=field, number=int(number), label=3 if repeated or kind[:3] == "map" else 1)
                if kind in kinds:
                    made.type = kinds[kind]  # type: ignore[assignment]
                    if line.startswith("    "):
                        made.oneof_index = 0
                elif kind == "Reading":
                    made.type, made.type_name = 11, ".edge_gateway.Reading"  # type: ignore[assignment]
                else:
                    entry = of.nested_type.add(name="ContextEntry")
                    entry.options.map_entry = True
                    for n, part in enumerate(("key", "value"), 1):
                        entry.field.add(name=part, number=n, type=9, label=1)  # type: ignore[arg-type]
                    made.type, made.type_name = 11, ".edge_gateway.Message.ContextEntry"  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_gateway.Message"))


def test_protobuf_is_read_by_googles_reader() -> None:
    (record,) = records(PRESS, 1)
    read = proto().FromString(values.protobuf(record, "gw", message()))
    found = {each.tag: getattr(each, each.WhichOneof("value") or "", None) for each in read.readings}
    assert found == {
        "temp": 61.5, "fan": True, "count": -7, "big": str(2**63), "recipe": "A-17 é", "bad": None, "wave": "[1,2]",
    }  # fmt: skip
    assert (read.id, read.device, read.historical, read.ts) == ("6f1c:data:1041", "press-1", True, 1_800_000_000_000)
    assert dict(read.context) == {"site": "north", "line": "coating"}
    assert json.loads(read.more) == {"f32": True, "clock": "not yet synchronised"}
    assert not read.FindInitializationErrors()


# The registry


@contextlib.asynccontextmanager
async def registry(reply: Reply, raw: bytes | None = None) -> AsyncIterator[tuple[str, list[tuple[str, Any]]]]:
    """A small one; gives its address, and what it was asked."""
    asked: list[tuple[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(re.search(r"Content-Length: (\d+)", head)[1])  # type: ignore[index]
            body = json.loads(await reader.readexactly(length))
            path = head.split()[1]
            asked.append((path, {**body, "head": head}))
            status, told = reply(path, body)
            data = json.dumps(told).encode()
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            writer.write(raw or b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (status, chunks))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def config(kafka_port: int, url: str, **options: Any) -> Any:
    said = {"url": url, **options.pop("registry", {})}
    return build_sink_config(KafkaSink, {"servers": [f"127.0.0.1:{kafka_port}"], "schema_registry": said, **options})


@contextlib.asynccontextmanager
async def connected(subject: Any, gateway: FakeSinkHost) -> AsyncIterator[Any]:
    sink = KafkaSink(subject, gateway)
    await sink.connect()
    serving = asyncio.ensure_future(sink.serve())
    try:
        yield sink
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await sink.close()


async def test_values_stand_behind_the_id_that_the_registry_gave_which_is_asked_once(kafka: KafkaServer) -> None:
    gateway = FakeSinkHost([PRESS])
    async with registry(lambda path, body: (200, {"id": 4711})) as (url, asked):
        for first in (1, 10):
            async with connected(config(kafka.port, url, topic="typed"), gateway) as sink:
                sink.send(records(PRESS, 3, first=first))
                await eventually(lambda first=first: len(gateway.taken) == (3 if first == 1 else 6))
    ((path, told),) = asked
    assert path == "/subjects/typed-value/versions"
    assert told["schemaType"] == "AVRO"
    assert json.loads(told["schema"]) == values.AVRO
    found = await in_log(kafka.port, "typed")
    assert len(found) == 6
    schema = fastavro.parse_schema(dict(values.AVRO))
    for each in found:
        assert each.value[:5] == b"\0" + (4711).to_bytes(4, "big")
        read: Any = fastavro.schemaless_reader(io.BytesIO(each.value[5:]), schema)
        assert read["id"].encode() == dict(each.headers)["id"]
        assert dict(each.headers)["content-type"] == b"application/avro"


@pytest.mark.parametrize(
    ("status", "told", "words"),
    [
        (
            409,
            {"error_code": 409, "message": "READER_FIELD_MISSING"},
            "incompatible with what subject refused-value has",
        ),
        (401, {}, "are user and password right?"),
        (422, {"message": "Invalid schema"}, "refuses our schema for refused-value (HTTP 422): Invalid schema"),
        (500, {"message": "no database"}, "has trouble (HTTP 500): no database"),
        (200, {"id": "x"}, "has trouble (HTTP 200)"),
        (200, ["id"], "has trouble (HTTP 200)"),
    ],
)
async def test_what_a_registry_refuses_is_kept_and_named(
    kafka: KafkaServer, status: int, told: Any, words: str
) -> None:
    gateway = FakeSinkHost([PRESS])
    async with (
        registry(lambda path, body: (status, told)) as (url, _),
        connected(config(kafka.port, url, topic="refused"), gateway) as sink,
    ):
        sink.send(records(PRESS, 2))
        await eventually(lambda: len(gateway.refusals) == 2)
    assert all(words in reason and not final for _, reason, final in gateway.refusals), gateway.refusals


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff" * 400_000, "longer than 262144 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "ended within the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "schema registry"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{{{", "schema registry"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP/1.1"),
    ],
)
async def test_what_is_no_registry_is_named(kafka: KafkaServer, raw: bytes, words: str) -> None:
    gateway = FakeSinkHost([PRESS])
    async with (
        registry(lambda path, body: (200, {}), raw) as (url, _),
        connected(config(kafka.port, url, topic="refused"), gateway) as sink,
    ):
        sink.send(records(PRESS, 1))
        await eventually(lambda: len(gateway.refusals) == 1)
    assert words in gateway.refusals[0][1]


async def test_a_registry_that_is_away_holds_up_only_what_it_has_not_named_yet(kafka: KafkaServer) -> None:
    gateway = FakeSinkHost([PRESS])
    async with (
        registry(lambda path, body: (200, {"id": 1})) as (url, _),
        connected(config(kafka.port, url, topic="refused"), gateway) as sink,
    ):
        sink.send(records(PRESS, 1))
        await eventually(lambda: len(gateway.taken) == 1)
    async with connected(config(kafka.port, url, topic="refused"), gateway) as sink:
        sink.send(records(PRESS, 1, first=5))
        await eventually(lambda: len(gateway.taken) == 2)
    fresh = FakeSinkHost([PRESS])
    async with connected(config(kafka.port, url, topic="refused"), fresh) as sink:
        sink.send(records(PRESS, 1, first=6))
        await eventually(lambda: len(fresh.refusals) == 1)
    assert "connection refused; is a registry there?" in fresh.refusals[0][1]


async def test_a_check_registers_nothing(kafka: KafkaServer) -> None:
    async with registry(lambda path, body: (404, {"error_code": 40403, "message": "Schema not found"})) as (url, asked):
        subject = config(kafka.port, url, topic="typed")
        assert "the schema for typed will be registered" in await KafkaSink(subject, FakeSinkHost([PRESS])).check()
        strict = config(kafka.port, url, topic="typed", registry={"must_exist": True})
        with pytest.raises(
            RefusedError, match="does not know our schema as typed-value: Schema not found; register it"
        ):
            await KafkaSink(strict, FakeSinkHost([PRESS])).check()
    assert {path for path, _ in asked} == {"/subjects/typed-value"}


async def test_a_user_logs_in_by_the_basic_scheme(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY", "secret")
    login = {"user": "gw", "password": {"env": "REGISTRY"}}
    async with registry(lambda path, body: (200, {"id": 3})) as (url, asked):
        await KafkaSink(config(kafka.port, url, topic="typed", registry=login), FakeSinkHost([PRESS])).check()
    assert "Authorization: Basic Z3c6c2VjcmV0\r\n" in asked[0][1]["head"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://x"}, "http://HOST:PORT"),
        ({"url": "http://u:p@x"}, "a secret never stands in this file"),
        ({"url": "http://x:99999"}, "http://HOST:PORT"),
        ({"url": "http://x", "user": "u"}, "write both, or neither"),
        ({"url": "http://x", "user": "u", "password": {"env": "X"}}, "use https, or allow_plain_password"),
        ({"url": "http://x", "format": "json"}, "avro"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        build_sink_config(KafkaSink, {"servers": ["a"], "schema_registry": options})


@pytest.mark.slow
async def test_a_real_registry_takes_both_schemas_and_judges_changes(kafka: KafkaServer, tmp_path: Path) -> None:
    gateway = FakeSinkHost([PRESS])
    with RegistryServer(tmp_path) as server:
        for topic, form in (("judged", "avro"), ("proto", "protobuf")):
            subject = config(kafka.port, server.url, topic=topic, registry={"format": form})
            async with connected(subject, gateway) as sink:
                before = len(gateway.taken)
                sink.send(records(PRESS, 2, first=1 if form == "avro" else 5))
                await eventually(
                    lambda before=before: len(gateway.taken) == before + 2, explain=lambda: str(gateway.refusals)
                )
            found = await in_log(kafka.port, topic)
            number = int.from_bytes(found[0].value[1:5], "big")
            assert server.schema(number)["schemaType" if form == "protobuf" else "schema"]
        assert proto().FromString(found[0].value[6:]).device == "press-1"
        server.put("refused-value", {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]})
        fresh = FakeSinkHost([PRESS])
        async with connected(config(kafka.port, server.url, topic="refused"), fresh) as sink:
            sink.send(records(PRESS, 1))
            await eventually(lambda: len(fresh.refusals) == 1)
        assert "incompatible with what subject refused-value has" in fresh.refusals[0][1]
