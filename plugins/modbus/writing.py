"""From a value to the request that writes it."""

from dataclasses import replace

from gateway.kit.registers import TEXTS, encode, encode_bits, encode_text

from .address import HOLDING_REGISTERS, ModbusAddress
from .config import ModbusDevice, ModbusTag
from .requests import ModbusRequest, read, write_coil, write_coils, write_mask, write_register, write_registers

Value = float | bool | int | str | bytes

MOST = 123
"""Registers that one request can write (Modbus Application Protocol V1.1b3, §6.12)."""


def write_of(tag: ModbusTag, device: ModbusDevice, value: Value) -> ModbusRequest:
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


def write_into(tag: ModbusTag, device: ModbusDevice, value: Value, register: bytes) -> ModbusRequest:
    """The request that writes some bits into a register that was just read."""
    at = tag.at()
    mask, bits = _masked(tag, at, value)
    changed = int.from_bytes(register, "big") & ~mask | bits
    return _for(device, _registers(device, at.offset, changed.to_bytes(2, "big")))


def _for(device: ModbusDevice, request: ModbusRequest) -> ModbusRequest:
    return replace(request, any_unit=True) if device.any_unit else request


def _request(tag: ModbusTag, at: ModbusAddress, device: ModbusDevice, value: Value) -> ModbusRequest:
    if at.area is not HOLDING_REGISTERS:
        set_coil = write_coils if device.write_function == "multiple" else write_coil
        return set_coil(device.unit, at.offset, _truth(value))
    if at.bit is not None:
        return write_mask(device.unit, at.offset, *_masked(tag, at, value))
    return _registers(device, at.offset, _wire(tag, device, value))


def _registers(device: ModbusDevice, at: int, wire: bytes) -> ModbusRequest:
    if len(wire) == 2 and device.write_function == "auto":
        return write_register(device.unit, at, wire)
    if len(wire) > 2 * MOST:
        raise ValueError(f"{len(wire) // 2} registers are more than one request can write, {MOST}")
    return write_registers(device.unit, at, wire)


def _wire(tag: ModbusTag, device: ModbusDevice, value: Value) -> bytes:
    order, type_ = tag.byte_order(device), tag.type or ""
    if type_ in TEXTS:
        if isinstance(value, int | float):
            raise ValueError(f"{value!r} is no text")
        return encode_text(value, tag.length, order, tag.encoding)
    return encode(_number(value), type_, order)


def _masked(tag: ModbusTag, at: ModbusAddress, value: Value) -> tuple[int, int]:
    """Which bits of the register change, and to what."""
    assert at.bit is not None
    mask = (1 << at.width) - 1 << at.bit
    if at.width == 1:
        return mask, _truth(value) << at.bit
    return mask, encode_bits(_number(value), at.bit, at.width, signed=(tag.type or "").startswith("int"))


def _truth(value: Value) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError(f"{value!r} is neither true nor false")


def _number(value: Value) -> float:
    if isinstance(value, str | bytes):
        raise ValueError(f"{value!r} is no number")
    return value
