"""The driver: what is Modbus' own of it. Reading in blocks is `gateway.kit.BlockDriver`."""

from collections.abc import AsyncIterator, Hashable, Sequence

from gateway.kit import BlockDriver
from gateway.kit.line import AskingPace, RequestLine
from gateway.plugin import Device, DeviceError, Discovered, Guess, Search, Tag

from .address import parse_address
from .config import ModbusDevice, ModbusTag
from .finding import find
from .guessing import guesses_of
from .line.transports import open_modbus
from .plan.doubts import doubts
from .plan.reading import ModbusReading
from .requests import ModbusRequest, read
from .writing import read_before, write_into, write_of


class Modbus(BlockDriver[ModbusDevice, ModbusTag]):
    """One line, shared by all devices with the same host and port, or on the same serial port."""

    @classmethod
    def reading(cls, config: ModbusDevice) -> ModbusReading:
        return ModbusReading(config)

    @classmethod
    def line_key(cls, config: ModbusDevice) -> Hashable:
        return config.serial or (config.host, config.tcp_port)

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        return doubts(devices)

    async def open(self) -> RequestLine[ModbusRequest]:
        line = await open_modbus(self.config)
        if self.config.pause_after_connect:
            line.rest(self.config.pause_after_connect)
        return line

    def pace(self, config: ModbusDevice, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        own = config.request_timeout or (min(1.0, pace.patience) if config.serial else pace.patience)
        retries = int(config.lossy) if config.retries is None else config.retries
        return AskingPace(min(own, pace.patience), pace.whole, retries, config.pause)

    def named(self, config: ModbusDevice) -> str:
        return f"unit {config.unit}"

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        options: ModbusDevice = self.device(tag.device).config
        try:
            await self._write(tag.config, options, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error

    async def _write(self, tag: ModbusTag, device: ModbusDevice, value: float | bool | int | str) -> None:
        request = write_of(tag, device, value)
        if before := read_before(tag, device):
            register = await self.ask(before, device)
            request = write_into(tag, device, value, register)
        await self.ask(request, device, "; it may have been written")

    async def guesses(self, device: Device, address: str, count: int) -> list[Guess]:
        try:
            at = parse_address(address)
        except ValueError as error:
            raise DeviceError(str(error)) from error
        if at.area.single_bits or at.bit is not None:
            raise DeviceError(f"{address} is of single bits, which mean on or off")
        options: ModbusDevice = device.config
        if not 1 <= count <= options.max_registers or at.offset + count > 65536:
            raise DeviceError(f"count: from {address} on a request reads 1 to {options.max_registers} registers")
        request = read(options.unit, at.area, at.offset, count, any_unit=options.any_unit)
        return list(guesses_of(at, await self.ask(request, options)))

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find(search)
