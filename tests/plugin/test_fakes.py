"""What plugin authors test with says what the gateway would not take, in the words that people get."""

import pytest
from pydantic import ValidationError

from gateway.core.errors import PluginError
from gateway.plugin import Device, DeviceConfig, DeviceEvent, Driver, Duration, Secret, TagConfig
from gateway.testing import DriverContract, FakeLineHost, TcpLink, build_device


class VatDevice(DeviceConfig):
    pin: Secret
    """Its pin."""

    silence: Duration = "10s"
    """What a person would write, and no number."""


class VatTag(TagConfig):
    def value_type(self) -> str:
        return "float64"


class Vat(Driver[VatDevice, VatTag]):
    """Has no need to work."""


def device() -> Device:
    return build_device(Vat, {"pin": {"env": "VAT_PIN"}}, {"level": {}})


def test_a_secret_that_is_given_as_text_is_told_in_the_words_of_check():
    with pytest.raises(ValidationError) as told:
        build_device(Vat, {"pin": "1234"}, {})
    assert "pin: a secret never stands in this file: write where it is kept" in told.value.__notes__[0]


def test_a_default_that_is_no_value_of_its_option_is_found():
    class Suite(DriverContract):
        driver = Vat

    with pytest.raises(AssertionError, match=r"default of silence in VatDevice is '10s'.*write silence = 10\.0"):
        Suite().test_a_default_is_what_the_option_would_be_if_it_were_written()


def test_events_that_the_gateway_would_not_take_are_refused():
    host, event = FakeLineHost(), DeviceEvent("vat-1", "7", 1_800_000_000_000_000_000, "too hot", "alarm")
    host.tell(event)
    assert host.said == [event]
    with pytest.raises(PluginError, match="device is a Device; it is the device's name"):
        host.tell(DeviceEvent(device(), "7", 0, "too hot"))
    with pytest.raises(PluginError, match="severity is 500; there are info, advisory, warning and alarm"):
        host.tell(DeviceEvent("vat-1", "7", 0, "too hot", 500))
    with pytest.raises(PluginError, match="it takes a DeviceEvent or Retained"):
        host.tell("too hot")


def test_a_host_of_a_test_has_a_folder_of_its_own():
    assert FakeLineHost().state_dir != FakeLineHost().state_dir


async def test_a_link_that_nobody_dials_is_told_of():
    class Suite(DriverContract):
        driver = Vat

        def device(self, port):
            return device()

    async with TcpLink(1) as link:
        with pytest.raises(NotImplementedError) as told:
            await Suite().test_scan_after_scan_answers(link)
    assert "UdpLink" in told.value.__notes__[0]
