import copy
import time
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.status import lines
from gateway.operate.headline import summary, troubles

from .conftest import Asked

WAITING: dict[str, Any] = {"waits": True, "shelved": None, "active": True, "state": "raised"}
NOW = 1_795_314_800.0
LANE: dict[str, Any] = {
    "accepted": 440,
    "acknowledged": 440,
    "pending": 0,
    "dropped": {},
    "under_way": 0,
    "oldest": None,
}
WATCHED: dict[str, Any] = {"device": "press-1", "state": "running", "reason": "", "score": None, "event": None}
WELL: dict[str, Any] = {
    "gateway": "line3-gw1",
    "version": "0.1.0",
    "uptime_s": 533_000.0,
    "config": {"path": "/etc/edge-gateway/config.toml", "hash": "5ff6ed76", "loaded": 1_795_314_791_568},
    "clock": {"state": "synchronised", "epoch": 3},
    "devices": [
        {
            "name": "press-1", "driver": "modbus", "state": "up", "reason": "", "since_s": 532_000.0, "tags": 8, "good": 8,
            "polls": 1_066_000, "skipped": 0, "errors": 0, "line": {},
        },
        {
            "name": "bioreactor-1", "driver": "opcua", "state": "up", "reason": "", "since_s": 532_000.0, "tags": 9,
            "good": 9, "polls": 0, "skipped": 0, "errors": 0, "line": {},
        },
    ],
    "sinks": [
        {
            "name": "central", "plugin": "mqtt", "state": "up", "reason": "", "since_s": 532_000.0,
            "promise": {"protocol": "MQTT 5", "encryption": "TLSv1.3"},
            "window": 40, "open": 0, "oldest_open_s": None, "last_acknowledged_s": 0.4, "acknowledged_records": 57,
            "acknowledged_readings": 440, "waiting_after_refusal": 0,
            "refused_for_now": 0, "refused_for_good": 0, "last_refusal": "",
            "outbox": {"sink": "central", "order": "live-first", "lanes": {"alarm": LANE, "data": LANE}},
        }
    ],
    "outbox": {
        "log": "abe9bff122864448", "size": 3 * 2**20, "max_size": 2**30, "free": 30 * 2**30, "disk": "ok", "not_accepted": 0,
        "written_bytes": 533_000 * 1000, "syncs": 57, "set_aside": [],
        "recovered": {"torn_bytes": 0, "damaged": [], "unreadable": [], "skipped": {}},
    },
    "models": [
        {
            "name": "coater-nozzle", "file": "coater.onnx", "state": "up", "reason": "", "version": "1.0.0",
            "devices": [{"device": "press-1", "state": "running", "reason": "", "score": 0.12, "event": None}],
        }
    ],
    "limits": [],
    "alarms": [],
    "parked": [],
}  # fmt: skip


