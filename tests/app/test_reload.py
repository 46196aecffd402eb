"""Another configuration for a gateway that runs."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.config import secrets
from gateway.core.command import Actor
from gateway.core.event import Event
from gateway.plugin.driver import Found
from gateway.status import ModelStatus
from tests.app.plant import Site, device, sink
from tests.detect.graphs import CARD, save

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "gateway" / "demo" / "models"


async def test_the_same_file_changes_nothing(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        assert await site.ask("reload") == {"applied": True, "changes": []}
        count = len(site.far.records)
        await site.until(lambda: len(site.far.records) > count + 2)
    assert site.bench.connects == ["oven"]
    assert site.far.connects == 1
    assert [line["action"] for line in site.audit()] == [
        "gateway.start", "config.reload", "config.reload.result", "gateway.stop",
    ]  # fmt: skip


async def test_a_file_with_mistakes_changes_nothing_and_names_them_all(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        site.write(sink(more='windwo = 3\norder = "no"'), device("press"))
        answer = await site.ask("reload")
        await site.heard("north/oven", since=len(site.far.story))
    assert answer["applied"] is False
    assert len(answer["problems"]) == 2
    assert 'did you mean "window"' in answer["problems"][0]
    assert site.bench.connects == ["oven"]
    refused = site.audit()[1]
    assert refused["action"] == "config.refused"
    assert "windwo" in refused["why"]
    assert refused["who"] not in ("", "system")


async def test_what_a_reload_has_replaced_is_cleared_away(site: Site) -> None:
    site.write(device("oven"))
    async with site.running():
        assert site.settled == 1
        site.write(device("press"))
        await site.ask("reload")
        assert site.settled == 2
        await site.ask("reload")
        assert site.settled == 2, "nothing was replaced"
        site.write(device("press", "windwo = 3"))
        await site.ask("reload")
        assert site.settled == 2


async def test_what_belongs_to_the_whole_gateway_needs_a_restart(site: Site) -> None:
    site.write(device("oven"))
    async with site.running():
        site.gateway_line = 'area = "solids"'
        site.write(device("oven"), '[outbox]\nkeep = "1h"')
        answer = await site.ask("reload")
    assert answer["applied"] is False
    assert answer["problems"] == [
        "[gateway] area, [outbox] keep: changing this needs a restart (systemctl restart edge-gateway)"
    ]


async def test_only_the_changed_device_is_dialled_anew(site: Site) -> None:
    site.write(sink(), device("oven"), device("press"), device("saw"))
    async with site.running():
        for name in ("oven", "press", "saw"):
            await site.heard(f"north/{name}")
        site.write(sink(), device("saw"), device("mill"), device("oven", 'timeout = "2s"'))
        answer = await site.ask("reload")
        for name in ("mill", "saw", "oven"):
            await site.heard(f"north/{name}", since=len(site.far.story))
        assert {each["name"] for each in (await site.ask("status"))["devices"]} == {"mill", "saw", "oven"}
        with pytest.raises(AssertionError, match='no device "press"'):
            await site.ask("tags", device="press")
    assert answer["changes"] == ["device mill added", "device press removed", "device oven changed"]
    assert sorted(site.bench.connects) == ["mill", "oven", "oven", "press", "saw"]
    assert site.far.connects == 1


async def test_a_sink_whose_secret_has_changed_is_connected_anew_and_nothing_else_is(site: Site) -> None:
    word = site.path / "word"
    word.write_text("old")
    word.chmod(0o600)
    site.write(sink(more='word = { file = "word" }'), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        assert (await site.ask("reload"))["changes"] == []
        word.write_text("new")
        answer = await site.ask("reload")
        assert answer["changes"] == ["sink central: its credentials or certificates have changed"]
        await site.until(lambda: site.far.connects == 2, "it is connected anew")
        await site.heard("north/oven", since=len(site.far.story))
        assert (await site.ask("reload"))["changes"] == []
    assert site.far.connects == 2
    assert site.bench.connects == ["oven"]


async def test_a_credential_that_systemd_read_at_the_start_needs_a_restart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, kept = site.path / "given", site.path / "kept"
    for folder, age in ((given, 10), (kept, 20)):
        folder.mkdir()
        (folder / "word").write_text("old")
        os.utime(folder / "word", (time.time() - age,) * 2)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    monkeypatch.setattr(secrets, "CREDENTIALS", kept)
    site.write(sink(more='word = { credential = "word" }'), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        assert (await site.ask("reload"))["changes"] == []
        (kept / "word").write_text("new")
        (told,) = (await site.ask("reload"))["changes"]
    assert told == (
        'sink central: word: credential "word" was changed: changing this needs a restart (systemctl restart edge-gateway)'
    )
    assert site.far.connects == 1


async def test_the_far_side_is_told_that_a_device_was_removed(site: Site) -> None:
    site.write(sink(), device("oven"), device("press"))
    async with site.running():
        await site.heard("north/press")
        site.write(sink(), device("oven"))
        await site.ask("reload")
        await site.heard("north/press/_state", lambda body: body.get("reason") == "removed from the configuration")
    states = [body for topic, body in site.far.story if topic == "north/press/_state"]
    assert states[-1]["online"] is False


async def test_a_device_removed_while_the_far_side_is_away_is_told_when_it_is_back(site: Site) -> None:
    site.write(sink(), device("oven"), device("press"))
    async with site.running():
        await site.heard("north/press")
        site.far.down = True
        await site.heard("closed")
        site.write(sink(), device("oven"))
        await site.ask("reload")
        site.far.down = False
        await site.heard("north/press/_state", lambda body: body.get("reason") == "removed from the configuration")


async def test_a_new_area_alone_moves_the_device_to_its_new_topic(site: Site) -> None:
    site.write(sink(), device("oven", 'area = "a1"'))
    async with site.running():
        await site.heard("north/a1/oven")
        site.write(sink(), device("oven", 'area = "a2"'))
        await site.ask("reload")
        for topic in ("north/a2/oven/_tags", "north/a2/oven"):
            await site.heard(topic)
        await site.heard("north/a2/oven/_state", lambda body: body["online"])
    old = [body["online"] for topic, body in site.far.story if topic == "north/a1/oven/_state"]
    assert old[-1] is False


async def test_a_new_scan_period_alone_takes_effect_and_keeps_the_tags_numbers(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        before = gateway.live["oven"].device.tags.ids.tolist()
        site.write(sink(), device("oven").replace("50ms", "20ms"))
        await site.ask("reload")
        await site.heard("north/oven", since=len(site.far.story))
        assert gateway.live["oven"].device.tags.ids.tolist() == before
        assert [scan.period for source in gateway.acquirer.sources for scan in source.scans] == [0.02]


async def test_a_changed_sink_goes_on_where_it_was_and_devices_are_not_disturbed(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        site.write(sink(more='note = "new"'), device("oven"))
        assert (await site.ask("reload"))["changes"] == ["sink central changed"]
        assert (site.far.connects, site.far.closes) == (2, 1) or site.far.closes == 1
        await site.heard("north/oven", since=len(site.far.story))
    assert site.bench.connects == ["oven"]
    seqs = [record.seq for record in site.far.records if record.lane.word == "data"]
    assert seqs == list(range(1, len(seqs) + 1)), "nothing twice, nothing missing"


async def test_a_sink_that_is_added_gets_data_and_one_that_is_removed_holds_nothing_back(site: Site) -> None:
    site.write(sink("first"), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        site.write(sink("second"), device("oven"))
        assert (await site.ask("reload"))["changes"] == ["sink second added", "sink first removed"]
        await site.heard("north/oven", since=len(site.far.story))
        status = await site.ask("status")
    assert [each["name"] for each in status["sinks"]] == ["second"]
    assert [each["sink"] for each in status["outbox"]["readers"]] == ["second"]


async def test_moving_devices_about_on_a_shared_line_leaves_it_alone(site: Site) -> None:
    oven, press = device("oven", 'bus = "b"'), device("press", 'bus = "b"')
    site.write(sink(), oven, press)
    async with site.running():
        await site.heard("north/press")
        site.write(sink(), press, oven)
        assert (await site.ask("reload"))["changes"] == []
        await site.heard("north/oven", since=len(site.far.story))
    assert len(site.bench.connects) == 1


async def test_a_changed_device_on_a_shared_line_dials_the_line_once(site: Site) -> None:
    oven = device("oven", 'bus = "b"')
    site.write(sink(), oven, device("press", 'bus = "b"'))
    async with site.running():
        await site.heard("north/press")
        site.write(sink(), oven, device("press", 'bus = "b"\ntimeout = "2s"'))
        await site.ask("reload")
        await site.heard("north/press", since=len(site.far.story))
        await site.heard("north/oven", since=len(site.far.story))
    assert len(site.bench.connects) == 2


async def test_a_reload_while_a_device_is_being_dialled_gives_that_up(site: Site) -> None:
    site.bench.connecting.clear()
    site.write(sink(), device("oven"))
    async with site.running():
        await site.until(lambda: site.bench.connects)
        site.write(sink(), device("press"))
        assert (await site.ask("reload"))["applied"]
        site.bench.connecting.set()
        await site.heard("north/press")
    assert site.bench.connects == ["oven", "press"]
    assert site.bench.closes == ["press"], "close is for a connect that succeeded"


async def test_reloads_at_once_are_applied_one_after_the_other(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        site.write(sink(), device("press"))
        first, second = await asyncio.gather(gateway.reloads.reload(Actor("a")), gateway.reloads.reload(Actor("b")))
        await site.heard("north/press")
    assert first["changes"] == ["device press added", "device oven removed"]
    assert second["changes"] == []


async def test_what_cannot_be_applied_is_taken_back(site: Site) -> None:
    site.write(sink(), device("oven"), device("press"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        site.bench.broken = "mill"
        old = gateway.config
        site.write(sink(more='note = "new"'), device("press"), device("mill"))
        answer = await site.ask("reload")
        assert gateway.config is old
        for name in ("oven", "press"):
            await site.heard(f"north/{name}", since=len(site.far.story))
    assert answer == {
        "applied": False,
        "problems": ["RuntimeError: a bug in line_key; the gateway runs on with the old configuration"],
    }
    assert sorted(site.bench.connects) == ["oven", "press"], "nothing was stopped for it"


async def test_a_failure_halfway_is_taken_back_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write(sink(), device("oven"), device("press"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        bind = gateway._pipeline.bind

        def failing(spec, found):
            if spec.config.name == "mill":
                raise ValueError("mill cannot be bound")
            return bind(spec, found)

        monkeypatch.setattr(gateway._pipeline, "bind", failing)
        site.write(sink(more='note = "new"'), device("oven", 'timeout = "2s"'), device("mill"))
        answer = await site.ask("reload")
        for name in ("oven", "press"):
            await site.heard(f"north/{name}", since=len(site.far.story))
        status = await site.ask("status")
    assert answer["problems"] == ["ValueError: mill cannot be bound; the gateway runs on with the old configuration"]
    assert {each["name"] for each in status["devices"]} == {"oven", "press"}
    assert status["config"]["hash"] == site.audit()[0]["config"][:8]


async def test_a_plugin_dropped_in_is_there_at_the_next_reload(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        dropped = (site.path / "plugins" / "lab.py").read_text().replace("bench: Bench", "bench = Bench()")
        (site.path / "plugins" / "lab2.py").write_text(dropped)
        site.write(sink(), device("oven"), device("press").replace('"lab"', '"lab2"'))
        assert (await site.ask("reload"))["applied"]
        await site.heard("north/press")


async def test_a_plugin_whose_file_has_changed_is_named_with_what_to_do(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        with (site.path / "plugins" / "lab.py").open("a") as file:
            file.write("\n# a correction\n")
        answer = await site.ask("reload")
    assert answer["changes"] == [
        "plugin lab has changed on disk: changing this needs a restart (systemctl restart edge-gateway)"
    ]


async def test_a_plugin_that_cannot_be_imported_refuses_the_reload(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        (site.path / "plugins" / "broken.py").write_text("import no_such_library\n")
        site.write(sink(), device("press").replace('"lab"', '"broken"'))
        answer = await site.ask("reload")
        await site.heard("north/oven", since=len(site.far.story))
    assert answer["applied"] is False
    assert "no_such_library" in answer["problems"][0]


async def test_what_a_device_tells_of_its_tags_reaches_the_far_side(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven/_tags", lambda body: "type" not in body["tags"]["temp"])
        site.bench.found = {"temp": Found("float32", "", "in the chamber")}
        site.write(sink(), device("oven", 'timeout = "2s"'))
        await site.ask("reload")
        await site.heard("north/oven/_tags", lambda body: body["tags"]["temp"].get("type") == "float32")
        await site.heard("north/oven", since=len(site.far.story))


async def test_of_a_storm_of_signals_one_reload_waits(site: Site) -> None:
    site.write(device("oven"))
    async with site.running() as gateway:
        for _ in range(100):
            gateway.reload_soon()
        await site.ask("reload")
        for _ in range(100):
            gateway.reload_soon()
        site.write(device("press"))
        await site.ask("reload")
        assert [each["name"] for each in (await site.ask("status"))["devices"]] == ["press"]
    by_signal = [line for line in site.audit() if line["action"] == "config.reload" and line["who"] == "SIGHUP"]
    assert len(by_signal) == 2, "one for each storm"


async def test_the_signal_reloads_too(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        site.write(sink(), device("press"))
        with capture_logs() as logs:
            gateway.reload_soon()
            await site.heard("north/press")
            await site.until(lambda: any(entry.get("by") == "SIGHUP" for entry in logs))
    gateway.reload_soon()  # too late, and harmless


async def test_a_model_is_exchanged_without_touching_devices_and_stays_while_others_change(site: Site) -> None:
    inputs = [CARD["inputs"][0], {**CARD["inputs"][1], "tag": "speed", "unit": ""}]
    save(site.path / "m.onnx", card={**CARD, "inputs": inputs})
    table = '[[model]]\nfile = "m.onnx"\ndevices = ["oven"]\n'
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        none = gateway.detection.detector
        site.write(sink(), device("oven"), table)
        assert (await site.ask("reload"))["changes"] == [f"model {site.path / 'm.onnx'} added"]
        one = gateway.detection.detector
        assert one is not none
        await site.until(lambda: one.status(ModelStatus)[0].state == "up", "the model is loaded")
        site.write(sink(), device("oven"), device("press"), table)
        await site.ask("reload")
        assert gateway.detection.detector is one
        save(site.path / "m.onnx", card={**CARD, "inputs": inputs, "version": "3"})
        await site.ask("reload")
        assert gateway.detection.detector is not one
    assert site.bench.connects == ["oven", "press"]


async def test_a_model_that_does_not_fit_is_refused_with_the_reason_and_changes_nothing(site: Site) -> None:
    shutil.copy(next(MODELS.glob("*.onnx")), site.path / "m.onnx")
    site.write(sink(), device("oven"))
    async with site.running() as gateway:
        await site.heard("north/oven")
        none = gateway.detection.detector
        for file, key, told in (
            ("m.onnx", "devices", "are missing: add them to the device"),
            ("gone.onnx", "file", "No such file or directory"),
        ):
            site.write(sink(), device("oven"), f'[[model]]\nfile = "{file}"\ndevices = ["oven"]\n')
            answer = await site.ask("reload")
            assert answer["applied"] is False
            assert len(answer["problems"]) == 1
            assert told in answer["problems"][0]
            lines = site.config.read_text().splitlines()
            line = next(number for number, text in enumerate(lines, 1) if text.startswith(f"{key} = "))
            assert f"config.toml:{line}: model {file}: {key}: " in answer["problems"][0]
        assert gateway.detection.detector is none


async def test_a_model_that_did_not_fit_before_holds_up_no_other_change(site: Site) -> None:
    shutil.copy(next(MODELS.glob("*.onnx")), site.path / "m.onnx")
    table = '[[model]]\nfile = "m.onnx"\ndevices = ["oven"]\n'
    site.write(sink(), device("oven"), table)
    async with site.running():
        await site.heard("north/oven/_event", lambda body: body["kind"] == "model")
        site.write(sink(), device("oven"), device("press"), table)
        assert (await site.ask("reload"))["changes"] == ["device press added"]


async def test_an_event_overtakes_the_backlog(site: Site) -> None:
    site.far.down = True
    site.write(sink(more="window = 1"), device("oven"))
    async with site.running() as gateway:
        await site.until(lambda: gateway.outbox.status().lanes["data"].accepted > 20)
        event = Event("e1", "anomaly", "raised", "oven", 1_800_000_000_000_000_000, "the oven is odd", "alarm")
        gateway.outbox.append_event(event)
        await gateway.outbox.written_out(25)
        site.far.down = False
        place = await site.heard("north/oven/_event")
        before = [topic for topic, _ in site.far.story[:place] if topic == "north/oven"]
        assert len(before) <= 1, "at most the one record that the window holds"
        await site.until(lambda: len(site.far.records) > 20)


async def test_what_a_file_of_conf_d_adds_is_read_and_what_it_disables_is_not_forgotten(site: Site) -> None:
    site.write(sink(), device("oven"))
    async with site.running():
        await site.heard("north/oven")
        (site.config.parent / "conf.d").mkdir(mode=0o755)
        (site.config.parent / "conf.d/press.toml").write_text(device("press"))
        assert (await site.ask("plan"))["changes"] == ["file conf.d/press.toml added", "device press added"]
        await site.ask("reload")
        await site.heard("north/press")
        off = device("press").replace("[[device]]", "[[device]]\nenabled = false")
        (site.config.parent / "conf.d/press.toml").write_text(off)
        answer = await site.ask("reload")
        assert answer["changes"] == ["file conf.d/press.toml changed", "device press disabled"]
        status = await site.ask("status")
    assert [each["name"] for each in status["devices"]] == ["oven"]
    assert status["config"]["disabled"] == ["device press"]
    assert status["config"]["files"] == [str(site.config.parent / "conf.d/press.toml")]
