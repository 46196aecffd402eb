"""A real Apache Kafka (KRaft, one node) in a process of its own, and what Kafka's own tools say of it.

with KafkaServer(tmp_path) as kafka:
    publish_to(kafka.port)
    kafka.consumed("edge", 10)
"""

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.peers.broker import wait_until
from tests.peers.certificates import Authority
from tests.peers.frozen import freeze
from tests.peers.ports import free_port

HERE = Path(__file__).parent / "kafka"
JAVA = ["java", "-Xmx256m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1"]
"""A small machine that starts fast: three seconds, 350 MB."""
WITHIN = 180.0
"""Seconds in which it starts, or a tool ends, on a machine that has much else to do; else in three."""
PRODUCER_ID = bytes.fromhex("0016 0000 00000001 0001 74 ffff 0000ea60")
"""A request for a producer id (InitProducerId, version 0): a broker that gives one is ready."""
USER, PASSWORD = "line3-gw1", "a secret"


def require_kafka() -> None:
    """Fetch Kafka once; skip the test, saying why, where that is not possible."""
    if missing := _kafka_is_missing():
        pytest.skip(f"Kafka is not tested: {missing}")


@functools.cache
def _kafka_is_missing() -> str:
    if not shutil.which("java"):
        return "there is no java; apt-get install openjdk-17-jre-headless maven"
    here = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if list(HERE.glob("lib/kafka_*.jar")):
            return ""
        if not shutil.which("mvn"):
            return "there is no mvn, which fetches it; apt-get install maven"
        fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies"]
        done = subprocess.run(fetch, cwd=HERE, capture_output=True, text=True, check=False)
        return f"mvn could not fetch it: {done.stdout.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


class Consumed(NamedTuple):
    """A record as kafka-console-consumer prints it."""

    partition: int
    key: str
    headers: Mapping[str, str]
    value: Any


