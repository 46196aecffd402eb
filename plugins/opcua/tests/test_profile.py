"""What was learned of a server outlives the gateway, and is never believed blindly."""

import json
import time

import pytest

from plugins.opcua import OpcUa
from plugins.opcua.session import profile
from plugins.opcua.session.profile import KEPT, MOST_FILES, SIZE, Profile, profile_of

from .bent import bent, fault, reading
from .conftest import streaming

URL = "opc.tcp://plc:4840"


def learned() -> Profile:
    known = Profile()
    known.limits["read"] = 25
    known.lacks["Republish"] = "BadServiceUnsupported"
    return known


def file_of(folder):
    (file,) = folder.glob("*.json")
    return file


def test_it_is_read_again_after_a_restart(tmp_path):
    learned().keep(URL, tmp_path / "opcua")
    found = profile_of(URL, tmp_path / "opcua")
    assert found.facts == {"most_to_read": 25.0, "most_to_browse": 100.0, "most_to_translate": 1000.0,
                           "most_to_subscribe": 1000.0, "lacks": "Republish"}  # fmt: skip
    assert profile_of("opc.tcp://other:4840", tmp_path / "opcua").limits["read"] == 1000


@pytest.mark.parametrize("since", [-KEPT - 1, 60, float("inf"), float("nan")])
def test_what_is_older_than_a_day_or_of_the_future_is_learned_anew(tmp_path, since):
    old = learned()
    old.since = time.time() + since
    old.keep(URL, tmp_path)
    assert profile_of(URL, tmp_path).limits["read"] == 1000


@pytest.mark.parametrize(
    "limits",
    [
        {},
        [],
        None,
        {"read": 0},
        {"read": -5},
        {"read": "25"},
        {"read": True},
        {"read": 1e300},
        {"read": 10**9},
        {"": 1},
    ],
)
def test_limits_that_make_no_sense_are_not_believed(tmp_path, limits):
    learned().keep(URL, tmp_path)
    told = json.loads(file_of(tmp_path).read_text()) | {"limits": limits, "lacks": {"Read": "x", "CreateSession": "y"}}
    file_of(tmp_path).write_text(json.dumps(told))
    found = profile_of(URL, tmp_path)
    assert set(found.limits) == {"read", "browse", "translate", "subscribe"}
    assert found.limits["read"] == 1000
    assert not {"Read", "CreateSession"} & found.lacks.keys()


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b"\xff" * 10, b"null", b"7", b"{}" + b" " * SIZE])
def test_a_file_that_makes_no_sense_is_no_file(tmp_path, raw):
    learned().keep(URL, tmp_path)
    file_of(tmp_path).write_bytes(raw)
    assert profile_of(URL, tmp_path).limits["read"] == 1000


def test_a_disk_that_takes_nothing_costs_only_what_it_would_have_told(tmp_path):
    (tmp_path / "opcua").write_text("in the way")
    learned().keep(URL, tmp_path / "opcua")
    assert profile_of(URL, tmp_path / "opcua").limits["read"] == 1000


def test_there_are_only_so_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "MOST_FILES", 3)
    for number in range(10):
        learned().keep(f"opc.tcp://plc-{number}:4840", tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert MOST_FILES >= 1000


async def test_a_small_server_is_asked_for_little_from_the_first_request_after_a_restart():
    """Its limits are found out once: too much of it is asked only before."""

    def read(asked):
        return fault("BadTooManyOperations") if len(asked.Parameters.NodesToRead) > 6 else reading({})(asked)

    async with bent(ReadRequest=read) as server:
        for start in range(2):
            profile.forget()
            server.asked.clear()
            async with streaming(server.device(40, acquisition="poll", scan="50ms")) as collector:
                await collector.until(lambda: all(collector.values(f"T{row}") for row in range(40)))
            sizes = [len(each.Parameters.NodesToRead) for each in server.kinds("ReadRequest")]
            assert (max(sizes) > 6) is (start == 0)
            assert isinstance(collector.driver, OpcUa)
            assert collector.driver.facts["most_to_read"] <= 6
