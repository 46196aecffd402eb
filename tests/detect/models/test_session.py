"""A model scores only after it has passed the checks at load; its scores are the same however they are asked for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.demo.build_model import FIT_SECONDS, FIT_SEEDS, LIMIT_SECONDS, LIMIT_SEEDS, MODEL, build, fit, record
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import ModelError, read_onnx
from gateway.detect.models.session import ModelSession
from tests.detect.graphs import CARD, onnx, save

ROOT = Path(__file__).parents[3]


def load(path, **changes):
    file = read_onnx(path)
    return ModelSession(file, parse_card(file.metadata))


def test_a_good_model_is_loaded_scored_in_one_call_and_gives_contributions(tmp_path):
    session = load(save(tmp_path / "m.onnx"))
    windows = np.tile(np.array([[50, 10]], np.float32), (4, 3, 1))
    windows[2, :, 0] = 65
    scores = session.score(windows)
    assert session.batched
    assert scores.score.tolist() == pytest.approx([0, 0, 1.5, 0])
    assert scores.contribution[2].tolist() == pytest.approx([1.5, 0])
    assert scores.expected is None


def test_a_graph_for_one_window_at_a_time_is_called_once_for_each(tmp_path):
    helper = onnx().helper
    nodes = [
        helper.make_node("Reshape", ["window", "six"], ["flat"]),
        helper.make_node("ReduceMax", ["flat"], ["score"], keepdims=1, axes=[0]),
        helper.make_node("Constant", [], ["six"], value_ints=[6]),
    ]
    nodes = [nodes[2], *nodes[:2]]
    session = load(save(tmp_path / "m.onnx", nodes=nodes, outputs=["score"]))
    windows = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    assert not session.batched
    assert session.score(windows).score.tolist() == [5, 11, 17, 23]


def test_a_graph_whose_rows_influence_each_other_is_never_batched(tmp_path):
    helper = onnx().helper
    nodes = [
        helper.make_node("ReduceMean", ["window"], ["all"], keepdims=1),
        helper.make_node("ReduceMax", ["window"], ["each"], keepdims=0, axes=[1, 2]),
        helper.make_node("Squeeze", ["all", "axes"], ["one"]),
        helper.make_node("Sub", ["each", "one"], ["score"]),
    ]
    assert not load(save(tmp_path / "m.onnx", nodes=nodes, outputs=["score"])).batched


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"card": {**CARD, "window": 4}, "shape": (3, 2)}, r"shape .* the card says \[batch, 4, 2\]"),
        ({"outputs": ["contribution"]}, 'must have an output "score"'),
        ({"type": 11}, "must be float32|cannot load"),
        ({"card": {**CARD, "golden": {"window": [[50, 10]] * 3, "score": 0.7}}}, "scores its own golden input as 0"),
    ],
)
def test_what_does_not_fit_its_card_is_refused_with_the_reason(tmp_path, changes, told):
    with pytest.raises(ModelError, match=told):
        load(save(tmp_path / "m.onnx", **changes))


def test_a_random_or_broken_graph_is_refused(tmp_path):
    helper = onnx().helper
    random = helper.make_node("RandomNormal", [], ["score"], shape=[1])
    unknown = helper.make_node("NoSuchOperator", ["window"], ["score"])
    broken = helper.make_node("Abs", ["nowhere"], ["score"])
    with pytest.raises(ModelError, match="must not depend on chance"):
        load(save(tmp_path / "m.onnx", nodes=[random], outputs=["score"]))
    with pytest.raises(ModelError, match="may not use: NoSuchOperator"):
        load(save(tmp_path / "m.onnx", nodes=[unknown], outputs=["score"]))
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        load(save(tmp_path / "m.onnx", nodes=[broken], outputs=["score"]))


def test_an_operator_that_fails_at_run_time_is_a_model_error(tmp_path):
    helper = onnx().helper
    nodes = [
        helper.make_node("Constant", [], ["seven"], value_ints=[7]),
        helper.make_node("Reshape", ["window", "seven"], ["score"]),
    ]
    with pytest.raises(ModelError, match="fails on an input of shape"):
        load(save(tmp_path / "m.onnx", nodes=nodes, outputs=["score"]))


def test_the_shipped_model_computes_what_its_fit_says():
    found = fit(
        [record(seed, FIT_SECONDS) for seed in FIT_SEEDS], [record(seed, LIMIT_SECONDS) for seed in LIMIT_SEEDS]
    )
    session = load(MODEL)
    windows = np.lib.stride_tricks.sliding_window_view(record(999, 200), 8, axis=0).transpose(0, 2, 1)
    scores = session.score(windows.astype(np.float32))
    assert session.batched
    np.testing.assert_allclose(scores.score, found.score(windows), rtol=1e-3)
    np.testing.assert_allclose(scores.contribution.sum(axis=1), 2, rtol=1e-5)


def test_the_shipped_model_is_what_its_script_builds_byte_for_byte():
    onnx()
    assert build() == MODEL.read_bytes()


CHILD = """
import sys
dialled = []
def audit(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        dialled.append((event, str(args)))
sys.addaudithook(audit)
import time
from pathlib import Path
import numpy as np
from gateway.detect.models.card import parse_card
from gateway.detect.models.onnx_file import read_onnx
from gateway.detect.models.session import ModelSession
file = read_onnx(Path(sys.argv[1]))
card = parse_card(file.metadata)
session = ModelSession(file, card)
for _ in range(50):
    session.score(np.zeros((20, card.window, len(card.inputs)), np.float32))
time.sleep(1.5)  # long enough for a reporting thread to begin
assert not dialled, dialled
print("scored", file.sha256)
"""


KEEP_REPORTING = """
import os
kept = os._Environ.__setitem__
os._Environ.__setitem__ = lambda self, key, value: None if "TELEMETRY" in key else kept(self, key, value)
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
"""


def child_environment(home):
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    places = {"HOME": home, "TMPDIR": home / "tmp", "XDG_CACHE_HOME": home / "cache", "XDG_DATA_HOME": home / "data"}
    (home / "tmp").mkdir()
    return {
        **kept,
        **{key: str(place) for key, place in places.items()},
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_scoring_writes_no_file_and_dials_nobody(tmp_path):
    trace = tmp_path / "trace"
    home = tmp_path / "home"
    home.mkdir()
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, to see what the C++ code does: apt-get install strace")
    calls = "trace=network,openat,open,creat,mkdir,mkdirat,rename,renameat2,unlink,unlinkat"
    tracer = [strace, "-f", "-qq", "-e", calls, "-o", str(trace)]
    run = subprocess.run(
        [*tracer, sys.executable, "-c", CHILD, str(MODEL)],
        env=child_environment(home), cwd=home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if "PTRACE" in run.stderr or "ptrace" in run.stderr:
        pytest.skip(f"strace may not trace here: {run.stderr.splitlines()[0]}")
    assert run.returncode == 0, run.stderr
    assert "scored" in run.stdout
    lines = trace.read_text().splitlines()
    assert any("coater.onnx" in line for line in lines)
    assert [line for line in lines if re.search(r"\b(connect|sendto|sendmsg|bind|socket)\(.*AF_INET", line)] == []
    written = [line for line in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT|\b(mkdir|rename|unlink|creat)", line)]
    assert [line for line in written if '"/dev/' not in line and "ENOENT" not in line] == []
    assert files_under(home) == []


def test_the_probe_above_would_see_a_report(tmp_path):
    """The same child with onnxruntime's reporting left on leaves files: so the test above can fail."""
    home = tmp_path / "home"
    home.mkdir()
    source = KEEP_REPORTING + CHILD
    run = subprocess.run(
        [sys.executable, "-c", source, str(MODEL)],
        env=child_environment(home), cwd=home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    if not files_under(home):
        pytest.skip("this build of onnxruntime reports nothing even when it may")


def test_importing_the_detector_does_not_import_onnxruntime():
    code = "import sys, gateway.detect.detector; print(json.dumps('onnxruntime' in sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", "import json;" + code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) is False
