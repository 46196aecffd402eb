"""Mistakes in the options are named when the configuration is checked, with the fix."""

from typing import Any

import pytest
from pydantic import ValidationError

from plugins.modbus.config import ModbusDevice, ModbusTag


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": 40001, "type": "int16"}, 'write "40001" in quotes'),
        ({"address": 40001.5}, 'write "40001.5" in quotes'),
        ({"address": "40001"}, 'type: say how to read the register, such as type = "uint16"'),
        ({"address": "40001", "type": "bool"}, 'say which one, such as address = "40001.0"'),
        ({"address": "00001", "type": "int16"}, "a coil is one bit"),
        ({"address": "10001", "type": "float32"}, "a discrete input is one bit"),
        ({"address": "40001.3", "type": "uint16"}, "bit .3 of a register is one bit"),
        ({"address": "40001.3", "order": "BA"}, "one bit has no byte order"),
        ({"address": "40001", "type": "int16", "order": "CDAB"}, "does not fit int16; write one of AB, BA"),
        ({"address": "40001", "type": "float32", "order": "ABCDEFGH"}, "write one of ABCD, CDAB, BADC, DCBA"),
        ({"address": "hr:65535", "type": "float32"}, "takes 2 registers and would run over the last one"),
    ],
)
def test_a_wrong_tag_is_refused_with_the_fix(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusTag(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "type_"),
    [
        ({"address": "00001"}, "bool"),
        ({"address": "hr:1.2"}, "bool"),
        ({"address": "hr:1.2", "type": "bool"}, "bool"),
        ({"address": "hr:65534", "type": "float32", "order": "BADC"}, "float32"),
        ({"address": "hr:0", "type": "int64", "order": "GHEFCDAB"}, "int64"),
        ({"address": "hr:0", "type": "int64", "order": "CDAB"}, "int64"),
        ({"address": "hr:0", "type": "uint16", "order": "BA", "scale": 0.1}, "uint16"),
    ],
)
def test_the_value_type_is_known_without_the_device(options: dict[str, Any], type_: str) -> None:
    assert ModbusTag(**options).value_type() == type_


@pytest.mark.parametrize(
    "options", [{"port": 0}, {"unit": 256}, {"max_registers": 126}, {"max_gap": -1}, {"host": ""}, {"slave": 1}]
)
def test_device_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModbusDevice(**{"name": "plc", "driver": "modbus", "host": "10.0.0.5"} | options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "required key is missing"),
        ({"transport": "rtu"}, 'serial: required key is missing for transport = "rtu", such as "/dev/ttyUSB0"'),
        ({"host": "plc", "serial": "/dev/ttyUSB0"}, 'transport = "tcp" goes over a network'),
        ({"host": "plc", "transport": "ascii", "serial": "/dev/ttyUSB0"}, "a serial port has none"),
        ({"transport": "rtu", "serial": "/dev/ttyUSB0", "baud": 9601}, "9601 is no rate of serial ports"),
        ({"transport": "rtu", "serial": "/dev/ttyUSB0", "data_bits": 7}, "RTU needs 8"),
        ({"transport": "rtu", "serial": "/dev/ttyUSB0", "unit": 248}, "on a serial line 1 to 247"),
        ({"transport": "udp", "host": "plc", "tls": True}, 'only with transport = "tcp"'),
        ({"host": "plc", "tls": {"key": "key.pem"}}, "needs certificate"),
    ],
)
def test_lines_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusDevice(**{"name": "plc", "driver": "modbus"} | options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "40001", "type": "uint8"}, 'such as address = "40001.high"'),
        ({"address": "40001.4-7", "type": "float32"}, "4 bits of a register are one of int8, uint8, int16, uint16"),
        ({"address": "40001.7-4"}, "write the lower bit first: .4-7"),
        ({"address": "00001.high"}, "one bit already"),
        ({"address": "40001", "type": "string"}, "say how many characters the string has"),
        ({"address": "40001", "type": "int16", "length": 3}, "only a string or bytes have a length"),
        ({"address": "40001", "type": "string", "length": 126, "order": "A"}, "a request gives 125 registers at most"),
        ({"address": "40001", "type": "string", "length": 3, "order": "CDAB"}, "write one of AB, BA, A, B"),
        ({"address": "40001", "type": "string", "length": 3, "scale": 0.1}, "a string is no number"),
    ],
)
def test_texts_and_parts_of_registers_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModbusTag(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "type_"),
    [
        ({"address": "40001.high", "type": "int8"}, "int8"),
        ({"address": "40001.4-7"}, "uint16"),
        ({"address": "40001", "type": "bcd32"}, "uint32"),
        ({"address": "40001", "type": "float16"}, "float32"),
        ({"address": "40001", "type": "string", "length": 8}, "string"),
        ({"address": "40001", "type": "bytes", "length": 8, "order": "B"}, "bytes"),
    ],
)
def test_the_published_type_follows_from_the_devices(options: dict[str, Any], type_: str) -> None:
    assert ModbusTag(**options).value_type() == type_


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("REAL", "float32"), ("float", "float32"), ("int", "int16"), ("WORD", "uint16"), ("dint", "int32"),
        ("DWORD", "uint32"), (" LREAL ", "float64"), ("double", "float64"), ("uint16", "uint16"),
    ],
)  # fmt: skip
def test_types_as_plcs_call_them_are_understood(written: str, meant: str) -> None:
    assert ModbusTag.model_validate({"address": "40001", "type": written}).type == meant


def test_a_type_that_is_none_is_refused() -> None:
    for wrong in ("long", "integer", "", 5, None, ["REAL"]):
        with pytest.raises(ValidationError):
            ModbusTag.model_validate({"address": "40001", "type": wrong})
