"""`edge-gateway call` against a real control socket."""

import json

import pytest

from gateway.cli import main

from .conftest import Asked

ANSWER = {
    "device": "plc-1",
    "object": "boiler",
    "method": "Start",
    "results": [
        {"name": "total", "value": 12.5},
        {"name": "state", "value": "läuft"},
        {"name": "on", "value": [True, None]},
    ],
}


def test_the_results_are_shown_one_a_line(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["call"] = ANSWER
    assert (
        main(["call", "plc-1", "boiler", "Start", "2.5", "true", "warm", "[1, 2]", "null", "--reason", "batch 7"]) == 0
    )
    assert capsys.readouterr().out.splitlines() == [
        "plc-1/boiler.Start: done",
        "  total = 12.5",
        "  state = läuft",
        "  on = [true, null]",
    ]
    (asked,) = gateway.requests
    assert asked == (
        "call",
        {
            "device": "plc-1",
            "target": "boiler",
            "method": "Start",
            "arguments": [2.5, True, "warm", [1, 2], "null"],
            "reason": "batch 7",
        },
    )


def test_json_is_the_answer_itself(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["call"] = ANSWER
    assert main(["call", "plc-1", "boiler", "Start", "--reason", "batch 7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_without_a_reason_nothing_is_asked(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "plc-1", "boiler", "Start", "--reason", " "]) == 2
    assert "say why" in capsys.readouterr().err
    assert gateway.requests == []
