"""Apicurio Registry, which speaks Confluent's API, in a process of its own; its schemas are in memory.

with RegistryServer(tmp_path) as registry:
    publish_with(registry.url)
    registry.schema(1)
"""

import fcntl
import functools
import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from tests.peers.broker import wait_until
from tests.peers.kafka_server import JAVA, WITHIN
from tests.peers.ports import free_port

HERE = Path(__file__).parent / "registry"


@functools.cache
def _registry_is_missing() -> str:
    """Why, after trying to fetch it."""
    if not shutil.which("java") or not shutil.which("mvn"):
        return "there is no java, or no mvn; apt-get install openjdk-17-jre-headless maven"
    here = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(here, fcntl.LOCK_EX)  # other processes of this run need it too
        if list(HERE.glob("lib/*-runner.jar")):
            return ""
        fetch = ["mvn", "-q", "-B", "dependency:unpack-dependencies"]
        done = subprocess.run(fetch, cwd=HERE, capture_output=True, text=True, check=False)
        return f"mvn could not fetch it: {done.stdout.strip()[-300:]}" if done.returncode else ""
    finally:
        os.close(here)


class RegistryServer:
    """On a free port of 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        if missing := _registry_is_missing():
            pytest.skip(f"the schema registry is not tested: {missing}")
        self._port = free_port()
        self._log = directory / "registry.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        (jar,) = HERE.glob("lib/*-runner.jar")
        options = [f"-Dquarkus.http.port={self._port}", "-Dquarkus.http.host=127.0.0.1"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*JAVA, *options, "-jar", str(jar)], stdout=log, stderr=log, cwd=HERE)
        wait_until(self._listens, "the registry answers", WITHIN)
        self._put("/config", {"compatibility": "BACKWARD"}, "PUT")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the registry did not start: {self._log.read_text()[-2000:]}"
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self._port)) == 0

    def schema(self, number: int) -> Any:
        """The schema of this id."""
        with urllib.request.urlopen(f"{self.url}/schemas/ids/{number}", timeout=WITHIN) as answer:
            return json.loads(answer.read())

    def put(self, subject: str, schema: Mapping[str, Any]) -> None:
        """Register an Avro schema."""
        self._put(f"/subjects/{subject}/versions", {"schema": json.dumps(schema)}, "POST")

    def _put(self, path: str, body: Any, method: str) -> None:
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), head, method=method)
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:
            assert answer.status == 200