def changed(**changes: Any) -> dict[str, Any]:
    """The answer of a gateway that is well, but for values at paths such as `devices__0__state`."""
    answer = copy.deepcopy(WELL)
    for path, value in changes.items():
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("__"))
        part: Any = answer
        for step in steps:
            part = part[step]
        part[last] = value
    return answer


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_a_gateway_that_is_well_says_so_first_and_then_what_it_does() -> None:
    assert list(lines(WELL, NOW)) == [
        "line3-gw1 0.1.0, running 6 d 4 h: all is well",
        "  devices  2 of 2 up, 17 of 17 tags good",
        "           press-1       modbus  up  8/8 good  1\u202f066\u202f000 polls",
        "           bioreactor-1  opcua   up  9/9 good",
        "  sink     central: mqtt, MQTT 5, TLSv1.3, up",
        "           last acknowledgement 0.4 s ago, 440 readings in all, nothing waiting",
        "  outbox   3.0 MiB of 1.0 GiB, 30.0 GiB free on the disk, room for 12 d 9 h without a sink, as it goes now",
        "  model    coater-nozzle 1.0.0, up",
        "           press-1 running, score 0.12",
        "  config   /etc/edge-gateway/config.toml (5ff6ed76), loaded 2026-11-22 02:33",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                "devices__1__state": "down",
                "devices__1__since_s": 200.0,
                "devices__1__reason": "connection refused; is the port right?",
            },
            "device bioreactor-1 down for 3 min 20 s: connection refused; is the port right?",
        ),
        (
            {"devices__0__state": "starting", "devices__0__since_s": 0.3, "devices__0__reason": ""},
            "device press-1 starting for 0.3 s",
        ),
        (
            {"sinks__0__state": "faulted", "sinks__0__since_s": 60.0, "sinks__0__reason": "KeyError: 'x'"},
            "sink central faulted for 1 min: KeyError: 'x'",
        ),
        (
            {"models__0__state": "faulted", "models__0__reason": 'input "a" is no tag of press-1'},
            'model coater-nozzle faulted: input "a" is no tag of press-1',
        ),
        (
            {"outbox__disk": "No space left on device"},
            "outbox: the disk does not take what is read: No space left on device",
        ),
        (
            {"outbox__free": 2**20, "outbox__min_free": 2**28},
            "outbox: 1.0 MiB free on its disk, and 256 MiB are to stay free ([outbox] min_free): make room",
        ),
        ({"outbox__not_accepted": 1200}, "outbox: 1\u202f200 readings not accepted and lost"),
        (
            {"sinks__0__outbox__lanes__data": LANE | {"dropped": {"older than max_size allows": 1}}},
            "sink central: 1 reading will not be delivered: older than max_size allows",
        ),
        ({"devices__0__good": 6}, "device press-1: 2 of 8 tags not good: edge-gateway tags press-1"),
        (
            {"sinks__0__waiting_after_refusal": 2, "sinks__0__last_refusal": "quota exceeded"},
            "sink central: the far side refuses data: quota exceeded; 2 records kept and sent again",
        ),
        (
            {
                "sinks__0__waiting_after_refusal": 40,
                "sinks__0__last_refusal": "not authorised",
                "sinks__0__barred": ["device press-2", "device press-3"],
            },
            "sink central: the far side refuses data: not authorised; 40 records kept and sent again,"
            " and all of device press-2 and of 1 more waits",
        ),
        (
            {"sinks__0__refused_for_good": 2, "sinks__0__last_refusal": "packet too large"},
            "sink central: 2 records refused for good: packet too large",
        ),
        ({"devices__0__doubt": "its numbers are absurd"}, "device press-1: its numbers are absurd"),
        ({"devices__0__clock": "2 h behind"}, "device press-1: its clock is 2 h behind: set it (max_clock_offset)"),
        ({"alarms": [WAITING]}, "alarms: 1 waits for somebody to acknowledge: edge-gateway alarms"),
        (
            {"outbox__recovered__damaged": ["data-0001.log"], "outbox__recovered__unreadable": ["x.log"]},
            "outbox: damaged files were found at the start, and set aside: data-0001.log, x.log",
        ),
    ],
)
def test_what_is_wrong_stands_first_with_its_reason(changes: dict[str, Any], told: str) -> None:
    head, first, *_ = lines(changed(**changes), NOW)
    assert head.endswith("1 thing to look at")
    assert first.strip() == told


