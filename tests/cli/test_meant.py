"""What is misspelt on the command line gets the nearest right word."""

import pytest

from gateway.cli import main


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean check?"),
        (["satus"], "did you mean status?"),
        (["check", "--conect"], "unrecognized arguments: --conect; did you mean --connect?"),
        (["outbox", "stauts"], "did you mean status?"),
        (["outbox", "status", "--jsno"], "did you mean --json?"),
        (["user", "add", "anna", "--role", "oprator"], "did you mean operator?"),
        (["check", "--format", "githup"], "there is no format 'githup'; did you mean github?"),
        (["status", "--conifg", "x"], "did you mean --config?"),
    ],
)
def test_the_nearest_word_is_told(line: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(line)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_a_word_that_is_near_none_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["xyzzy"])
    assert "'status'" in capsys.readouterr().err.replace('"', "'") or "status" in capsys.readouterr().err
