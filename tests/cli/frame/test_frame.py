import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.frame import COMMANDS, HIDDEN, command_line
from gateway.core.errors import GatewayError

HEAVY = (
    "numpy",
    "pydantic",
    "structlog",
    "asyncua",
    "onnxruntime",
    "paho",
    "orjson",
    "tomli",
    "asyncio",
    "uvloop",
    "pymodbus",
)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`edge-gateway` with these arguments; the last line of its stderr names the heavy modules it has imported."""
    program = (
        "import sys; from gateway.cli import main\n"
        "try: code = main()\n"
        "except SystemExit as end: code = end.code\n"
        f"print(*(set(sys.modules) & set({HEAVY})), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    told = in_a_process("--help")
    assert told.returncode == 0
    assert told.stderr == "\n"
    for name in COMMANDS:
        assert re.search(rf"^    {name}(?: |$)", told.stdout, re.MULTILINE), name
    for name in HIDDEN:
        assert f"\n    {name} " not in told.stdout


@pytest.mark.parametrize("command", [["status"], ["tags"], ["tags", "press-1"], ["read", "press-1/oil"], ["reload"]])
def test_asking_where_no_gateway_answers_imports_nothing_heavy_and_exits_with_3(
    command: list[str], tmp_path: Path
) -> None:
    told = in_a_process(*command, "--socket", str(tmp_path / "control.sock"))
    assert told.returncode == 3
    assert "no gateway answers on" in told.stderr
    assert "systemctl status edge-gateway" in told.stderr
    assert told.stderr.splitlines()[-1] == ""
    assert told.stdout == ""


def test_help_costs_less_than_200_ms_of_cpu() -> None:
    def cost() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "gateway", "--help"], capture_output=True, check=True, timeout=100)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cost() for _ in range(3)) < 0.2


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "--config", "a.toml", "--socket", "s", "status"],
        ["status", "--json", "--config", "a.toml", "--socket", "s"],
        ["--json", "--config", "a.toml", "status", "--socket", "s"],
        ["--config", "b.toml", "--json", "status", "--config", "a.toml", "--socket", "s"],
        ["--config", "a.toml", "--socket=s", "--json", "tags", "press-1", "--watch"],
    ],
)
def test_shared_options_stand_before_or_after_the_command(words: list[str]) -> None:
    args = command_line().parse_args(words)
    assert (args.json, args.config, args.socket) == (True, "a.toml", "s")


def test_an_option_may_be_named_like_a_command() -> None:
    args = command_line().parse_args(["--config", "run", "tags", "status"])
    assert (args.command, args.config, args.device) == ("tags", "run", "status")


@pytest.mark.parametrize("words", [[], ["fly"], ["--fly"], ["status", "--fly"], ["read"], ["status", "now"]])
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(words)
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr()
    assert code == 2
    assert "usage: edge-gateway" in told.err
    assert told.out == ""


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert (COMMANDS | HIDDEN)[name][1:20] in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from gateway import __version__

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"edge-gateway {__version__}\n"


def test_a_reader_that_has_enough_ends_the_command_quietly() -> None:
    """As `edge-gateway schema | head -1`: the pipe is closed before the output, which is larger than a pipe, has gone."""
    reading, writing = os.pipe()
    command = subprocess.Popen(
        [sys.executable, "-m", "gateway", "schema"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert os.read(reading, 1) == b"{"
    os.close(reading)
    _, err = command.communicate(timeout=100)
    assert (command.returncode, err) == (0, "")


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.status.run", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/etc/x"), "edge-gateway: /etc/x: Permission denied"),
        (OSError(28, "No space left on device", "/srv/y"), "edge-gateway: /srv/y: No space left on device"),
        (GatewayError("the plant is closed"), "edge-gateway: the plant is closed"),
    ],
    ids=["rights", "room", "own"],
)
def test_what_a_command_itself_has_no_words_for_is_no_traceback(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(args: object) -> int:
        raise error

    monkeypatch.setattr("gateway.cli._run", fails)
    assert main(["schema"]) == 1
    assert capsys.readouterr().err.startswith(said)
