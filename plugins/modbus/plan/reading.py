"""How a Modbus device is read in blocks: requests, limits, time, and where values stand."""

from gateway.kit.blocks import Area, BlockReading, ValuePlace

from ..address import ModbusArea
from ..config import ModbusDevice, ModbusTag
from ..exceptions import REFUSALS
from ..line.times import request_time, worth_reading_over
from ..requests import ModbusRequest, read


class ModbusReading(BlockReading[ModbusDevice, ModbusTag]):
    """How one device is read."""

    refusals = REFUSALS

    def __init__(self, options: ModbusDevice) -> None:
        super().__init__(options)
        self.max_gap = worth_reading_over(options) if options.max_gap is None else options.max_gap
        self.apart = options.request_per_tag
        self.slow = bool(options.serial)

    @staticmethod
    def span(tag: ModbusTag) -> tuple[Area, int, int]:
        at = tag.at()
        return at.area, at.offset, at.offset + tag.words()

    def place(self, row: int, tag: ModbusTag, byte: int, offset: int) -> ValuePlace:
        if tag.single():
            return ValuePlace(row, byte + offset // 8, "bool", bit=offset % 8)
        return tag.place(row, byte + 2 * offset, self.options.order, self.options.not_available)

    def most(self, area: Area) -> int:
        assert isinstance(area, ModbusArea)
        return self.options.max_bits if area.single_bits else self.options.max_registers

    def request(self, area: Area, start: int, count: int) -> ModbusRequest:
        assert isinstance(area, ModbusArea)
        options = self.options
        return read(options.unit, area, start, count, any_unit=options.any_unit, padded=options.padded)

    def time(self, size: int) -> float:
        return request_time(self.options, size)
