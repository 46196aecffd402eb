"""Drivers in processes of their own do there what no gateway would outlive. Each costs its own device, which is named with
the reason; the neighbour in the gateway's own process is read all the while."""

from collections.abc import Iterator
from textwrap import dedent, indent

import pytest
from structlog.testing import capture_logs

from gateway.supervise import backoff
from tests.app.plant import Site, device, sink

BODY = """
import asyncio, ctypes, os, re, socket, sys, time
from gateway.plugin import DeviceConfig, Driver, TagConfig, Readings

class OwnTag(TagConfig):
    def value_type(self) -> str:
        return "float64"

class Own(Driver[DeviceConfig, OwnTag]):
    reads = 0

    async def connect(self):
        pass

    async def read(self, tags):
        self.reads += 1
        if self.reads == 1:
            return [1.0 for _ in tags]  # so that it was up
        {read}

    async def close(self):
        pass
"""
PATIENT = 'timeout = "30s"'
"""For what is to be judged by its answer, on a machine that stands still for seconds too."""
TABLE = """
[[device]]
name = "{name}"
driver = "{name}"
run_in = "process"
scan = "100ms"
{more}
[device.tags]
one = {{}}
two = {{}}
"""
BAD = {
    "sleeps": ("time.sleep(3600)", "its process did not answer for"),
    "holds_the_lock": ("ctypes.PyDLL(None).sleep(3600)", "its process did not answer for"),
    "searches": ("re.match('(a*)*b', 'a' * 60)", "its process did not answer for"),
    "exits": ("os._exit(3)", "its process ended by itself, with code 3"),
    "crashes": ("ctypes.string_at(0)", "its process ended by signal 11 (SIGSEGV)"),
    "hogs": ("bytearray(4_000_000_000)", "MemoryError"),
    "deaf": (
        """
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
        """,
        "its process did not answer for",
    ),
    "fails_at_length": ("raise ValueError('x' * 100_000_000)", "ValueError: xxx"),
    "leaves": ("sys.exit(3)", "SystemExit"),
    "loses_a_group": (
        """
        async def lost():
            await asyncio.sleep(0)
            raise OSError("reset by peer")

        async with asyncio.TaskGroup() as group:
            group.create_task(lost())
        """,
        "reset by peer",
    ),
    "answers_too_much": ("return [1.0] * 100_000", "read returned 100000 values for 2 tags"),
    "answers_objects": ("return [object(), 1.0]", "read returned a object, which is no value"),
    "speaks_nonsense": (
        "socket.socket(fileno=int(sys.argv[1])).sendall(b'x' * 1000)",
        "its process says what cannot be understood",
    ),
}  # fmt: skip
"""Name → what its read does, and what is told of it."""


def lay(site: Site, name: str, read: str) -> None:
    body = BODY.format(read=indent(dedent(read), " " * 8).strip())
    (site.path / "plugins" / f"{name}.py").write_text(body)


def table(name: str, more: str = 'timeout = "1s"') -> str:
    return TABLE.format(name=name, more=more)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the gateway logs is not printed: a traceback with all locals takes a second of the event loop."""
    with capture_logs():
        yield


async def neighbour_is_read(site: Site) -> None:
    await site.heard("north/neighbour", since=len(site.far.story))


async def none_blocked(site: Site) -> None:
    """No plugin has kept the gateway's event loop."""
    assert [each for each in (await site.ask("status"))["stalls"] if each["plugin"]] == []


@pytest.mark.parametrize("names", [[*BAD][:6], [*BAD][6:]], ids=["blocking-and-dying", "answering"])
async def test_the_guilty_one_is_named_and_its_neighbour_goes_on(
    site: Site, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 15.0)  # a process that is begun anew costs a second
    for name in names:
        lay(site, name, BAD[name][0])
    blocking = {name for name in names if "did not answer" in BAD[name][1]}
    site.write(
        sink(), device("neighbour"), *(table(name) if name in blocking else table(name, PATIENT) for name in names)
    )
    async with site.running():
        for name in names:
            topic, told = f"north/{name}/_state", BAD[name][1]
            at = await site.heard(topic, lambda body, told=told: told in body.get("reason", ""))  # type: ignore[misc]
            assert len(site.far.story[at][1]["reason"]) < 3000
            await neighbour_is_read(site)
        await none_blocked(site)