ALARM = {"active": True, "state": "raised", "shelved": None, "message": "press-1 is too hot", "name": "hot/press-1"}
SILENT = {"sinks__0__since_s": 300.0, "sinks__0__outbox__lanes__data": LANE | {"pending": 9}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (SILENT | {"sinks__0__last_acknowledged_s": None}, "acknowledged nothing for 5 min while 9 readings wait"),
        (SILENT | {"sinks__0__last_acknowledged_s": 61.0}, "acknowledged nothing for 1 min 1 s while 9 readings wait"),
        ({"models__0__devices__0": WATCHED | {"state": "degraded", "reason": "the model gives no number"}},
         "does not watch press-1: the model gives no number"),
        ({"devices__0__doubt": "all values are absurd: byte order?"}, "all values are absurd"),
        ({"alarms": [ALARM]}, "alarms: 1 waits for somebody to acknowledge: edge-gateway alarms"),
        ({"alarms": [ALARM, ALARM | {"state": "cleared"}, ALARM | {"state": "acknowledged"}]}, "alarms: 2 wait for somebody"),
        ({"audit": {"failing": "no space", "damage": ""}}, "no space: what must be audited is refused"),
        ({"audit": {"failing": "", "damage": "audit.head was missing"}}, "edge-gateway audit verify"),
    ],
)  # fmt: skip
def test_all_is_well_is_not_said_when_it_is_not(
    gateway: Asked, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], told: str
) -> None:
    gateway.answers["status"] = changed(**changes)
    assert main(["status"]) == 1
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.endswith("1 thing to look at")
    assert told in first
    assert f"1 thing to look at (edge-gateway status): {first.strip()}" in summary(changed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        SILENT | {"sinks__0__last_acknowledged_s": 1.0},
        SILENT | {"sinks__0__since_s": 3.0, "sinks__0__last_acknowledged_s": None},
        SILENT | {"sinks__0__outbox__lanes__data": LANE, "sinks__0__last_acknowledged_s": 9999.0},
        {"alarms": [ALARM | {"state": "acknowledged"}, ALARM | {"shelved": {"by": "ann"}}]},
        {"devices__0__doubt": "", "devices__0__clock": ""},
    ],
)
def test_what_is_in_order_is_no_trouble(changes: dict[str, Any]) -> None:
    assert list(troubles(changed(**changes))) == []
    assert summary(changed(**changes)).endswith("; all is well")


def test_everything_that_is_wrong_is_counted() -> None:
    answer = changed(devices__0__state="down", sinks__0__state="down", outbox__not_accepted=7)
    assert next(lines(answer, NOW)).endswith("3 things to look at")
    assert len(list(troubles(answer))) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models__0__devices__0": WATCHED | {"state": "degraded", "reason": "a is stale"}}, "press-1 degraded: a is stale"),
        ({"models__0__devices__0": WATCHED | {"score": 3.5, "event": "e-7"}}, "press-1 running, score 3.5, event e-7 raised"),
        ({"sinks__0__promise__encryption": "none"}, "central: mqtt, MQTT 5, not encrypted, up"),
        ({"sinks__0__promise": {}, "sinks__0__state": "down"}, "central: mqtt, down"),
        ({"sinks__0__promise__weaker": "MQTT 3.1.1: no reasons"}, "weaker promise: MQTT 3.1.1: no reasons"),
        ({"sinks__0__last_acknowledged_s": None}, "nothing acknowledged since the start, nothing waiting"),
        ({"sinks__0__refused_for_now": 3}, "3 records refused at first and sent again"),
        (
            {"sinks__0__outbox__lanes__data": LANE | {"pending": 1800, "oldest": int((NOW - 125) * 1e9)}},
            "1\u202f800 readings waiting, the oldest for 2 min 5 s",
        ),
        ({"sinks__0__outbox__lanes__alarm": LANE | {"pending": 1}}, ", 1 reading waiting"),
        ({"devices__0__good": 6, "devices__0__errors": 2}, "6/8 good  1\u202f066\u202f000 polls, 2 errors"),
        ({"devices__0__clock_offset_s": -7.4}, "8/8 good  1\u202f066\u202f000 polls, its clock 7.4 s behind"),
        ({"devices__0__skipped": 4}, "4 skipped: slower than its scan"),
        ({"devices__0__line": {"retries": 3, "drops": 1}}, "1 drops on its line, 3 retries on its line"),
        ({"devices__0__remarks": ["not protected"]}, "press-1: not protected"),
        ({"outbox__recovered__torn_bytes": 100}, "100 B half written before the start, cut off"),
    ],
)  # fmt: skip
def test_particulars_are_said_in_their_place(changes: dict[str, Any], told: str) -> None:
    assert any(line.endswith(told) for line in lines(changed(**changes), NOW)), "\n".join(
        lines(changed(**changes), NOW)
    )


