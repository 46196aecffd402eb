"""An alarm's own page, and the answer of `why` that it shows."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from gateway import demo
from gateway.alarms import Evidence
from gateway.core.event import Contribution, Event
from gateway.detect.models import parse_card, read_onnx
from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import add
from plugins.web.tests.test_page import LIMIT, form_of, logged_in, send, text
from tests.app.plant import device

MODEL = Path(demo.__file__).parent / "models" / "coater.onnx"


def anomaly(plant: Plant, event: str, t_ns: int, *foremost: float) -> None:
    """Keep an anomaly as the detector does it; `foremost`: shares of the first tags."""
    model = read_onnx(MODEL)
    card = parse_card(model.metadata)
    shares = [*foremost, *[0.0] * (len(card.inputs) - len(foremost))]
    parts = [
        Contribution(each.tag, share, each.expected + 1, each.expected)
        for each, share in zip(card.inputs, shares, strict=True)
    ]
    window = np.array([[each.expected + row for each in card.inputs] for row in range(card.window)], np.float32)
    span = {"window_from": t_ns // 1_000_000 - card.window * card.period_ms, "window_to": t_ns // 1_000_000}
    detail = {
        "model": "coater", "model_version": "1", "model_sha256": model.sha256, "window_sha256": "0" * 64,
        "score": 2.5, "threshold": 1.0, "onnxruntime": "1", "cpu": "x", **span,
    }  # fmt: skip
    message = f"oven behaves unusually: {event}"
    found = Event(event, "anomaly", "raised", "oven", t_ns, message, "warning", detail, parts)
    shown = np.array([shares], np.float32)
    evidence = Evidence(model.content, model.sha256, False, window, np.array([2.5], np.float32), shown, None)
    plant.gateway.detection.evidence.keep(found, evidence)


async def test_it_shows_what_an_anomaly_was_found_in_and_the_last_ones_like_it(running: Running) -> None:
    async with running("", LIMIT) as plant:
        add(plant, "kim", "operator")
        now = time.time_ns()
        anomaly(plant, "a" * 32, now - 3 * 3_600_000_000_000, 0.8, 0.2)
        anomaly(plant, "b" * 32, now - 2 * 3_600_000_000_000, 0.0, 0.1, 0.9)
        anomaly(plant, "c" * 32, now, 0.79, 0.21)
        await plant.gateway.audit.record("alarm.acknowledge", "kim", event="a" * 32, why="nozzle cleaned")
        plant.site.bench.value = 99.0
        await plant.site.answered("alarms", lambda alarms: alarms)
        told = await plant.site.ask("why", alarm="cccc")
        assert told["alarm"] is None, "it is over, or was never in the list"
        assert [each["event"][0] for each in told["similar"]] == ["a"]
        assert [(each["by"], each["why"]) for each in told["similar"][0]["done"]] == [("kim", "nozzle cleaned")]
        names = [each.tag for each in parse_card(read_onnx(MODEL).metadata).inputs]
        assert told["window"]["tags"][0]["tag"] == names[0]
        assert len(told["window"]["ts"]) == len(told["window"]["tags"][0]["values"])
        assert [each["kind"] for each in told["around"]] == ["alarm"], "the limit was raised within ten minutes"
        page = await plant.browser().get(f"/alarm?event={'c' * 32}")
        said = text(page)
        for expected in (names[0], "Why", "79 %", "nozzle cleaned", "too high", "edge-gateway explain cccccccc"):
            assert expected in said, expected
        body = page.body.decode()
        assert body.count("<svg") == len(told["window"]["tags"])
        assert "style=" not in body
        korean = text(await plant.browser().get(f"/alarm?event={'c' * 32}", accept_language="ko"))
        assert "원인 분석" in korean


async def test_an_alarm_without_a_window_is_shown_acknowledged_and_shelved(running: Running) -> None:
    async with running("", LIMIT) as plant:
        add(plant, "kim", "operator")
        plant.site.bench.value = 99.0
        (alarm,) = await plant.site.answered("alarms", lambda alarms: alarms)
        kim = await logged_in(plant, "kim")
        first = await kim.get("/")
        (path,) = {part.partition('"')[0] for part in first.body.decode().split('href="')[1:] if part[:6] == "/alarm"}
        page = await kim.get(path)
        assert (page.status, "too high" in text(page)) == (200, True)
        fields = {"form": form_of(page), "alarm": alarm["event"], "back": "alarm"}
        done = await send(kim, "/acknowledge", **fields, comment="seen")
        assert (done.status, done.headers["location"]) == (303, path)
        assert "acknowledged by kim" in text(await kim.get(path))
        await kim.post(
            "/api/v1/shelve", {"alarm": alarm["event"], "seconds": 60, "reason": "repair"}, x_csrf_token=fields["form"]
        )
        add(plant, "vera", "viewer")
        for looks in (plant.browser(), await logged_in(plant, "vera")):  # who only looks is told the role
            for place in (
                "/",
                "/parts",
                path,
                "/api/v1/alarms",
                "/api/v1/status",
                "/api/v1/events",
                f"/api/v1/why?alarm={alarm['event']}",
            ):
                said = text(await looks.get(place))
                assert "kim" not in said, place
                assert "operator" in said or place == "/api/v1/events", place
        assert "kim (operator) has shelved" in text(await kim.get("/api/v1/events"))


async def test_of_an_alarm_that_is_not_there_it_says_so(running: Running) -> None:
    evil = "%3Cscript%3E"
    async with running("login_to_look = true") as plant:
        assert (await plant.browser().get("/alarm?event=1")).headers["location"] == "/login"
    async with running("", device("press")) as plant:
        for event in ("", "0123456789", evil, "../../etc", "%00"):
            page = await plant.browser().get(f"/alarm?event={event}")
            assert page.status == 404, event
            assert "<script>" not in page.body.decode()


async def test_what_cannot_be_read_of_what_was_kept_costs_only_itself(running: Running) -> None:
    async with running() as plant:
        now = time.time_ns()
        folder = plant.gateway.detection.evidence.directory
        anomaly(plant, "a" * 32, now - 10**9, 1.0)
        anomaly(plant, "b" * 32, now, 1.0)
        (folder / "wild.raised.json").write_text('{"format": 1, "event": []}')
        (folder / "empty.raised.json").write_text("")
        for model in (folder / "models").iterdir():
            model.write_bytes(b"no model")
        told = await plant.site.ask("why", alarm="b" * 32)
        assert [each["event"] for each in told["similar"]] == ["a" * 32]
        page = await plant.browser().get(f"/alarm?event={'b' * 32}")
        assert page.status == 200


async def test_a_file_that_somebody_has_made_up_is_not_shown(running: Running) -> None:
    async with running() as plant:
        anomaly(plant, "a" * 32, time.time_ns(), 1.0)
        path = plant.gateway.detection.evidence.directory / f"{'a' * 32}.raised.json"
        whole = json.loads(path.read_text())
        wild: tuple[dict[str, Any], ...] = (
            {"contributions": [{"tag": "x", "share": "<b>"}]}, {"contributions": 5}, {"ts": "now"}, {"message": None},
            {"score": [1]},
        )  # fmt: skip
        for odd in wild:
            path.write_text(json.dumps({**whole, "event": {**whole["event"], **odd}}))
            assert (await plant.browser().get(f"/alarm?event={'a' * 32}")).status == 404, odd
