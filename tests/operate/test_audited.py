"""What docs/audit.md promises holds for every command that changes something: without its record it is not done; what came of
it is a second record; where the trail does not take that one, whoever asked is told."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gateway.alarms.alarm import Alarm, Key, Origin
from gateway.alarms.alarms import Alarms
from gateway.core.clock import FakeClock
from gateway.core.command import Actor
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.core.live import LiveTable
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags
from gateway.core.works import Works
from gateway.operate import trusted_servers
from gateway.operate.alarms import AlarmCommands
from gateway.operate.audit_log import AuditLog
from gateway.operate.batches import BatchCommands
from gateway.operate.commands import TABLE, Commands
from gateway.operate.dead_letters import DeadLetterCommands
from gateway.operate.device_history import DeviceHistory
from gateway.operate.history import HistoryCommands
from gateway.operate.models import ModelCommands
from gateway.operate.reload import Planned, Reloads
from gateway.operate.trusted_servers import CertificateCommands
from gateway.operate.writes import Calls, Writes, WriteSurroundings
from gateway.production import Production, Statement
from gateway.testing.events import EventList
from gateway.trust.access import ALL
from gateway.trust.audit import AuditError, AuditTrail, verify

CHANGING = sorted(name for name, declared in TABLE.items() if declared.audited)


@dataclass
class Case:
    """A command with everything around it made up, that notes in `done` what it would do."""

    arguments: dict[str, Any]
    action: str


CASES = {
    "reload": Case({}, "config.reload"),
    "write": Case({"device": "press-1", "tag": "speed", "value": 5, "reason": "test"}, "write"),
    "call": Case({"device": "press-1", "target": "Oven", "method": "Reset", "arguments": [], "reason": "test"}, "call"),
    "acknowledge": Case({"alarm": "hot/press-1"}, "alarm.acknowledge"),
    "shelve": Case({"alarm": "hot/press-1", "seconds": 60, "reason": "test"}, "alarm.shelve"),
    "unshelve": Case({"alarm": "cold/press-1"}, "alarm.unshelve"),
    "model_approve": Case({"model": "m", "reason": "test"}, "model.approve"),
    "model_rollback": Case({"model": "m", "reason": "test"}, "model.rollback"),
    "model_retire": Case({"model": "m", "reason": "test"}, "model.retire"),
    "batch_start": Case({"batch": "B-2", "devices": ["press-2"]}, "batch.start"),
    "batch_set": Case({"devices": ["press-1"], "phase": "drying"}, "batch.set"),
    "batch_end": Case({"batch": "B-1"}, "batch.end"),
    "batch_correct": Case(
        {"devices": ["press-1"], "from_ns": 1, "to_ns": 2, "batch": "B-1", "reason": "test"}, "batch.correct"
    ),
    "dead_retry": Case({}, "outbox.dead.retry"),
    "dead_drop": Case({}, "outbox.dead.drop"),
    "replay": Case({"sink": "central", "from_ns": 0, "to_ns": 1}, "replay.start"),
    "replay_cancel": Case({"sink": "central"}, "replay.cancel"),
    "history_import": Case({"device": "press-1", "from_ns": 0, "to_ns": 1}, "history.import"),
    "history_import_cancel": Case({"device": "press-1"}, "history.cancel"),
    "trust_accept": Case({"thumbprint": "a" * 64, "reason": "test"}, "trust.accept"),
    "trust_revoke": Case({"thumbprint": "a" * 64, "reason": "test"}, "trust.revoke"),
}


class Plant:
    """A gateway without anything behind it. What is done stands in `done`."""

    def __init__(self, path: Path) -> None:
        self.path = path / "audit.jsonl"
        self.done: list[str] = []
        self.clock = FakeClock()
        self.audit = AuditLog(self.path, self.clock)
        detection = self._detection()
        outbox = self._outbox()
        road = self._road()
        self.commands = Commands(
            {
                **dict.fromkeys(TABLE, self._idle),
                "reload": self._reloads().reload,
                "write": Writes(road).write,
                "call": Calls(road).call,
                **AlarmCommands(detection, self, self.audit).commands(),  # type: ignore[arg-type]
                **ModelCommands(detection, self.audit).commands(),  # type: ignore[arg-type]
                **DeadLetterCommands(outbox, self.audit).commands(),
                **HistoryCommands(outbox, self.audit, None).commands(),  # type: ignore[arg-type]
                **self._recorded(road.live, path).commands(),
                **CertificateCommands(path, self.audit).commands(),
                **BatchCommands(self._production(path), outbox, self.audit, self.clock).commands(),
            }
        )

    def _production(self, path: Path) -> Production:
        states = self.done

        class Told:
            def append_event(self, event: Event) -> None:
                states.append(event.state)

        production = Production(Works(), Told(), self.clock, path)
        production.follow([], ["press-1", "press-2"], [])
        production.open(["press-1"], {"batch": "B-1"}, Statement("anna", 0))
        production._untold.clear()
        return production

    async def _idle(self, by: Actor, **_: Any) -> None: ...

    def does(self, what: str, result: Any = None) -> Callable[..., Any]:
        def do(*_: Any, **__: Any) -> Any:
            self.done.append(what)
            return result

        return do

    def does_async(self, what: str, result: Any = None) -> Callable[..., Any]:
        async def do(*_: Any, **__: Any) -> Any:
            self.done.append(what)
            return result

        return do

    def _reloads(self) -> Reloads:
        old = SimpleNamespace(hash="old", plugins=[], models=[], of_kind=lambda _: [])
        planned = Planned(SimpleNamespace(hash="new"), None, ["device press-1 added"], set(), {}, {}, frozenset())  # type: ignore[arg-type]
        gateway = SimpleNamespace(
            config=old,
            clock=self.clock,
            audit=self.audit,
            plugins=SimpleNamespace(
                present=SimpleNamespace(hashes=lambda _: {}), stalls=SimpleNamespace(pardon=lambda: None)
            ),
            apply=self.does_async("reload"),
            settle=lambda: None,
        )
        reloads = Reloads(gateway, look_up=None)  # type: ignore[arg-type]
        reloads.plan = lambda: planned  # type: ignore[method-assign]
        return reloads

    def _road(self) -> WriteSurroundings:
        tag = Tag(1, "press-1", "speed", "float64", config=SimpleNamespace(  # type: ignore[arg-type]
            write=True, min=0.0, max=10.0, max_rate=(10, 60.0), scaled=False, scale=1.0, offset=0.0, type="float64",
        ))  # fmt: skip
        live = LiveTable()
        self.device = Device("press-1", "lab", Tags("press-1", [tag]))
        live.define(self.device)
        return WriteSurroundings(True, live, self, self.audit, EventList(), self.clock)  # type: ignore[arg-type]

    def methods(self, device: str) -> dict[str, list[str]]:
        return {"Oven": ["Reset"]}

    async def read(self, device: str, names: list[str]) -> Readings:
        numbers = np.array([1])
        return Readings(
            self.device, numbers, numbers.astype(np.uint32), np.array([5.0]), np.array([0], dtype=np.uint32)
        )

    async def write(self, tag: Tag, value: Any) -> None:
        self.done.append("write")

    async def call(self, device: str, target: str, method: str, arguments: Any) -> list[tuple[str, Any]]:
        self.done.append("call")
        return []

    async def acknowledge(self, *_: Any) -> None:
        self.done.append("acknowledge")

    def _detection(self) -> Any:
        states = self.done

        class Done:
            def append_event(self, event: Event) -> None:
                states.append(event.state)

        alarms = Alarms(Done(), self.clock)
        for name in ("hot", "cold"):
            key = Key("condition" if name == "warm" else "alarm", name, "press-1")
            alarms.raised(key, Event(f"{name}-1", "alarm", "raised", "press-1", 1, name, "alarm"))
        cold = alarms.get(Key("alarm", "cold", "press-1"))
        assert cold is not None
        alarms.shelve(cold, "kim", 60, "before")
        self.done.clear()
        shadow = SimpleNamespace(sha256="b", agreement=SimpleNamespace(status=dict))
        model = SimpleNamespace(sha256="a", shadow=shadow)
        rollout = SimpleNamespace(
            find=lambda _: model,
            check_next=self.does_async("checked"),
            before=self.does_async("checked", SimpleNamespace(file=SimpleNamespace(sha256="c"))),
            approve=self.does_async("approve"),
            roll_back=self.does_async("roll back"),
            retire=self.does_async("retire"),
        )
        detector = SimpleNamespace(rollout=rollout, status=lambda _: [])
        conditions = SimpleNamespace(
            acknowledging=lambda *_: contextlib.nullcontext(), acknowledged=self.does_async("acknowledged")
        )
        return SimpleNamespace(alarms=alarms, conditions=conditions, detector=detector)

    def _recorded(self, live: LiveTable, path: Path) -> DeviceHistory:
        acquirer = SimpleNamespace(has_history=lambda _: None)
        history = DeviceHistory(live, acquirer, None, self.audit, self.clock, path / "history")  # type: ignore[arg-type]
        history._begin, history._end = self.does("import"), self.does_async("end")  # type: ignore[method-assign]
        history._named = lambda _: SimpleNamespace(status=None)  # type: ignore[method-assign,return-value,assignment]
        return history

    def _outbox(self) -> Any:
        status = {"running": True, "outcome": ""}
        replay = SimpleNamespace(begin=self.does("begin"), end=self.does("end"), status=lambda: status, sink="central")
        return SimpleNamespace(
            dead=SimpleNamespace(named=lambda *_: ["letter"], drop=self.does("drop")),
            revive=self.does_async("revive", ["letter"]),
            replays=SimpleNamespace(make=lambda *_: replay, named=lambda _: replay),
        )

    async def ask(self, command: str) -> tuple[Any, Actor]:
        actor = Actor("kim", roles=ALL)
        return await self.commands.call(actor, {"command": command, "arguments": CASES[command].arguments}), actor

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    plant = Plant(tmp_path)
    (tmp_path / "pki/opcua").mkdir(parents=True)
    known = SimpleNamespace(thumbprint="a" * 64, subject="CN=press")
    monkeypatch.setattr(trusted_servers, "the_one", lambda *_: known)
    monkeypatch.setattr(trusted_servers, "move", plant.does("move"))
    return plant


def taking(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """The trail takes so many records, and none after; how many stands in the list."""
    real, left = AuditTrail.write, [number]

    def write(trail: AuditTrail, action: str, who: str, **fields: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise AuditError("the audit trail cannot be written: No space left on device")
        real(trail, action, who, **fields)

    monkeypatch.setattr(AuditTrail, "write", write)
    return left


def test_there_is_a_case_for_each_command_that_changes_something() -> None:
    assert sorted(CASES) == CHANGING


@pytest.mark.parametrize("command", CHANGING)
async def test_it_stands_in_the_trail_with_what_came_of_it(plant: Plant, command: str) -> None:
    _, actor = await plant.ask(command)
    assert set(plant.done) - {"checked"}
    action = CASES[command].action
    told = [(each["action"], each["who"]) for each in plant.records()]
    assert told == [(action, "kim"), (f"{action}.result", "kim")]
    assert plant.records()[1]["result"] in ("done", "confirmed")
    assert actor.remarks == []
    assert verify(plant.path).ok


@pytest.mark.parametrize("command", CHANGING)
async def test_without_its_record_it_is_not_done(plant: Plant, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, 0)
    if command == "reload":
        answer, _ = await plant.ask(command)
        assert not answer["applied"]
        assert "audit trail cannot be written" in answer["problems"][0]
    else:
        with pytest.raises(GatewayError, match="audit trail cannot be written"):
            await plant.ask(command)
    # A replay that was made and may not begin is ended.
    assert set(plant.done) <= {"checked", *(("end",) if command == "replay" else ())}
    assert plant.records() == []


@pytest.mark.parametrize("command", CHANGING)
async def test_where_only_what_came_of_it_cannot_be_recorded_it_is_done_and_whoever_asked_is_told(
    plant: Plant, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, 1)
    _, actor = await plant.ask(command)
    assert set(plant.done) - {"checked"}
    assert [each["action"] for each in plant.records()] == [CASES[command].action]
    assert len(actor.remarks) == 1
    assert "could not be written into the audit trail" in actor.remarks[0]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("shelve", {"alarm": "hot/press-1", "seconds": 1e9, "reason": "test"}),
        ("shelve", {"alarm": "nothing", "seconds": 60, "reason": "test"}),
        ("unshelve", {"alarm": "hot/press-1"}),
        ("acknowledge", {"alarm": "nothing"}),
        ("write", {"device": "press-1", "tag": "speed", "value": 11, "reason": "test"}),
        ("call", {"device": "press-1", "target": "Oven", "method": "Melt", "arguments": [], "reason": "test"}),
        *((name, {**CASES[name].arguments, "reason": reason}) for name in CHANGING
          for reason in ("", " \n", "…", "x" * 1025, "ü" * 513, None, 7) if "reason" in CASES[name].arguments),
    ],
)  # fmt: skip
async def test_what_is_refused_leaves_no_record_that_it_was_done(
    plant: Plant, command: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(GatewayError):
        await plant.commands.call(Actor("kim", roles=ALL), {"command": command, "arguments": arguments})
    assert plant.done == []
    assert plant.records() == []


async def test_a_devices_own_alarm_is_acknowledged_there_only_with_its_record(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = AlarmCommands(plant._detection(), plant, plant.audit)  # type: ignore[arg-type]
    alarm = Alarm(Key("condition", "door", "press-1"))
    alarm.raise_(Event("d-1", "condition", "raised", "press-1", 1, "door", "alarm"))
    alarm.origin = Origin("door-id", "event-id", 1, retained=False)
    alarms._alarms._alarms[alarm.key] = alarm
    left = taking(monkeypatch, 0)
    with pytest.raises(AuditError):
        await alarms.acknowledge(Actor("kim", roles=ALL), "door/press-1")
    assert plant.done == []
    left[0] = 1
    actor = Actor("kim", roles=ALL)
    await alarms.acknowledge(actor, "door/press-1")
    assert plant.done == ["acknowledge", "acknowledged"]
    assert actor.remarks


async def test_an_action_that_fails_says_so_in_the_second_record(plant: Plant) -> None:
    with pytest.raises(GatewayError, match="no answer"):
        async with plant.audit.audited(Actor("kim", roles=ALL), "x", target="y"):
            raise GatewayError("no answer")
    first, second = plant.records()
    assert (first["action"], second["action"], second["result"]) == ("x", "x.result", "failed: no answer")