def test_how_long_the_room_lasts_is_not_guessed_from_the_first_minute() -> None:
    assert "room for" not in "\n".join(lines(changed(uptime_s=59.0), NOW))


def test_the_room_is_what_bound_and_disk_leave() -> None:
    assert "room for 1 h 44 min" in "\n".join(lines(changed(outbox__free=1000 * 6250), NOW))
    assert "full: the oldest is given up" in "\n".join(lines(changed(outbox__size=2**31), NOW))


def test_a_full_outbox_that_keeps_the_oldest_says_so() -> None:
    full = changed(outbox__size=2**31, outbox__turning_away={"data": "max_size is reached"})
    assert "full: what is new is not accepted" in "\n".join(lines(full, NOW))


def test_the_weaker_promise_of_spill_stands_in_place_of_a_guess() -> None:
    told = "\n".join(lines(changed(outbox__mode="spill", outbox__promise="a kill loses two seconds"), NOW))
    assert "mode spill: a kill loses two seconds" in told
    assert "room for" not in told


def test_what_was_left_out_for_its_plugin_stands_among_the_troubles() -> None:
    problem = 'c.toml:6: device "scale-1": plugin "scale": scale.py:3: no module named acme'
    told = "\n".join(lines(changed(parked=[problem]), NOW))
    assert "1 thing to look at" in told
    assert f"its plugin does not load: {problem}" in told


def test_a_gateway_without_sinks_models_or_devices_is_shown() -> None:
    told = "\n".join(lines(changed(devices=[], sinks=[], models=[]), NOW))
    assert "0 of 0 up, 0 of 0 tags good" in told


def test_status_exits_with_0_when_all_is_well_and_with_1_when_not(
    gateway: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.answers["status"] = WELL
    assert main(["status"]) == 0
    assert "all is well" in capsys.readouterr().out
    gateway.answers["status"] = changed(devices__0__state="down")
    assert main(["status"]) == 1
    assert main(["status", "--json"]) == 1


@pytest.mark.parametrize("state", ["not yet synchronised", "no longer synchronised", "unknown"])
def test_a_clock_that_is_not_synchronised_is_said_with_what_to_do_and_one_that_is_not_at_all(state: str) -> None:
    assert not [line for line in lines(WELL, NOW) if "clock" in line]
    (line,) = (line for line in lines({**WELL, "clock": {"state": state, "epoch": 0}}, NOW) if "clock" in line)
    assert state in line
    assert "NTP" in line


def test_limits_and_alarms_are_counted() -> None:
    limit = {"name": "too hot", "devices": [{"device": "press-1"}, {"device": "press-2"}]}
    alarms = [
        {"active": True, "state": "raised", "shelved": None},
        {"active": True, "state": "acknowledged", "shelved": None},
        {"active": False, "state": "cleared", "shelved": {"by": "ann"}},
    ]
    told = "\n".join(lines(changed(limits=[limit], alarms=alarms), NOW))
    assert "  alarms   2 limits watched, 2 active, 1 to be looked at: edge-gateway alarms" in told
    assert "  alarms   2 limits watched\n" in "\n".join(lines(changed(limits=[limit]), NOW))


def test_what_is_to_be_said_of_many_connections_is_said_once() -> None:
    device = changed()["devices"][0]
    devices = [device | {"name": f"plc-{number}", "remarks": ["not protected"]} for number in range(7)]
    told = [line.strip() for line in lines(changed(devices=devices), NOW) if "not protected" in line]
    assert told == ["plc-0, plc-1, plc-2, plc-3, plc-4 and 2 more: not protected"]
