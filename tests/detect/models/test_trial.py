"""Model files that harm whoever loads them are refused in words, and cost this process nothing."""

import asyncio
import json
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from gateway.detect import versions
from gateway.detect.models import trial
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import ModelError, read_onnx
from gateway.detect.models.session import ModelSession, open_model
from gateway.detect.models.trial import Trial
from gateway.detect.models.trial_process import measured
from gateway.status import ModelStatus, rendered
from gateway.trust.signature import signature_path
from tests.detect.graphs import CARD, save
from tests.detect.test_detector import device, plant
from tests.peers import hostile_models

AT_ONCE = {"expand", "never-finite", "weights-that-are-not-there"}
"""Which of those that need a process of their own are tried each time; the others are slow tests."""
HARMLESS = hostile_models.HARMLESS
OVEN = [("oven.onnx", {"devices": ("oven-*",)})]


@pytest.fixture(autouse=True)
def tried_here(monkeypatch):
    """Here models are tried as the gateway does, but for less long."""
    monkeypatch.setattr(trial, "CPU_SECONDS", 4)
    monkeypatch.setattr(Trial, "_known", type(Trial._known)())


def memory():
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def refused(path):
    before = memory()
    with pytest.raises(ModelError) as error:
        open_model(path, 50)
    assert memory() - before < 150 * 2**20
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 3000
    return str(error.value)


@pytest.fixture
def hostile(tmp_path):
    def made(name):
        path = tmp_path / "oven.onnx"
        path.write_bytes(hostile_models.MAKERS[name]())
        return path

    return made


@pytest.mark.parametrize("name", sorted(AT_ONCE | hostile_models.REFUSED_UNTRIED))
def test_a_hostile_file_is_refused_in_words_and_takes_no_memory_here(hostile, name, monkeypatch):
    if name in hostile_models.REFUSED_UNTRIED:
        monkeypatch.setattr(Trial, "run", lambda *_: pytest.fail("it was tried"))
    refused(hostile(name))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(hostile_models.MAKERS.keys() - hostile_models.REFUSED_UNTRIED - AT_ONCE - HARMLESS)
)
def test_a_hostile_file_is_refused_by_its_trial(hostile, name):
    refused(hostile(name))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("card-nested", "nested too deep"),
        ("functions-that-double", "has 1000000000 nodes, more than 1000"),
        ("function-that-calls-itself", "functions call themselves"),
        ("function-that-masks-an-operator", "hands graphs to its functions"),
        ("function-of-a-known-name", "functions under names of others (com.microsoft.Gelu)"),
        ("range-to-a-reading", "from the values that it is given (Range)"),
        ("branch-by-a-reading", "from the values that it is given (If)"),
        ("whole-numbers-divided", "from the values that it is given (Div of whole numbers)"),
        ("card-large-window", "needs windows of 50000000 numbers for 50 devices"),
        ("expand", "takes more memory than a model of its size may, 64 MiB"),
        ("scans", "takes more than 4 s of a core"),
        ("never-finite", "gives no finite score"),
    ],
)
def test_what_is_wrong_is_said(hostile, name, told):
    assert told in refused(hostile(name))


def test_windows_are_scored_together_only_in_numbers_that_were_tried(hostile):
    assert open_model(hostile("by-number-of-windows"), 50).session.sizes == (1,)


def test_a_good_model_is_judged_as_in_this_process(tmp_path):
    path = save(tmp_path / "oven.onnx")
    opened = open_model(path, 100)
    file = read_onnx(path)
    here = measured(ModelSession(file, parse_card(file.metadata), assets=100), 100)
    assert opened.session.sizes == here.sizes == (*range(1, 25), 32, 64, 100)
    assert 0 < opened.seconds < 1


async def test_models_have_only_so_much_memory_together(tmp_path, monkeypatch):
    large = [hostile_models.model(*hostile_models.weights(megabytes)) for megabytes in (30, 31, 32)]
    names = [f"oven-{number}.onnx" for number in range(3)]
    for name, content in zip(names, large, strict=True):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("gateway.detect.model_loading.MEMORY_IN_ALL", 150 * 2**20)
    async with plant(tmp_path, [(name, {"devices": ("oven-*",)}) for name in names], [device()]) as made:
        states = [(model["state"], model["reason"]) for model in rendered(made.detector.status(ModelStatus))]
    assert sorted(state for state, _ in states) == ["faulted", "up", "up"]
    assert any("the models that are loaded leave" in reason for _, reason in states)


def test_what_has_passed_is_not_tried_again(tmp_path, monkeypatch):
    path = save(tmp_path / "oven.onnx")
    open_model(path)
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *_, **__: pytest.fail("it was tried again"))
    open_model(path)


