"""`learn` makes a model of a CSV in one command; `models` shows it, tries it on data, and lists what runs."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.cli import main
from gateway.cli.models import lines
from tests.cli.conftest import Asked
from tests.detect.learn.learning import BEGIN, SECOND, TAGS, UNITS, running


def save(path: Path, table: Any, faulty: Any = None) -> Path:
    """A wide CSV as people have it: local names of columns, units in brackets, times without a zone."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";")
        titles = [f"{tag} [{unit}]" for tag, unit in zip(TAGS, UNITS, strict=True)]
        out.writerow(["datetime", *titles, "label"])
        for row, values in enumerate(table.rows.tolist()):
            moment = str(np.datetime64(int(table.t_ns[row]), "ns").astype("datetime64[s]")).replace("T", " ")
            out.writerow([moment, *values, int(faulty is not None and row >= faulty)])
    return path


@pytest.fixture
def model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    data = save(tmp_path / "normal.csv", running())
    out = tmp_path / "mixer.onnx"
    assert main(["learn", "--data", str(data), "--without", "label", "-o", str(out)]) == 0
    told = capsys.readouterr().out
    assert "model mixer 1 of 3 tags" in told
    assert "it was trained on 15 min" in told
    assert out.with_suffix(".html").read_text().startswith("<!doctype html>")
    return out


@pytest.mark.parametrize(("version", "following"), [("1", "2"), ("1.9", "1.10"), ("spring", "spring-2")])
def test_the_next_version_of_a_model_is_named_and_numbered_after_the_active_one(
    tmp_path: Path, version: str, following: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "normal.csv", running())
    config = str(tmp_path / "config.toml")
    learn = ["learn", "--data", str(data), "--without", "label", "--config", config]
    folder = tmp_path / "models"
    folder.mkdir()
    out = ["-o", str(folder / "mixer.onnx"), "--name", "mixer one", "--model-version", version]
    assert main([*learn, *out]) == 0
    assert 'file = "models/mixer.onnx"' in capsys.readouterr().out
    assert main([*learn, "-o", str(folder / "mixer.next.onnx")]) == 0
    told = capsys.readouterr().out
    assert f"model mixer one {following} of 3 tags" in told
    assert "edge-gateway models approve 'mixer one' --reason" in told


def test_a_next_version_without_an_active_one_is_called_as_that_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "normal.csv", running())
    assert main(["learn", "--data", str(data), "--without", "label", "-o", str(tmp_path / "mixer.next.onnx")]) == 0
    assert "model mixer 1 of 3 tags" in capsys.readouterr().out