async def test_where_it_stood_is_told(site: Site) -> None:
    lay(site, "sleeps", "time.sleep(3600)")
    site.write(sink(), device("neighbour"), table("sleeps"))
    async with site.running():
        await site.heard("north/sleeps/_state", lambda body: "sleeps.py:19, in read" in body.get("reason", ""))


async def test_a_call_that_blocks_for_less_than_the_time_out_is_no_fault(site: Site) -> None:
    lay(site, "slow", "time.sleep(0.2); return [float(self.reads), 2.0]")
    site.write(sink(), device("neighbour"), table("slow", PATIENT))
    async with site.running():
        await site.heard("north/slow", lambda body: 5.0 in _numbers(body))
        (slow,) = [each for each in (await site.ask("status"))["devices"] if each["name"] == "slow"]
        assert slow["state"] == "up" and slow["process"]["starts"] == 1
        assert slow["process"]["pid"] and slow["process"]["memory"] > 10_000_000


async def test_who_prints_without_end_is_heard_in_part(site: Site) -> None:
    lay(
        site,
        "prints",
        "os.write(2, b'x' * 4095 + b'\\n') if self.reads % 2 else print('y' * 100_000); return [1.0, float(self.reads)]",
    )
    lay(site, "floods", "[os.write(1, b'z' * 65536) for _ in range(16384)]; return [1.0, 2.0]")
    site.write(sink(), device("neighbour"), table("prints", PATIENT), table("floods"))
    async with site.running():
        await site.heard("north/prints", lambda body: 9.0 in _numbers(body))
        await site.heard("north/floods/_state", lambda body: "did not answer" in body.get("reason", ""))
        await neighbour_is_read(site)
        await none_blocked(site)


def _numbers(body: dict[str, object]) -> list[object]:
    values = body.get("values", body)
    return [each.get("value") if isinstance(each, dict) else each for each in dict(values).values()]  # type: ignore[call-overload]


async def test_a_new_connection_is_made_in_the_same_process(site: Site) -> None:
    lay(site, "cuts", "if self.reads == 3:\n    raise OSError('cut')\nreturn [1.0, 2.0]")
    site.write(sink(), device("neighbour"), table("cuts", PATIENT))
    async with site.running():
        for _ in range(3):
            at = await site.heard("north/cuts/_state", lambda body: "cut" in body.get("reason", ""))
            await site.heard("north/cuts", since=at)
        (cuts,) = [each for each in (await site.ask("status"))["devices"] if each["name"] == "cuts"]
        assert cuts["process"]["starts"] == 1


async def test_only_what_the_gateway_has_seen_is_loaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit trail knows nothing of files that were changed while the gateway runs."""
    monkeypatch.setattr(backoff.Backoff, "pause", lambda *_: 0.2)
    lay(site, "exits", "os._exit(3)")
    site.write(sink(), device("neighbour"), table("exits", PATIENT))
    async with site.running():
        await site.heard("north/exits/_state", lambda body: "ended by itself, with code 3" in body.get("reason", ""))
        lay(site, "exits", "return [4711.0, 2.0]")
        changed = await site.heard("north/exits/_state", lambda body: "restart the gateway" in body.get("reason", ""))
        await neighbour_is_read(site)
        lay(site, "exits", "os._exit(3)")
        await site.heard("north/exits/_state", lambda body: "with code 3" in body.get("reason", ""), since=changed)
        assert not [body for topic, body in site.far.story if topic == "north/exits" and 4711.0 in _numbers(body)]
