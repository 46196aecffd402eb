"""What happens between start and stop."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.core.clock import SystemClock
from gateway.core.command import Actor
from gateway.core.errors import GatewayError, LinkError
from gateway.outbox import Outbox
from gateway.plugin.loading import load_plugin
from gateway.supervise import systemd
from gateway.trust.audit import verify
from tests.app.plant import Site, device, sink


async def test_values_come_from_the_device_to_the_sink_with_description_and_state_first(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        first = await site.heard("north/oven")
    assert site.far.story[first][1]["values"] == {"temp": 1.0, "speed": 1.0}
    before = [topic for topic, _ in site.far.story[:first]]
    assert "north/oven/_tags" in before
    states = [body["online"] for topic, body in site.far.story[:first] if topic == "north/oven/_state"]
    assert states[-1] is True


async def test_a_stop_closes_devices_before_sinks_and_the_last_word_on_a_device_is_that_it_is_offline(
    site: Site,
) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
    assert site.bench.closes == ["oven"]
    assert site.far.story[-1][0] == "closed"
    states = [body for topic, body in site.far.story if topic == "north/oven/_state"]
    assert states[-1]["online"] is False
    values = [body for topic, body in site.far.story if topic == "north/oven"]
    assert "temp" in values[-1]["q"], "the last record says that the values are stale"


async def test_nothing_is_skipped_after_an_orderly_stop(site: Site) -> None:
    site.write(sink(), device("oven"))
    for _ in range(2):
        async with site.running():
            count = len(site.far.records)
            await site.until(lambda count=count: len(site.far.records) > count + 3, "records")
    seqs = [record.seq for record in site.far.records if record.lane.word == "data"]
    assert seqs == list(range(1, len(seqs) + 1))
    assert not [topic for topic, _ in site.far.story if topic.endswith("_skip")]


async def test_the_audit_trail_says_what_ran(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        pass
    start, stop = site.audit()
    assert (start["action"], stop["action"]) == ("gateway.start", "gateway.stop")
    assert set(start["plugins"]) == {"lab", "memory"}
    assert all(len(value) == 64 for value in start["plugins"].values())
    assert start["versions"]["python"] and start["versions"]["numpy"]
    assert verify(site.path / "state" / "audit.jsonl").ok


async def test_two_gateways_never_work_in_one_state_directory(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        with pytest.raises(GatewayError, match=rf"another gateway \(process {os.getpid()}\) works in .*state; stop it"):
            async with site.running(socket=site.path / "other.sock"):
                pass
        await site.heard("north/oven", since=len(site.far.story))
    async with site.running():
        pass


async def test_a_state_directory_that_cannot_be_made_is_named(site: Site) -> None:
    (site.path / "state").write_text("in the way")
    site.write(device("oven"))
    with pytest.raises(GatewayError, match=r"state directory .*state: File exists; .*state_dir"):
        async with site.running():
            pass


async def test_an_audit_trail_that_cannot_be_written_is_told_and_the_gateway_runs_on(site: Site) -> None:
    (site.path / "state" / "audit.jsonl").mkdir(parents=True)
    site.write(sink(), device("oven"))
    with capture_logs() as logs:
        async with site.running():
            await site.heard("north/oven")
    told = [entry for entry in logs if entry.get("action") == "gateway.start"]
    assert told and "audit trail" in told[0]["event"]


async def test_remarks_and_parked_plugins_are_logged_at_the_start(site: Site) -> None:
    open_to_all = site.path / "plugins" / "scale.py"
    open_to_all.write_text("")
    open_to_all.chmod(0o666)
    site.write(device("oven"))
    with capture_logs() as logs:
        async with site.running():
            pass
    warnings = [str(entry) for entry in logs if entry["log_level"] == "warning"]
    assert any("no [[sink]]" in warning for warning in warnings)
    assert any("scale.py" in warning and "parked" in warning for warning in warnings)


async def test_a_device_whose_plugin_does_not_load_is_left_out_and_the_others_run(site: Site) -> None:
    (site.path / "plugins" / "scale.py").write_text("import acme_library_that_is_not_there\n")
    site.write(sink(), device("oven"), '[[device]]\nname = "scale-1"\ndriver = "scale"\n[device.tags]\nweight = {}\n')
    with capture_logs() as logs:
        async with site.running() as gateway:
            await site.heard("north/oven")
            (left_out,) = gateway.status.now().parked
            assert (await gateway.reloads.reload(Actor("test")))["applied"], (
                "it was left out before, so nothing gets worse"
            )
    assert 'device "scale-1"' in left_out
    assert "acme_library_that_is_not_there" in left_out
    assert any(entry.get("reason") == left_out for entry in logs if entry["log_level"] == "error")


async def test_a_reload_that_would_leave_a_running_device_out_changes_nothing(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        (site.path / "plugins" / "scale.py").write_text("import acme_library_that_is_not_there\n")
        site.write(sink(), device("oven").replace('"lab"', '"scale"'))
        answer = await gateway.reloads.reload(Actor("test"))
        assert not answer["applied"]
        assert "acme_library_that_is_not_there" in answer["problems"][0]
        await site.heard("north/oven")


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_driver_whose_close_hangs_does_not_hold_up_the_stop(site: Site, deaf: bool) -> None:
    site.write(device("oven"), device("press"))
    with capture_logs() as logs:
        async with site.running() as gateway:
            await site.until(lambda: len(list(site.bench.connects)) == 2)
            await site.until(lambda: all(source.polls for source in gateway.acquirer.sources))
            site.bench.closing.clear()  # for ever: the stop would not end
            site.bench.deaf = deaf
    assert sorted(site.bench.closes) == ["oven", "press"]
    left = [entry["seconds"] for entry in logs if "closing took too long" in entry["event"]]
    assert left == [3.0, 3.0], "each after so many seconds"
    site.bench.closing.set()


async def test_a_close_that_fails_is_logged_and_does_not_hold_up_the_stop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(self) -> None:
        raise RuntimeError("a bug in close")

    site.write(sink(), device("oven"))
    monkeypatch.setattr(load_plugin(site.path / "plugins" / "lab.py"), "close", close)
    with capture_logs() as logs:
        async with site.running():
            await site.heard("north/oven")
    assert [entry for entry in logs if entry["event"] == "the driver's close failed"]
    states = [body["online"] for topic, body in site.far.story if topic == "north/oven/_state"]
    assert states[-1] is False


async def test_a_driver_that_turns_a_cancellation_into_an_error_does_not_hold_up_the_stop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(self, tags):
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            raise LinkError("cut") from error

    site.write(device("oven"))
    lab = load_plugin(site.path / "plugins" / "lab.py")
    monkeypatch.setattr(lab, "read", read)
    async with site.running():
        await site.until(lambda: site.bench.connects)
    assert site.bench.closes == ["oven"]


async def test_a_bug_of_our_own_ends_the_gateway_and_stands_in_the_audit_trail(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(sink(), device("oven"))

    def broken(self) -> None:
        raise ZeroDivisionError("in the core")

    monkeypatch.setattr(Outbox, "_tick", broken)
    with pytest.raises(ExceptionGroup) as caught:
        async with site.running():
            await asyncio.wait(site.tasks)
    assert caught.group_contains(ZeroDivisionError)
    assert site.audit()[-1]["action"] == "gateway.failed"
    assert "in the core" in site.audit()[-1]["why"]


async def test_systemd_is_told_ready_once_commands_are_answered_then_the_state_then_stopping(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict] = []

    def notify(**variables) -> bool:
        told.append({**variables, "socket": site.socket.is_socket()})
        return True

    monkeypatch.setenv("NOTIFY_SOCKET", "@systemd")
    for module in ("gateway.app", "gateway.supervise.watchdog"):
        monkeypatch.setattr(f"{module}.notify", notify)
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        gateway._watchdog().feed()
    assert [each for each in told if "READY" in each] == [{"READY": 1, "socket": True}]
    assert told[-1] == {"STOPPING": 1, "socket": True}
    assert told[-2]["STATUS"] == "1/1 devices up, central up; all is well"


async def test_the_notify_socket_gets_what_sd_notify_describes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert systemd.notify(READY=1, STATUS="2/2 devices up")
        assert heard.recv(100) == b"READY=1\nSTATUS=2/2 devices up"


async def test_commands_answer_in_the_shapes_that_scripts_rely_on(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        status = await site.ask("status")
        tags = await site.ask("tags", device="oven")
        readings = await site.ask("read", device="oven", tags=["temp"])
    assert set(status) == {
        "gateway",
        "version",
        "alarms",
        "uptime_s",
        "watches",
        "config",
        "clock",
        "devices",
        "sinks",
        "outbox",
        "models",
        "limits",
        "parts",
        "services",
        "stalls",
        "parked",
        "audit",
        "certificates",
    }
    assert status["devices"][0]["state"] == "up"
    assert status["devices"][0]["good"] == 2
    assert status["sinks"][0]["name"] == "central"
    assert [(tag["tag"], tag["value"], tag["unit"], tag["quality"]) for tag in tags] == [
        ("temp", 1.0, "°C", "good"),
        ("speed", 1.0, "", "good"),
    ]
    assert [(each["tag"], each["value"]) for each in readings] == [("temp", 1.0)]
    json.dumps([status, tags, readings], allow_nan=False)


class StepClock(SystemClock):
    """The machine's clocks, with a wall clock that can be set."""

    ahead = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.ahead


async def test_a_step_of_the_clock_is_told_to_people_and_far_side_and_the_polls_follow_it(site: Site) -> None:
    clock = StepClock()
    site.write(sink(), device("oven", "align = true").replace("50ms", "1s"))
    async with site.running(clock) as gateway:
        await site.heard("north/oven")
        clock.ahead = 3600_400_000_000
        step = await site.heard("north/g1/_event", lambda body: body["kind"] == "clock")
        await site.until(lambda: any(line["action"] == "clock.step" for line in site.audit()), "in the audit trail")
        before = clock.wall_ns() / 1e9
        wheel_s = asyncio.get_running_loop().time() - gateway.acquirer.wheel._origin
        assert before - 0.1 < wheel_s < clock.wall_ns() / 1e9 + 0.1
        after = await site.heard("north/oven", since=step)
        await site.heard("north/oven", lambda body: body["ts"] % 1000 < 100, since=after)
    assert site.far.story[step][1]["step_s"] == pytest.approx(3600.4, abs=0.1)
    (noted,) = [line for line in site.audit() if line["action"] == "clock.step"]
    assert noted["seconds"] == pytest.approx(3600.4, abs=0.1)