def test_inspect_shows_the_card_of_a_learned_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "inspect", str(model)]) == 0
    told = capsys.readouterr().out
    assert "mixer 1, for mixer" in told
    assert "passes all checks" in told
    assert "speed" in told
    assert main(["models", "inspect", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(entry["tag"], entry["unit"]) for entry in found["card"]["inputs"]] == list(zip(TAGS, UNITS, strict=True))
    assert found["card"]["training"]["source"] == "normal.csv"


def test_test_finds_the_fault_in_data_and_compares_it_with_the_truth(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "faulty.csv", running(seed=3, fault=600), 600)
    labels = tmp_path / "labels.csv"
    argv = ["models", "test", str(model), "--data", str(data), "--truth", "label", "-o", str(labels)]
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (anomaly,) = told["anomalies"]
    assert anomaly["to"] is None
    assert told["rows"] == 900
    assert told["against_truth"]["alarm"]["f1"] > 0.95
    rows = list(csv.DictReader(labels.read_text().splitlines()))
    assert len(rows) == 900
    first = next(row for row in rows if row["alarm"] == "1")
    assert first["time"] == anomaly["from"]
    assert main(argv) == 0
    assert "1 anomaly would have been raised:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,a\n", "holds no rows"),
        ("time,a\nyesterday,1\n", 'column "time": is no time'),
        (
            "time,a\n2026-01-01 00:00:00,warm\n",
            "column \"a\", data row 1: 'warm' is no number; leave that column out with",
        ),
        ("time,a,a\n1,2,3\n", ":1: two columns have the same title"),
        ("time,a\n1,2,3\n", ":2: the row has 3 cells, the first row 2"),
        ("time\n1\n", "has one column only"),
        ("time,a\n1,2\n2,3\n", "too little data: 1 tags at one row per 1.0 s need 300 whole windows"),
        ("time,device,tag,value\n1,x,a,2\n1,y,a,2\n", "holds 2 devices (x, y): say which with  --device"),
    ],
)
def test_what_is_wrong_with_the_data_is_said(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(text)
    assert main(["learn", "--data", str(data), "-o", str(tmp_path / "x.onnx")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()


def test_without_data_nothing_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.onnx")]
    assert main(["learn", *out]) == 2
    assert "--device NAME" in capsys.readouterr().err
    assert main(["learn", "--device", "d", "--dir", str(tmp_path), *out]) == 1
    assert main(["learn", "--data", str(tmp_path / "none.csv"), *out]) == 1
    assert "No such file" in capsys.readouterr().err


def test_an_export_of_the_outbox_is_learned_from_too(tmp_path: Path) -> None:
    from gateway.detect.learn.sources import read_file

    table = running(50)
    path = tmp_path / "export.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time", "device", "tag", "value", "unit", "quality"])
        for t_ns, values in zip(table.t_ns.tolist(), table.rows.tolist(), strict=True):
            moment = str(np.datetime64(t_ns, "ns")) + "Z"
            for tag, unit, value in zip(TAGS, UNITS, values, strict=True):
                out.writerow([moment, "mixer-1", tag, repr(value), unit, "good"])
                out.writerow([moment, "other", tag, 0, unit, "good"])
        out.writerow(
            [str(np.datetime64(BEGIN + 50 * SECOND, "ns")) + "Z", "mixer-1", "flow", "1.0", "l/min", "bad: timeout"]
        )
    found = read_file(path, "mixer-1").of(TAGS)
    assert found.units == UNITS
    np.testing.assert_array_equal(found.rows[:50], table.rows)
    np.testing.assert_array_equal(found.t_ns[:50], table.t_ns)
    assert np.isnan(found.rows[50]).all()


def test_parquet_is_learned_from_as_csv_is(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")
    from pyarrow import parquet

    from gateway.detect.learn.sources import read_file

    table = running(40)
    table = replace(table, t_ns=table.t_ns + 123_456_789)
    columns = {"time": pa.array(table.t_ns, pa.timestamp("ns", tz="UTC"))}
    columns |= {tag: table.rows[:, place] for place, tag in enumerate(TAGS)}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    found = read_file(tmp_path / "x.parquet")
    np.testing.assert_array_equal(found.rows, table.rows)
    np.testing.assert_array_equal(found.t_ns, table.t_ns // 1000 * 1000)


def test_the_running_models_are_listed(gateway: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    device = {"device": "mixer-1", "state": "degraded", "reason": "flow is stale", "score": None, "event": None}
    model = {"name": "mixer", "file": "mixer.onnx", "state": "up", "reason": "", "version": "1", "sha256": "ab" * 32}
    gateway.answers["models"] = [model | {"devices": [device]}]
    assert main(["models", "list"]) == main(["models"]) == 0
    assert "  mixer-1: degraded (flow is stale), score -" in capsys.readouterr().out
    failed = {"name": "oven", "file": "oven.onnx", "state": "faulted", "reason": "uses RandomNormal"}
    told = list(lines([failed]))
    assert told[1].split() == ["oven", "-", "-", "faulted", "0", "oven.onnx"]
    assert told[2] == "  uses RandomNormal"
    assert "edge-gateway learn" in next(lines([]))


def test_what_people_do_with_versions_is_handed_to_the_gateway_with_the_reason(
    gateway: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    agreement = {"looks": 9, "both": 1, "only_active": 0, "only_shadow": 2, "neither": 6, "kappa": 0.5}
    shadow = {"state": "shadow", "reason": "", "version": "2", "sha256": "cd" * 32, "raised": 1, "agreement": agreement}
    model = {"name": "mixer", "file": "mixer.onnx", "state": "up", "reason": "", "version": "1", "sha256": "ab" * 32}
    gateway.answers = {f"model_{verb}": [model | {"shadow": shadow}] for verb in ("approve", "rollback", "retire")}
    for verb in ("approve", "rollback", "retire"):
        assert main(["models", verb, "mixer", "--reason", "because"]) == 0
        assert gateway.requests.pop() == (f"model_{verb}", {"model": "mixer", "reason": "because"})
    told = capsys.readouterr().out
    assert "  in shadow: version 2, cdcdcdcdcdcd; it would have raised 1\n" in told
    assert (
        "    of 9 looks: above by both 1, by the active alone 0, by the shadow alone 2, by neither 6; kappa 0.50\n"
        in told
    )
    failed = model | {"shadow": {"state": "failed", "reason": "is no ONNX file"}}
    assert "  in shadow: cannot be used: is no ONNX file" in list(lines([failed]))
    with pytest.raises(SystemExit):
        main(["models", "approve", "mixer"])


def test_data_in_another_unit_is_refused_and_a_title_without_one_is_believed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "kelvin.csv"
    data.write_text("time,temp [K],flow,speed [rpm]\n2026-01-01,320,10,1500\n")
    assert main(["models", "test", str(model), "--data", str(data)]) == 1
    assert 'column "temp" is in K, the model was trained in °C: convert it' in capsys.readouterr().err
    data.write_text("time,temp,flow,speed\n2026-01-01,50,10,1500\n")
    assert main(["models", "test", str(model), "--data", str(data)]) == 0


def test_learn_makes_the_folder_of_the_model_and_says_when_there_is_nothing_to_learn_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "models" / "mixer.onnx"
    tiny = tmp_path / "tiny.csv"
    tiny.write_text("time,temp\n2026-01-01,1\n")
    assert main(["learn", "--data", str(tiny), "-o", str(out)]) == 1
    assert "there is one row only: nothing to learn from" in capsys.readouterr().err
    assert not out.parent.exists()
    assert (
        main(["learn", "--data", str(save(tmp_path / "n.csv", running())), "--without", "label", "-o", str(out)]) == 0
    )
    assert out.exists()
