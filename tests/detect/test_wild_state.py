"""Whatever stands where the detector keeps alarms, drift and evidence: the start goes on, and says what it does not know."""

import io
import os
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import orjson
import pytest

from gateway.alarms import alarm_file, evidence
from gateway.alarms.alarm import Alarm, Key
from gateway.alarms.alarms import Alarms
from gateway.alarms.evidence import EvidenceStore
from gateway.core.clock import FakeClock
from gateway.core.errors import GatewayError
from gateway.core.event import Event
from gateway.detect.windows import drift_file
from gateway.status import rendered
from gateway.testing.events import EventList
from tests.outbox.wild import TEXTS, wild_json
from tests.places.test_regular import ODD

KEYS = [Key("alarm", "too hot", f"press-{n}") for n in range(3)]


def raised(path: Path) -> None:
    """Three alarms in the file: one acknowledged, one shelved."""
    clock = FakeClock()
    alarms = Alarms(EventList(), clock, path)
    for key in KEYS:
        alarms.raised(key, Event(f"e-{key.device}", "alarm", "raised", key.device, clock.wall_ns(), "hot", "alarm"))
    alarms.acknowledge(alarms.get(KEYS[0]), "anna", "seen")
    alarms.shelve(alarms.get(KEYS[1]), "ben", 60, "maintenance")
    alarms._announcements.save_now()


def used(path: Path) -> list[Alarm]:
    """What is known after a start, listed and told as the gateway does."""
    told = EventList()
    alarms = Alarms(told, FakeClock(), path)
    known = list(alarms._alarms.values())
    assert orjson.dumps(rendered(alarms.listed()))
    for alarm in alarms._of_before:
        alarms._restate(alarm)
    alarms._end_shelving()
    alarms.retain([])
    alarms._announcements.save_now()
    for event in told:
        assert orjson.dumps(event.body())
    return known


def test_no_content_of_the_alarms_file_keeps_a_start(tmp_path: Path) -> None:
    path = tmp_path / "alarms.json"
    raised(path)
    good, rng = path.read_bytes(), random.Random(5)
    assert len(used(path)) == 3
    for content in [*TEXTS, *(wild_json(rng, good) for _ in range(300)), good[:-9], good + good]:
        path.write_bytes(content)
        used(path)


@pytest.mark.parametrize("name", ["key", "message", "raised_ns", "acknowledged", "active", "shelved_until"])
def test_one_alarm_that_cannot_be_read_costs_itself_only(name: str, tmp_path: Path) -> None:
    path = tmp_path / "alarms.json"
    raised(path)
    body = orjson.loads(path.read_bytes())
    body["alarms"][1][name] = {"x": [1]}
    path.write_bytes(orjson.dumps(body))
    assert [alarm.key for alarm in used(path)] == [KEYS[0], KEYS[2]]
    assert orjson.loads((tmp_path / "alarms.json.damaged").read_bytes()) == body


@pytest.mark.parametrize("lay", ODD)
def test_what_is_no_file_is_set_aside_and_alarms_are_kept_again(lay, tmp_path: Path) -> None:
    path = tmp_path / "alarms.json"
    lay(path)
    assert used(path) == []
    raised(path)
    assert len(used(path)) == 3


def test_half_a_character_in_a_message_does_not_end_the_saving() -> None:
    alarm = Alarm(KEYS[0], message="half \ud800", occurrences=10**30)
    assert orjson.loads(alarm_file.content([alarm]))["alarms"][0]["message"].startswith("half")