def fake_python(tmp_path, monkeypatch, script):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(path))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("kill -SEGV $$", "ends the process that loads it (Segmentation fault)"),
        ("kill -ABRT $$", "ends the process that loads it (Aborted)"),
        ("kill -KILL $$", "there was no memory for it"),
        ("exit 3", "the process for it ended with code 3"),
        ("echo '[[['; exec sleep 1000", "cannot be tried: "),
        ("cat /dev/zero", "cannot be tried: "),
        ("cat > /dev/null; echo '{\"sizes\": null}'", "cannot be tried: "),
    ],
)
def test_however_the_process_ends_the_model_is_refused_with_that(tmp_path, monkeypatch, script, told):
    monkeypatch.setattr(trial, "WALL_SECONDS", 1.0)
    path = save(tmp_path / "oven.onnx")
    fake_python(tmp_path, monkeypatch, script)
    assert told in refused(path)


def test_no_process_is_a_reason_too(tmp_path, monkeypatch):
    path = save(tmp_path / "oven.onnx")
    monkeypatch.setattr(trial.sys, "executable", str(tmp_path / "nothing"))
    assert "no process can be started for it" in refused(path)


def test_the_process_gets_no_secrets(tmp_path, monkeypatch):
    path = save(tmp_path / "oven.onnx")
    monkeypatch.setenv("PASSWORD", "hush")
    fake_python(tmp_path, monkeypatch, f"env > {tmp_path}/seen")
    refused(path)
    assert "PYTHONPATH" in (tmp_path / "seen").read_text()
    assert "hush" not in (tmp_path / "seen").read_text()


def test_a_trial_can_be_stopped_and_leaves_no_process(hostile):
    file = read_onnx(hostile("scans"))
    tried = Trial()
    found = []

    def run():
        try:
            tried.run(file, 1)
        except ModelError as error:
            found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    while tried._process is None:
        thread.join(0.01)
    tried.stop()
    thread.join(30)
    assert found == ["was not tried to the end: the gateway stops"]
    assert not Path(f"/proc/{tried._process.pid}").exists()


async def test_while_one_is_tried_others_score_and_the_end_waits_for_nothing(tmp_path, hostile, monkeypatch):
    monkeypatch.setattr(trial, "CPU_SECONDS", 1000)
    hostile("scans").rename(tmp_path / "bad.onnx")
    save(tmp_path / "oven.onnx")
    one = device()
    started = []
    begin = trial._started
    monkeypatch.setattr(trial, "_started", lambda assets: started.append(begin(assets)) or started[-1])
    async with plant(tmp_path, OVEN, [one]) as made:
        bad = asyncio.create_task(made.detector.models.opened(made.detector.models.all[0], tmp_path / "bad.onnx"))
        while len(started) < 2:
            await asyncio.sleep(0.01)
        made.seconds(6, [one])
        assert made.devices()["oven-1"]["state"] == "running"
        bad.cancel()
        async with asyncio.timeout(60):
            await asyncio.wait([bad])
        while Path(f"/proc/{started[1].pid}").exists():
            await asyncio.sleep(0.01)


KINDS = {
    "fifo": (os.mkfifo, "a FIFO"),
    "folder": (os.mkdir, "a directory"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "socket": (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "a socket"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_no_regular_file_is_told_and_holds_up_nothing(tmp_path, kind, monkeypatch):
    make, told = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    make(Path("odd.onnx"))
    assert told in refused(tmp_path / "odd.onnx")
    assert versions.sha256(tmp_path / "odd.onnx") == ""
    path = save(tmp_path / "oven.onnx")
    make(Path("oven.onnx.sig"))
    assert not stat.S_ISREG(signature_path(path).stat().st_mode)
    with pytest.raises(ModelError, match=told):
        open_model(path, 1, [tmp_path / "some.pub"])


async def test_an_odd_next_version_is_told_and_the_active_one_goes_on(tmp_path):
    path = save(tmp_path / "oven.onnx")
    one = device()
    async with plant(tmp_path, OVEN, [one]) as made:
        os.mkfifo(versions.next_of(path))
        await made.detector.rollout.look()
        assert "a FIFO, not a regular file" in rendered(made.detector.status(ModelStatus))[0]["shadow"]["reason"]
        made.seconds(6, [one])
        assert made.devices()["oven-1"]["state"] == "running"
    assert made.told() == [("model", "candidate_failed", "")]


def test_text_of_a_card_is_cleaned_where_it_comes_in():
    card = parse_card(
        {"card": json.dumps(CARD | {"name": "oven\n\x1b[2J\ud800", "author": "a" * 2000, "training": {"x": "\udfff"}})}
    )
    assert card.name == "oven [2J\N{REPLACEMENT CHARACTER}"
    assert len(card.author) == 1000
    assert card.training == {"x": "\N{REPLACEMENT CHARACTER}"}
    with pytest.raises(ModelError, match="name: must be a text"):
        parse_card({"card": json.dumps(CARD | {"name": " \n"})})
