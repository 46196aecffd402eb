import subprocess
import sys
from pathlib import Path

CONFIG = """\
[gateway]
nmae = "g1"

[[device]]
name = "press-1"
driver = "modbsu"
host = "127.0.0.1"
[device.tags]
oil = { address = 40001, type = "flaot32" }
"""


def edge_gateway(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words], capture_output=True, text=True, timeout=100, check=False
    )


def test_run_with_a_bad_configuration_exits_with_78_and_names_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    ran = edge_gateway("run", "--config", str(path))
    assert ran.returncode == 78
    assert ran.stdout == ""
    *problems, last = ran.stderr.splitlines()
    assert all(problem.startswith(f"{path}:") for problem in problems)
    assert any('did you mean "name"?' in problem for problem in problems)
    assert any('did you mean "modbus"?' in problem for problem in problems)
    assert last == f"edge-gateway: {len(problems)} problems in the configuration; nothing was started"
    assert sorted(tmp_path.iterdir()) == [path]


def test_run_without_a_configuration_exits_with_78_and_names_the_file(tmp_path: Path) -> None:
    ran = edge_gateway("run", "--config", str(tmp_path / "none.toml"))
    assert ran.returncode == 78
    assert "none.toml" in ran.stderr
    assert "Traceback" not in ran.stderr