class KafkaServer:
    """One broker with four listeners on free ports of 127.0.0.1: `port` for everybody, `sasl_port` for USER (SCRAM and
    PLAIN), `tls_port` encrypted, `mutual_port` for those with a certificate of `authority`."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        require_kafka()
        self.directory = directory
        self.port, self.sasl_port, self.tls_port, self.mutual_port, self.controller = (free_port() for _ in range(5))
        self.authority = Authority(directory)
        self._log = directory / "kafka.log"
        self._config = directory / "server.properties"
        self._config.write_text("\n".join(f"{key}={value}" for key, value in self._settings(settings or {}).items()))
        self._process: subprocess.Popen[bytes] | None = None
        self._formatted = False

    def _settings(self, more: Mapping[str, str]) -> dict[str, str]:
        own = self.authority.issue("127.0.0.1")
        store = self.directory / "store.pem"
        store.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
        named = {
            "PLAINTEXT": ("PLAINTEXT", self.port),
            "SASL_PLAINTEXT": ("SASL_PLAINTEXT", self.sasl_port),
            "SSL": ("SSL", self.tls_port),
            "MUTUAL": ("SSL", self.mutual_port),
        }
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, (_, port) in named.items())
        protocols = ",".join(f"{name}:{protocol}" for name, (protocol, _) in named.items())
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self.controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            ),
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mutual.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "auto.create.topics.enable": "false",
            "num.partitions": "3",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.message.timestamp.after.max.ms": str(2**62),  # the records of gateway.testing are of 2027
            **more,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, on the same ports and with the same data as before, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start, and wait for nothing."""
        if not self._formatted:
            scram = [f"--add-scram=SCRAM-SHA-{size}=[name={USER},password={PASSWORD}]" for size in (256, 512)]
            self._tool(
                "kafka.tools.StorageTool",
                "format",
                "--feature",
                "eligible.leader.replicas.version=0",
                "-t",
                "4L6g3nShT-eMCtK--X86sw",
                "-c",
                self._config,
                *scram,
            )
            self._formatted = True
        command = [*JAVA, "-cp", f"{HERE}/lib/*", "kafka.Kafka", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it answers."""
        wait_until(self._answers, "Kafka answers", WITHIN)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Kafka did not start: {self._log.read_text()[-2000:]}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(len(PRODUCER_ID).to_bytes(4, "big") + PRODUCER_ID)
                answer = connection.makefile("rb").read(4 + 4 + 4 + 2)
        except OSError:
            return False
        return answer[-2:] == b"\0\0"

    def also(self, key: str, value: str) -> None:
        """Another setting, from the next start on."""
        with self._config.open("a") as config:
            config.write(f"\n{key}={value}")

    def stop(self) -> None:
        """Kill it; what it has taken with acks = all of one replica stands in files."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self, frozen: bool) -> None:
        """Let it stand still, or go on."""
        assert self._process is not None
        if frozen:
            freeze(self._process.pid)
        else:
            os.kill(self._process.pid, signal.SIGCONT)

    def make(self, *topics: str, partitions: int = 3, replicas: int = 1, **settings: object) -> None:
        """Make topics. Not within a running event loop."""
        config = {key.replace("_", "."): str(value) for key, value in settings.items()}
        wanted = [NewTopic(topic, partitions, replicas, topic_configs=config) for topic in topics]

        async def make() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}")
            await admin.start()
            try:
                await admin.create_topics(wanted)
            finally:
                await admin.close()

        asyncio.run(make())
        wait_until(lambda: all(f"{topic}-{partitions - 1}" in self._folders for topic in topics), "topics", WITHIN)

    @property
    def _folders(self) -> set[str]:
        return {each.name for each in (self.directory / "data").iterdir()}

    def topics(self, *arguments: str) -> str:
        """kafka-topics.sh"""
        return self._tool("org.apache.kafka.tools.TopicCommand", *self._bootstrap, *arguments)

    def acls(self, *arguments: str) -> str:
        """kafka-acls.sh"""
        return self._tool("org.apache.kafka.tools.AclCommand", *self._bootstrap, *arguments)

    def configs(self, *arguments: str) -> str:
        """kafka-configs.sh"""
        return self._tool("kafka.admin.ConfigCommand", *self._bootstrap, *arguments)

    def count(self, topic: str) -> int:
        """Records in the topic, as kafka-get-offsets.sh counts them."""
        told = self._tool("org.apache.kafka.tools.GetOffsetShell", *self._bootstrap, "--topic", topic)
        return sum(int(line.rpartition(":")[2]) for line in told.splitlines() if line.startswith(f"{topic}:"))

    def consumed(self, topic: str, count: int, within: float = WITHIN) -> list[Consumed]:
        """What kafka-console-consumer.sh reads from the beginning: `count` records, or fewer when no more come in time."""
        names = ("partition", "key", "headers")
        shown = [part for name in names for part in ("--formatter-property", f"print.{name}=true")]
        told = self._tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer", *self._bootstrap, "--topic", topic, "--from-beginning",
            "--max-messages", str(count), "--timeout-ms", str(int(within * 1000)), *shown,
        )  # fmt: skip
        return [_record(line) for line in told.splitlines() if line.startswith("Partition:")]

    @property
    def _bootstrap(self) -> Sequence[str]:
        return "--bootstrap-server", f"127.0.0.1:{self.port}"

    def _tool(self, name: str, *arguments: object) -> str:
        command = [*JAVA, "-cp", f"{HERE}/lib/*", name, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * WITHIN)
        assert done.returncode == 0 or "timeout" in done.stderr.lower(), (
            f"{name}: {done.stdout[-500:]}{done.stderr[-1500:]}"
        )
        return done.stdout


def _record(line: str) -> Consumed:
    partition, headers, key, value = line.split("\t", 3)
    told = dict(each.split(":", 1) for each in headers.split(","))
    return Consumed(int(partition.removeprefix("Partition:")), key, told, json.loads(value))


@contextlib.contextmanager
def cluster(directory: Path, count: int = 3) -> Iterator[list[KafkaServer]]:
    """So many brokers that know each other; one that is away for some seconds is no longer counted on."""
    trusted = {"super.users": "User:ANONYMOUS"}  # so that brokers may speak with each other before they know any rule
    replicas = {f"{name}.replication.factor": str(count) for name in ("offsets.topic", "transaction.state.log")}
    impatient = {
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "replica.lag.time.max.ms": "3000",
    }
    folders = [directory / f"kafka-{number}" for number in range(1, count + 1)]
    for folder in folders:
        folder.mkdir()
    nodes = [
        KafkaServer(folder, {"node.id": str(number), **trusted, **replicas, **impatient})
        for number, folder in enumerate(folders, 1)
    ]
    voters = ",".join(f"{number}@127.0.0.1:{node.controller}" for number, node in enumerate(nodes, 1))
    try:
        for node in nodes:
            node.also("controller.quorum.voters", voters)
            node.launch()
        for node in nodes:
            node.wait()
        yield nodes
    finally:
        for node in nodes:
            node.stop()
