"""`edge-gateway batch`: what is asked of the gateway, and the report with names from outside in it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.cli.conftest import Asked

T = 1_800_000_000_000
ACCOUNT: dict[str, Any] = {
    "read": 30, "records": 10, "readings": 30, "not_accepted": 0, "missed_polls": 0, "interrupted": False,
    "incomplete": False,
    "sinks": {"central": {"acknowledged": 30, "pending": 0, "before_sink": 0, "left_out": 0, "dropped": {},
                          "complete_to": T + 60_000}},
}  # fmt: skip
EVIL = '<script>alert(1)</script>"&'


def answers(device: str = "press-1", dropped: int = 0) -> dict[str, Any]:
    account = json.loads(json.dumps(ACCOUNT))
    if dropped:
        account["sinks"]["central"]["dropped"] = {"refused: too large": dropped}
    of = {**account, "from": T, "to": T + 60_000, "first": 1, "last": 10,
          "gaps": [{"reason": "offline: cut", "from": T + 1000, "to": T + 2000}],
          "contexts": [{"site": "north", "batch": "B-7", "phase": EVIL}]}  # fmt: skip
    event = {"event": "e", "kind": "alarm", "state": "acknowledged", "device": device, "ts": T + 500, "severity": "alarm",
             "message": f"too hot {EVIL}", "by": "anna", "context": {"batch": "B-7"},
             "model": "m", "model_version": "1.0", "model_sha256": "ab"}  # fmt: skip
    other = {**event, "event": "f", "ts": T + 90_000, "message": "of the next batch", "context": {"batch": "B-8"}}
    curve = {"device": device, "tag": EVIL, "unit": "°C", "type": "float64", "from_ms": T, "to_ms": T + 60_000,
             "readings": 4, "thinned": False, "ts": [T, T + 1, T + 2, T + 3], "values": [1.0, None, 2.0, 2.0]}  # fmt: skip
    return {
        "batch": {**account, "batch": "B-7", "open": False, "complete": not dropped, "complete_to": T + 60_000,
                  "from": T, "to": T + 60_000, "devices": {device: of},
                  "times": [{"device": device, "from": T, "to": T + 60_000}]},
        "status": {"gateway": "g1", "clock": {"state": "synchronised"}},
        "events": [event, other], "tags": [{"device": device, "tag": EVIL}, {"device": "other", "tag": "x"}],
        "history": [curve], "models": [{"name": "m", "version": "1.1", "sha256": "cd", "devices": [{"device": device}]}],
    }  # fmt: skip


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_report_has_all_that_is_known_and_runs_nothing(gateway: Asked, tmp_path: Path, capsys: Any) -> None:
    gateway.answers = answers()
    out = tmp_path / "b.html"
    assert main(["batch", "report", "B-7", "--out", str(out)]) == 0
    assert "over, and all that was accepted of it is delivered" in capsys.readouterr().out
    page = Page()
    page.feed(out.read_text(encoding="utf-8"))
    text = " ".join(page.texts)
    assert "script" not in page.tags
    assert page.tags.count("svg") == 1
    for said in ("offline: cut", "anna", "too hot", "1.0", "1.1", "press-1", "30", EVIL):
        assert said in text
    assert "of the next batch" not in text


def test_a_report_in_json_is_exact_and_says_by_its_exit_code_what_is_lost(gateway: Asked, capsys: Any) -> None:
    gateway.answers = answers(dropped=3)
    assert main(["batch", "report", "B-7", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["account"]["sinks"]["central"]["dropped"] == {"refused: too large": 3}
    assert [each["event"] for each in report["events"]] == ["e"]
    assert report["readings"]["press-1"][0]["values"] == [1.0, None, 2.0, 2.0]
    assert report["spans"] == {"press-1": {"device": "press-1", "from": T, "to": T + 60_000, "known": True}}


def test_what_is_asked_of_the_gateway(gateway: Asked) -> None:
    gateway.answers = {name: {"open": {}, "ended": []} for name in ("batch_start", "batch_set", "batch_end")}
    assert main(["batch", "start", "B-7", "--device", "press-*", "--device", "oven", "--product", "mAb"]) == 0
    assert main(["batch", "set", "--device", "oven", "--phase", ""]) == 0
    assert main(["batch", "end", "B-7", "--at", "2026-11-22T00:00:00Z", "--reason", "late"]) == 0
    (start, said), (_, phase), (_, end) = gateway.requests
    assert (start, said["batch"], said["devices"], said["product"]) == (
        "batch_start",
        "B-7",
        ["press-*", "oven"],
        "mAb",
    )
    assert (phase["devices"], phase["phase"]) == (["oven"], "")
    assert (end["at_ns"], end["reason"], end["devices"]) == (1_795_305_600_000_000_000, "late", [])


@pytest.mark.parametrize("wrong", [["start", "B"], ["set", "--phase", "x"], ["end"], ["correct", "--device", "x"]])
def test_what_is_missing_is_said(wrong: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["batch", *wrong])
    assert "required" in capsys.readouterr().err