RAISED = [
    RecursionError(),
    MemoryError(),
    TypeError("x"),
    struct.error("x"),
    UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_inside_the_readers_is_their_own_error(error, tmp_path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "alarms.json"
    raised(path)
    directory, store = drifted(tmp_path), kept(tmp_path)
    for module in (alarm_file, evidence):
        monkeypatch.setattr(module, "parse_json", fails)
    monkeypatch.setattr(drift_file, "_arrays", fails)
    assert used(path) == []
    assert drift_file.read(directory, "oven", "00") is None
    with pytest.raises(GatewayError, match="cannot be read"):
        store.find("abcd")


# Drift


def drifted(tmp_path: Path) -> Path:
    counts = {"span": np.array(5), "bins": np.zeros((2, 3), np.int64), "step": np.zeros(2, np.int64)}
    drift_file.write(tmp_path / "drift", [drift_file.KeptDrift("oven", "00", ("a", "b"), counts)])
    return tmp_path / "drift"


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in members.items():
            whole.writestr(f"{name}.npy", content)
    return file.getvalue()


def header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode() + data


WILD_ARRAYS = {
    "a bomb": npz(devices=b"", bins=bytes(300 * 1024 * 1024)),
    "a huge shape": npz(bins=header("{'descr':'<i8','fortran_order':False,'shape':(1099511627776,9999999),}")),
    "a negative shape": npz(bins=header("{'descr':'<i8','fortran_order':False,'shape':(-1,-8),}", b"x" * 64)),
    "objects": npz(devices=header("{'descr':'|O','fortran_order':False,'shape':(1,),}", b"x" * 8)),
    "a long header": npz(devices=header("{" + "'a':1," * 9000 + "}")),
    "a deep header": npz(devices=header("(" * 5000)),
    "code": npz(devices=header("__import__('os').abort()")),
    "a later format": npz(devices=header("{}", version=b"\7\7")),
    "no devices": npz(bins=header("{'descr':'<i8','fortran_order':False,'shape':(1,),}", b"x" * 8)),
    "devices that are numbers": npz(devices=header("{'descr':'<i8','fortran_order':False,'shape':(1,),}", b"x" * 8)),
    "no zip": b"PK\3\4" + b"x" * 100,
    "nothing": b"",
}


@pytest.mark.parametrize("content", WILD_ARRAYS.values(), ids=WILD_ARRAYS)
def test_wild_counts_of_drift_are_counted_anew(content: bytes, tmp_path: Path) -> None:
    directory = drifted(tmp_path)
    assert drift_file.read(directory, "oven", "00").devices == ("a", "b")
    (path,) = directory.iterdir()
    path.write_bytes(content)
    assert drift_file.read(directory, "oven", "00") is None


@pytest.mark.parametrize("lay", ODD)
def test_what_is_no_file_is_no_count_of_drift(lay, tmp_path: Path) -> None:
    directory = drifted(tmp_path)
    (path,) = directory.iterdir()
    path.unlink()
    lay(path)
    assert drift_file.read(directory, "oven", "00") is None
    drifted(tmp_path)


# Evidence


def kept(tmp_path: Path) -> EvidenceStore:
    store = EvidenceStore(tmp_path / "evidence")
    store.directory.mkdir(exist_ok=True)
    zeros = evidence._packed(np.zeros(2, np.float32))
    texts = dict.fromkeys(("device", "severity", "message", "model_sha256", "window_sha256"), "")
    event = {**texts, "event": "abcd", "ts": 1}
    body = {
        "format": 1, "event": event, "model_sha256": "0" * 64, "onnxruntime": "1", "cpu": "x", "batched": False,
        "shape": [3, 2], "window": evidence._packed(np.zeros((3, 2), np.float32)),
        "score": evidence._packed(np.zeros(1, np.float32)), "contribution": zeros, "expected": zeros,
    }  # fmt: skip
    (store.directory / "abcd.raised.json").write_bytes(orjson.dumps(body))
    return store


def test_no_content_of_evidence_is_more_than_an_error_in_words(tmp_path: Path) -> None:
    store, rng = kept(tmp_path), random.Random(6)
    assert store.find("abcd").window.shape == (3, 2)
    path = store.directory / "abcd.raised.json"
    good = path.read_bytes()
    for content in [*TEXTS, *(wild_json(rng, good) for _ in range(300))]:
        path.write_bytes(content)
        try:
            found = store.find("abcd")
        except GatewayError as error:
            assert "cannot be read" in str(error)
        else:
            assert found.model.parent == store.directory / "models"
            assert found.contribution.shape == (found.window.shape[1],)


@pytest.mark.parametrize("lay", ODD)
def test_what_is_no_file_among_the_evidence_is_told_and_keeps_nothing_out(lay, tmp_path: Path) -> None:
    store = kept(tmp_path)
    (store.directory / "abcd.raised.json").unlink()
    lay(store.directory / "abcd.raised.json")
    with pytest.raises(GatewayError, match="cannot be read"):
        store.find("abcd")
    new = store.directory / "efgh.raised.json"
    new.write_bytes(b"{}")
    store._make_room(new)
    assert new.exists()


def test_evidence_of_a_time_when_the_clock_was_ahead_does_not_push_out_what_is_new(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, max_bytes=250)
    for number in range(4):
        path = tmp_path / f"{number}.raised.json"
        path.write_bytes(b"x" * 100)
        if number == 0:
            os.utime(path, (4_000_000_000, 4_000_000_000))
        store._make_room(path)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["2.raised.json", "3.raised.json"]
