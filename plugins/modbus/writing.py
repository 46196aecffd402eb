"""From a value to the request that writes it."""

from dataclasses import replace

from gateway.kit import WordValue, truth

from .address import HOLDING_REGISTERS, ModbusAddress
from .config import ModbusDevice, ModbusTag
from .requests import ModbusRequest, read, write_coil, write_coils, write_mask, write_register, write_registers

MOST = 123
"""Registers that one request can write (Modbus Application Protocol V1.1b3, §6.12)."""


def write_of(tag: ModbusTag, device: ModbusDevice, value: WordValue) -> ModbusRequest:
    """The request that writes the value. Raises ValueError, with the reason, for what cannot be written."""
    at = tag.at()
    if at.area.function in (2, 4):
        raise ValueError(f"{at.area.printed(at.offset)}: {at.area.word}s can only be read")
    return _for(device, _request(tag, at, device, value))


def read_before(tag: ModbusTag, device: ModbusDevice) -> ModbusRequest | None:
    """The read that must come first when some bits of a register are written with the others around them."""
    at = tag.at()
    if at.bit is None or device.bit_writes == "mask":
        return None
    return _for(device, read(device.unit, at.area, at.offset, 1))


def write_into(tag: ModbusTag, device: ModbusDevice, value: WordValue, register: bytes) -> ModbusRequest:
    """The request that writes some bits into a register that was just read."""
    mask, bits = tag.masked(value)
    changed = int.from_bytes(register, "big") & ~mask | bits
    return _for(device, _registers(device, tag.at().offset, changed.to_bytes(2, "big")))


def _for(device: ModbusDevice, request: ModbusRequest) -> ModbusRequest:
    return replace(request, any_unit=True) if device.any_unit else request


def _request(tag: ModbusTag, at: ModbusAddress, device: ModbusDevice, value: WordValue) -> ModbusRequest:
    if at.area is not HOLDING_REGISTERS:
        set_coil = write_coils if device.write_function == "multiple" else write_coil
        return set_coil(device.unit, at.offset, truth(value))
    if at.bit is not None:
        return write_mask(device.unit, at.offset, *tag.masked(value))
    return _registers(device, at.offset, tag.wire(value, device.order))


def _registers(device: ModbusDevice, at: int, wire: bytes) -> ModbusRequest:
    if len(wire) == 2 and device.write_function == "auto":
        return write_register(device.unit, at, wire)
    if len(wire) > 2 * MOST:
        raise ValueError(f"{len(wire) // 2} registers are more than one request can write, {MOST}")
    return write_registers(device.unit, at, wire)
