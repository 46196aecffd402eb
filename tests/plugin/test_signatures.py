"""What goes with the next version is told to who tests a plugin, with the line to write instead."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.plugin import Device, DeviceConfig, Driver, LineHost, TagConfig
from gateway.testing import DriverContract, load_plugin
from gateway.testing.signatures import outdated
from tests.plugin.test_discovery import drop


class Present(Driver[DeviceConfig, TagConfig]):
    def __init__(self, devices: Sequence[Device], host: LineHost) -> None:
        super().__init__(devices, host)

    @classmethod
    def subscribes(cls, config: DeviceConfig) -> bool:
        return False


class Old(Driver[DeviceConfig, TagConfig]):
    def __init__(self, devices: Sequence[Device], alive: Callable[[], None] = lambda: None) -> None:
        super().__init__(devices, alive)

    @classmethod
    def subscribes(cls) -> bool:  # type: ignore[override]
        return False

    async def read(self, tags: Any) -> list[float]:
        self.alive()
        return [1.0 for _ in self.state_dir.parts]


def test_each_thing_of_old_is_told_with_the_line_to_write_instead() -> None:
    constructor, subscribes, alive, state_dir = outdated(Old)
    assert constructor.startswith("Old.__init__(self, devices, alive) is of version 0.1")
    assert "def __init__(self, devices: Sequence[Device], host: LineHost) -> None:" in constructor
    assert "super().__init__(devices, host)" in constructor
    assert "def subscribes(cls, config: MyDevice) -> bool:" in subscribes
    assert alive.endswith("write  self.host.alive")
    assert state_dir.endswith("write  self.host.state_dir")


@pytest.mark.parametrize("driver", [Driver, Present, type("Derived", (Present,), {})])
def test_nothing_is_told_of_a_driver_of_today(driver: type[Driver[Any, Any]]) -> None:
    assert [*outdated(driver)] == []


def test_what_a_plugin_inherits_from_a_class_of_its_own_is_told_too() -> None:
    assert len([*outdated(type("Derived", (Old,), {}))]) == 4


def test_the_contract_suite_warns_and_passes() -> None:
    suite = DriverContract()
    suite.driver = Old
    with pytest.warns(DeprecationWarning) as told:
        suite.test_what_goes_with_the_next_version_is_told()
    assert len(told) == 4


def test_a_plugin_that_is_loaded_from_its_file_is_looked_at_in_the_same_way(tmp_path: Any) -> None:
    path = drop(
        tmp_path,
        "press.py",
        """
        from gateway.plugin import DeviceConfig, Driver, TagConfig

        class Press(Driver[DeviceConfig, TagConfig]):
            async def connect(self): ...
            async def read(self, tags):
                self.alive()
                return [1.0] * len(tags)
        """,
    )
    assert [each.rpartition("write")[2].strip() for each in outdated(load_plugin(path))] == ["self.host.alive"]
