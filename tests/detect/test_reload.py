"""Another configuration loses no window, no delay and no count of what stays the same in it."""

import pytest

from gateway.config.model import AlarmSection, ModelSection
from gateway.core.tag import Device, Tag, Tags
from gateway.detect import Detector, versions
from gateway.detect.limit_watch import limit_watches
from gateway.status import ModelStatus, rendered
from tests.detect.graphs import CARD, save
from tests.detect.test_detector import Plant, device


def model(**more):
    return ModelSection(file="oven.onnx", devices=more.pop("devices", ("oven-*",)), **more)


HOT = AlarmSection(name="hot", devices=("oven-*",), tag="temp", high=60.0, on_delay="5s")


async def start(tmp_path, devices, sections=None, limits=()):
    save(tmp_path / "oven.onnx")
    made = Plant([], devices, tmp_path)
    await follow(made, devices, sections or [model()], limits, before=None)
    return made


async def follow(made, devices, sections, limits=(), before=True):
    made.detector = Detector(
        made.around,
        sections,
        devices,
        base=made.base,
        watchers=limit_watches(limits, devices, made.alarms, made.clock, "0.1.0"),
        before=made.detector if before else None,
    )
    await made.detector.load()


async def test_the_next_cell_is_scored_and_the_persistence_goes_on(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(5, [one])
    made.seconds(4, [one], temp=75.0)  # one score above the threshold, of the two that raise
    assert made.told() == []
    await follow(made, [one], [model()])
    made.seconds(1, [one], temp=75.0)
    assert made.told() == [("anomaly", "raised", "oven-1")]
    assert rendered(made.detector.status(ModelStatus))[0]["restarts"] == 0


@pytest.mark.parametrize("changed", [{"latch": True}, {"drift_span": "1h"}, {"devices": ("oven-1",)}])
async def test_other_options_of_a_model_leave_its_windows_whole(tmp_path, changed):
    one, two = device(), device("oven-2", 10)
    made = await start(tmp_path, [one, two])
    made.seconds(6, [one, two])
    await follow(made, [one, two], [model(**changed)])
    assert made.devices()["oven-1"]["state"] == "running"
    made.seconds(3, [one, two], temp=55.0)
    assert made.devices()["oven-1"]["state"] == "running"
    assert made.devices()["oven-1"]["score"] > 0


async def test_a_device_that_comes_warms_up_alone_and_one_that_goes_takes_only_its_own(tmp_path):
    one, two, three = device(), device("oven-2", 10), device("oven-3", 20)
    made = await start(tmp_path, [one, two])
    made.seconds(6, [one, two])
    await follow(made, [two, three], [model()])
    assert made.devices()["oven-2"]["state"] == "running"
    made.seconds(3, [two, three])
    states = {name: entry["state"] for name, entry in made.devices().items()}
    assert states == {"oven-2": "running", "oven-3": "warmup"}


async def test_a_tag_that_becomes_another_begins_anew(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    other = device(first_id=50)
    await follow(made, [other], [model()])
    assert made.devices()["oven-1"]["state"] == "waiting"
    made.seconds(3, [other])
    assert made.devices()["oven-1"]["state"] == "warmup"


async def test_a_new_version_at_the_same_place_takes_the_windows_over(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    save(tmp_path / "oven.onnx", card=CARD | {"version": "3"})
    await follow(made, [one], [model()])
    made.seconds(1, [one])
    assert rendered(made.detector.status(ModelStatus))[0]["version"] == "3"
    assert made.devices()["oven-1"]["state"] == "running"


async def test_one_of_another_form_warms_up(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    save(tmp_path / "oven.onnx", card=CARD | {"period_ms": 2000})
    await follow(made, [one], [model()])
    made.seconds(5, [one])
    assert made.devices()["oven-1"]["state"] == "warmup"


async def test_after_an_approval_the_windows_go_on_and_a_version_in_shadow_keeps_its_figures(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    following = versions.next_of(tmp_path / "oven.onnx")
    for version in ("3", "4"):
        save(following, card=CARD | {"version": version})
        await made.detector.rollout.look()
        made.seconds(6, [one])
        if version == "3":
            found = made.detector.rollout.find("oven")
            await made.detector.rollout.approve(found, found.shadow.sha256)
    before = rendered(made.detector.status(ModelStatus))[0]["shadow"]
    assert before["agreement"]["looks"] > 0
    await follow(made, [one], [model()])
    after = rendered(made.detector.status(ModelStatus))[0]
    assert (after["version"], after["shadow"]) == ("3", before)
    assert after["devices"][0]["state"] == "running"
    made.seconds(1, [one])
    await made.detector.rollout.look()
    assert rendered(made.detector.status(ModelStatus))[0]["shadow"]["agreement"]["looks"] > before["agreement"]["looks"]
    assert made.events == []


async def test_readings_that_came_between_two_detectors_are_scored(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    tick, made.tick = made.tick, lambda: None
    made.seconds(6, [one], temp=65.0)
    made.tick = tick
    await follow(made, [one], [model()])
    made.seconds(3, [one])
    assert made.told() == [("anomaly", "raised", "oven-1")]


async def test_a_configuration_that_follows_before_the_last_one_was_loaded_loses_nothing(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    made.detector = Detector(made.around, [model()], [one], base=tmp_path, before=made.detector)  # never loaded
    await follow(made, [one], [model()])
    assert made.devices()["oven-1"]["state"] == "running"


async def test_what_came_while_a_configuration_was_being_loaded_is_scored_by_the_one_that_follows(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    made.detector = Detector(made.around, [model()], [one], base=tmp_path, before=made.detector)  # is being loaded
    made.seconds(6, [one], temp=75.0)
    await follow(made, [one], [model()])
    made.tick()
    assert made.told() == [("anomaly", "raised", "oven-1")]
    assert rendered(made.detector.status(ModelStatus))[0]["restarts"] == 0


async def test_a_limit_keeps_its_delay(tmp_path):
    one = device()
    made = await start(tmp_path, [one], limits=[HOT])
    made.seconds(2, [one])
    made.seconds(4, [one], temp=62.0)
    await follow(made, [one], [], limits=[HOT])
    assert made.told() == []
    made.seconds(2, [one], temp=62.0)
    assert made.told() == [("alarm", "raised", "oven-1")]


async def test_what_the_device_is_called_and_described_as_anew_is_bound_again(tmp_path):
    one = device()
    made = await start(tmp_path, [one])
    made.seconds(6, [one])
    hotter = [Tag(tag.id, tag.device, tag.name, tag.type, "°F" if tag.name == "temp" else tag.unit) for tag in one.tags]
    other = Device("oven-1", "fake", Tags("oven-1", hotter))
    await follow(made, [other], [model()])
    assert made.devices()["oven-1"]["state"] == "failed"
    assert "scale the tag" in made.devices()["oven-1"]["reason"]
