"""`edge-gateway alarms`, against a real control socket."""

from datetime import datetime
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.alarms import lines

from .conftest import Asked

RAISED: dict[str, Any] = {
    "event": "6f1c22d09ab34e57" * 2, "name": "too hot/oven-1", "kind": "alarm", "source": "too hot", "device": "oven-1",
    "state": "raised", "active": True, "severity": "alarm", "message": "too hot: oven-1 temp is 85.5 °C, above 80 °C",
    "raised": 1_795_314_791_568, "cleared": None, "occurrences": 1, "acknowledged": None, "shelved": None,
}  # fmt: skip
CLEARED = RAISED | {
    "event": "aa" * 16, "name": "nozzle/coater-1", "state": "cleared", "severity": "warning", "message": "coater-1 is odd",
    "cleared": 1_795_314_891_568, "occurrences": 3,
}  # fmt: skip
SHELVED = RAISED | {
    "acknowledged": {"by": "ann", "at": 1_795_314_791_568, "comment": "fan was off"}, "state": "acknowledged",
    "shelved": {"by": "bob", "at": 1_795_314_791_568, "reason": "sensor changed", "until": 1_795_314_800_000 + 1_800_000},
}  # fmt: skip


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")


def test_each_alarm_is_shown_with_what_is_to_be_known_of_it() -> None:
    since, over = moment(RAISED["raised"]), moment(CLEARED["cleared"])
    assert list(lines([RAISED, CLEARED], 0)) == [
        "ID        STATE    SEVERITY  SINCE                NAME",
        f"6f1c22d0  raised   alarm     {since}  too hot/oven-1",
        "          too hot: oven-1 temp is 85.5 °C, above 80 °C",
        f"aaaaaaaa  cleared  warning   {since}  nozzle/coater-1",
        "          coater-1 is odd",
        f"          3 times since the last acknowledgement, over since {over}",
    ]
    told = list(lines([SHELVED], 1_795_314_800))
    assert told[1].startswith("6f1c22d0  acknowledged, shelved")
    assert told[3:] == [
        f"          acknowledged by ann, {since}: fan was off",
        "          shelved by bob for 30 min more: sensor changed",
    ]


def test_without_a_word_they_are_listed(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.answers["alarms"] = []
    assert main(["alarms"]) == main(["alarms", "list"]) == 0
    assert capsys.readouterr().out == "no alarms\nno alarms\n"


def test_what_a_person_says_is_handed_to_the_gateway(gateway: Asked) -> None:
    gateway.answers = {key: [RAISED] for key in ("acknowledge", "shelve", "unshelve")}
    assert main(["alarms", "ack", "6f1c", "--comment", "fan was off"]) == 0
    assert main(["alarms", "shelve", "too hot/oven-1", "--for", "1h", "--reason", "sensor changed"]) == 0
    assert main(["alarms", "unshelve", "6f1c"]) == 0
    assert gateway.requests == [
        ("acknowledge", {"alarm": "6f1c", "comment": "fan was off"}),
        ("shelve", {"alarm": "too hot/oven-1", "seconds": 3600.0, "reason": "sensor changed"}),
        ("unshelve", {"alarm": "6f1c"}),
    ]


def test_a_time_without_a_unit_and_a_shelf_without_a_reason_are_wrong_usage(
    gateway: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alarms", "shelve", "6f1c", "--for", "1", "--reason", "x"]) == 2
    assert '--for: write a duration such as "500ms"' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["alarms", "shelve", "6f1c", "--for", "1h"])
    assert gateway.requests == []
