"""All that a driver can do, and what it raises, is the same whether it works in the gateway's process or in its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.acquire.values import as_readings
from gateway.core.errors import DeviceError, LinkError, PluginError
from gateway.core.tag import Tags
from gateway.isolation import Isolated, Process, isolated, refusal
from gateway.isolation.isolated_driver import MEMORY
from gateway.isolation.origin import DriverOrigin
from gateway.plugin.driver import Ability, Driver
from gateway.testing import FakeLineHost, build_device, eventually, load_plugin

NAMES = ("array", "ints", "mixed", "block", "device_error", "bug", "waits", "reads_back", "one", "two")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> type[Driver[Any, Any]]:
    path = tmp_path_factory.mktemp("plugins") / "whole.py"
    shutil.copy(Path(__file__).parent / "whole.py", path)
    return load_plugin(path)  # type: ignore[return-value]


async def test_a_plugin_of_several_folders_works_in_its_own_process_too(tmp_path: Path) -> None:
    folder = tmp_path / "folded"  # a name of its own: inspect remembers files by the names of modules
    (folder / "line").mkdir(parents=True)
    (folder / "plan").mkdir()
    (folder / "__init__.py").write_text("from .line.driver import Press\n")
    (folder / "line" / "driver.py").write_text(
        "from gateway.plugin import DeviceConfig, Driver, TagConfig\n"
        "class Press(Driver[DeviceConfig, TagConfig]):\n"
        "    async def connect(self): ...\n"
        "    async def read(self, tags):\n"
        "        from ..plan.areas import values\n"
        "        return values(len(tags))\n"
    )
    (folder / "plan" / "areas.py").write_text("def values(count):\n    return [7.0] * count\n")
    driver_type: Any = isolated(load_plugin(folder))  # type: ignore[arg-type]
    driver = driver_type([build_device(driver_type, {}, {"a": {}, "b": {}})])
    await driver.connect()
    try:
        tags = driver.devices[0].tags
        assert as_readings(driver.devices[0], tags, await driver.read(tags), 7).value.tolist() == [7.0, 7.0]
    finally:
        await driver.close()
        driver.release()


@pytest.fixture(params=["gateway", "process"])
def driver_type(whole: type[Driver[Any, Any]], request: pytest.FixtureRequest) -> type[Driver[Any, Any]]:
    return whole if request.param == "gateway" else isolated(whole)


class Line:
    """An open line, and what its driver said unasked."""

    def __init__(self, driver_type: type[Driver[Any, Any]]) -> None:
        self.host = FakeLineHost()
        self.device = build_device(driver_type, {}, {name: {} for name in NAMES})
        self.driver = driver_type([self.device], self.host)

    def tags(self, *names: str) -> Tags:
        by_name = {tag.name: tag for tag in self.device.tags}
        return Tags(self.device.name, [by_name[name] for name in names])


@pytest.fixture
async def line(driver_type: type[Driver[Any, Any]]) -> AsyncIterator[Line]:
    line = Line(driver_type)
    await line.driver.connect()
    yield line
    await line.driver.close()
    line.driver.release()


async def test_values_of_every_kind_come_through(line: Line) -> None:
    read = line.driver.read
    assert np.array_equal(np.asarray(await read(line.tags("array", "one", "two"))), [0.0, 1.0, 2.0])
    assert np.array_equal(np.asarray(await read(line.tags("ints", "one"))), [0, 1])
    names = ("mixed", "one", "two", "array", "ints", "block", "bug", "waits", "reads_back")
    tags = line.tags(*names)
    got = as_readings(line.device, tags, await read(tags), 7)
    parts = {3: [1, [b"x", None]], 8: {"a": [1]}}
    assert dict(got.exact) == {0: 2**60, 1: "text \N{REPLACEMENT CHARACTER}", 2: b"\x00\xff", **parts}
    assert got.value.tolist()[5:8] == [1.0, 1.5, 2.5] and np.isnan(got.value[4])
    assert [code >> 30 for code in got.quality.tolist()] == [0, 1, 0, 0, 2, 0, 0, 0, 0]
    for _ in range(2):  # the same tags again, and all of the device's
        assert await read(line.device.tags) == pytest.approx(np.arange(len(NAMES)))


async def test_full_readings_come_through(line: Line) -> None:
    tags = line.tags("block", "one", "two")
    block = await line.driver.read(tags)
    got = as_readings(line.device, tags, block, 7)
    assert got.device is line.device and got.tag.tolist() == tags.ids.tolist()
    assert got.t_ns.tolist() == [600_000_000_000_000_000 * n for n in (1, 2, 3)]
    assert got.quality.tolist() == [0, 1, 2] and dict(got.exact) == {0: "first", 2: 2**70}


async def test_a_subscription_flows_with_its_end(line: Line) -> None:
    blocks = []
    with pytest.raises(LinkError, match="the stream is over"):
        async for block in line.driver.stream():
            assert block.device is line.device
            blocks.append(block)
    assert len(blocks) == 100
    stream = line.driver.stream()
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await line.driver.read(line.tags("one")) == [1.0], "it goes on"


async def test_values_that_come_between_two_polls_come_through(line: Line) -> None:
    await line.driver.write(line.tags("two")[0], 1)
    await eventually(lambda: len(line.host.brought) == 2)
    first, odd = line.host.brought
    assert first.device is line.device
    assert first.tag.tolist() == line.tags("two").ids.tolist() and first.exact == {0: 2**70}
    assert not hasattr(odd, "device"), "it is judged by who takes it"
    assert await line.driver.read(line.tags("one")) == [1.0], "it goes on"


async def test_errors_are_those_that_were_raised(line: Line) -> None:
    with pytest.raises(DeviceError, match=r"^the device says no$"):
        await line.driver.read(line.tags("device_error"))
    with pytest.raises(DeviceError, match="interlock"):
        await line.driver.write(line.device.tags[0], 13)
    with pytest.raises(Exception, match="a bug") as raised:
        await line.driver.read(line.tags("bug"))
    assert type(raised.value).__name__ == "KeyError"
    if isinstance(line.driver, Isolated):
        assert 'raise KeyError("a bug")' in "".join(raised.value.__notes__)


async def test_what_people_ask_for_comes_through(line: Line) -> None:
    driver, device = line.driver, line.device
    await driver.write(line.tags("one")[0], "x\ud800")
    assert await driver.read(line.tags("reads_back")) == ["x\ud800"]
    found = await driver.call(device, "oven", "heat", [1, {"a": None}])
    assert [tuple(each) for each in found] == [("device", device.name), ("said", ["oven", "heat", 1, {"a": None}])]
    (guess,) = await driver.guesses(device, "hr:1", 3)
    assert (guess.options, guess.value) == ({"address": "hr:1", "count": 3}, 2**50)
    offers = [each async for each in driver.browse()]
    assert len(offers) == 5000 and offers[4999][0] == "node-4999" and offers[4999][1].path == "a/4999"
    (typed,) = [each async for each in driver.browse_types()]
    assert typed[0] == "path=R" and (typed[1].role, typed[1].group) == ("state", "R of a kind")
    past = [block async for block in driver.history(line.tags("one")[0], 5, 8)]
    assert [(block.device, *block.t_ns.tolist(), *block.value.tolist()) for block in past] == [
        (line.device, 5, 5.5), (line.device, 6, 6.5), (line.device, 7, 7.5),
    ]  # fmt: skip
    browsing = driver.browse()
    await anext(browsing)
    await browsing.aclose()  # type: ignore[attr-defined]


async def test_events_come_through_in_order(line: Line) -> None:
    await line.driver.acknowledge(line.device, "c1", "e1", "seen")
    await eventually(lambda: len(line.host.said) == 3)
    event, retained, _ = line.host.said
    assert (event.id, event.message, event.condition.name, event.detail) == ("e1", "seen", "Hot", {"n": [1, None]})
    assert event.condition.acknowledged is None
    assert retained.conditions == {"c1"}


async def test_what_it_says_of_itself_comes_through(line: Line) -> None:
    described = await line.driver.describe()
    assert [*described] == [*line.device.tags] and described[line.device.tags[0]].unit == "°C"
    assert line.driver.remarks == ["it is warm"] and line.driver.facts["security"] == "none"
    for _ in range(3):
        with pytest.raises(DeviceError):
            await line.driver.read(line.tags("device_error"))
    assert line.driver.counts == {"reads": 3}
    with pytest.raises((RuntimeError, PluginError), match="nothing to say"):
        _ = line.driver.remarks


async def test_what_one_connection_leaves_in_the_memory_the_next_one_finds(whole: type[Driver[Any, Any]]) -> None:
    process = Process(DriverOrigin.of(whole), "line", MEMORY)
    try:
        for n in (1, 2):
            driver = isolated(whole, process=process)([build_device(whole, {}, {"one": {}})])
            await driver.connect()
            await eventually(lambda driver=driver, n=n: driver.facts.get("remembered") == n)
            await driver.close()
            driver.release()
    finally:
        await process.end()


async def test_a_cancelled_read_ends_and_the_next_one_answers(line: Line) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await line.driver.read(line.tags("waits"))
    assert await line.driver.read(line.tags("one")) == [1.0]


async def test_what_the_class_says_is_what_the_drivers_own_class_says(
    whole: type[Driver[Any, Any]], driver_type: type[Driver[Any, Any]]
) -> None:
    device = build_device(driver_type, {}, {"one": {}})
    assert driver_type.plan(device) == ["1 tags"] and driver_type.methods(device.config) == {"oven": ["heat"]}
    assert driver_type.takes_turns and driver_type.subscribes(device.config)
    assert driver_type.can == whole.can == {*get_args(Ability)}
    assert (driver_type.__name__, driver_type.line_key(device.config)) == ("Whole", None)


async def test_secrets_come_over_the_socket_and_by_no_environment(
    whole: type[Driver[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_PASSWORD", "swordfish")
    driver = isolated(whole)([build_device(whole, {"password": {"env": "SCALE_PASSWORD"}}, {"secret": {}})])
    try:
        await driver.connect()
        assert await driver.read(driver.devices[0].tags) == ["swordfish"]
        seen = Path(f"/proc/{driver.process.pid}")
        assert b"swordfish" not in (seen / "environ").read_bytes() + (seen / "cmdline").read_bytes()
    finally:
        driver.release()


async def test_it_logs_into_the_gateways_log(whole: type[Driver[Any, Any]]) -> None:
    driver = isolated(whole)([build_device(whole, {}, {"one": {}})])
    with capture_logs() as logs:
        await driver.connect()
        await driver.close()
        driver.release()
    (said,) = [each for each in logs if each["event"] == "closed in good order"]
    assert (said["device"], said["reads"], said["log_level"]) == ("device-1", "0", "info")


async def test_options_that_cannot_be_handed_over_are_refused_in_words(
    whole: type[Driver[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = build_device(whole, {}, {"one": {}})
    assert refusal(whole, device) == ""
    monkeypatch.setattr(type(device.config), "__reduce_ex__", lambda *_: (_ for _ in ()).throw(TypeError("no")))
    assert "cannot be handed to another process (no)" in refusal(whole, device)
    process = Process(DriverOrigin.of(whole), "line", MEMORY)
    try:
        for _ in range(2):  # each time that it is dialled
            with pytest.raises(PluginError, match="cannot be handed to another process"):
                await isolated(whole, process=process)([device]).connect()
    finally:
        await process.end()

    class Local(whole):  # type: ignore[misc, valid-type]
        pass

    assert "no class of a plugin's file" in refusal(Local, device)


async def test_the_process_ends_with_the_gateway_whatever_it_does(whole: type[Driver[Any, Any]]) -> None:
    """A process that starts one, and is killed."""
    code = (
        "import asyncio, os, pickle, sys\n"
        "from pathlib import Path\n"
        "from gateway.isolation import isolated\n"
        "from gateway.testing import build_device, load_plugin\n"
        "async def main():\n"
        "    whole = load_plugin(Path(sys.argv[1]))\n"
        "    driver = isolated(whole)([build_device(whole, {}, {'one': {}})])\n"
        "    await driver.connect()\n"
        "    print(driver.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    import subprocess
    import sys

    path = sys.modules[whole.__module__].__file__
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    out, _ = await process.communicate()
    pid = int(out)
    await eventually(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
