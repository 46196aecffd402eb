"""The suite that every driver passes, against a scale in this process."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.plugin import Device
from gateway.testing import DriverContract, build_device
from gateway.testing.loops import BOTH
from plugins.tcp.driver import TcpTelegrams


class TestTcp(DriverContract):
    loops = BOTH
    driver = TcpTelegrams
    good = {"left": 12.5, "right": -3.25}
    bad = ("missing",)
    writes = {"tare": 7.5}
    refused_writes = {"refused": 1.0}

    @pytest_asyncio.fixture
    async def server(self) -> AsyncIterator[int]:
        held = {b"L": b"12.5", b"R": b"-3.25", b"T": b"0"}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while line := (await reader.readline()).strip():
                    name, _, value = line.partition(b"=")
                    if value and name in held:
                        held[name] = value
                    writer.write(held.get(name, b"ERR") + b"\r\n")
            except ConnectionError:
                pass
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]

    def device(self, port: int) -> Device:
        number = {"pattern": "^-?[0-9.]+$", "type": "float64"}
        tags = {
            "left": number | {"ask": "L\r\n"},
            "missing": number | {"ask": "X\r\n"},
            "right": number | {"ask": "R\r\n"},
            "tare": number | {"ask": "T\r\n", "send": "T={value}\r\n", "expect": "^7"},
            "refused": number | {"ask": "L\r\n", "send": "X={value}\r\n", "expect": "^1"},
        }
        return build_device(TcpTelegrams, {"host": "127.0.0.1", "port": port, "timeout": "25s"}, tags)
