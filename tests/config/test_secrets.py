from pathlib import Path

import pytest

from gateway.config import secrets
from gateway.config.base import Secret
from gateway.config.secrets import doubt, resolve
from gateway.core.errors import RefusedError

WORD = "hunter2"


@pytest.fixture(autouse=True)
def outside_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setattr(secrets, "CREDENTIALS", folder)
    return folder


def keep(path: Path, content: str | bytes = WORD + "\n", mode: int = 0o600) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", ["gw_mqtt", "mqtt"])
def test_a_credential_comes_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    keep(tmp_path / name, mode=0o444)
    assert resolve(Secret(credential="mqtt")) == WORD


def test_a_credential_comes_from_its_folder_without_systemd(outside_of_systemd: Path) -> None:
    keep(outside_of_systemd / "mqtt")
    assert resolve(Secret(credential="mqtt")) == WORD


def test_a_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    keep(tmp_path / "word", WORD)
    assert resolve(Secret.model_validate({"file": "word"}), tmp_path) == WORD
    assert resolve(Secret.model_validate({"file": "word"}, context={"base": tmp_path})) == WORD


def test_an_environment_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GW_WORD", WORD)
    assert resolve(Secret(env="GW_WORD")) == WORD


def test_only_the_newline_at_the_end_is_cut(tmp_path: Path) -> None:
    keep(tmp_path / "word", "  two words \r\n")
    assert resolve(Secret.model_validate({"file": "word"}), tmp_path) == "  two words "


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({"credential": "mqtt"}, "credentials/mqtt: no such file or directory; create it with mode 600"),
        ({"credential": "../mqtt"}, "not a path"),
        ({"file": "none"}, "no such file or directory; create it with mode 600"),
        ({"env": "GW_NOT_SET"}, "GW_NOT_SET is not set"),
    ],
)
def test_a_missing_secret_says_what_to_create(tmp_path: Path, secret: dict[str, str], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        resolve(Secret.model_validate(secret), tmp_path)


def test_a_credential_that_systemd_did_not_give_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(RefusedError, match=r'credential "mqtt" is missing: sudo edge-gateway secret set mqtt'):
        resolve(Secret(credential="mqtt"))


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (WORD, 0o644, "every user of this machine can read"),
        ("\n", 0o600, "is empty"),
        (b"\xff" + WORD.encode(), 0o600, "is not UTF-8"),
        (WORD * 20_000, 0o600, "is longer than 65536 bytes"),
    ],
)
def test_an_unfit_file_is_refused_without_showing_it(
    tmp_path: Path, content: str | bytes, mode: int, words: str
) -> None:
    keep(tmp_path / "word", content, mode)
    with pytest.raises(RefusedError, match=words) as caught:
        resolve(Secret.model_validate({"file": "word"}), tmp_path)
    assert WORD not in str(caught.value)
    assert WORD not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"\xef\xbb\xbfhunter2\n",
            "begins with a byte order mark, which would be part of it: save it as UTF-8 without",
        ),
        ("hunter2\n".encode("utf-16"), "is UTF-16 text, or no text: save it as UTF-8"),
        ("hunter2\n".encode("utf-16-le"), "is UTF-16 text, or no text: save it as UTF-8"),
        (b"hunter2\nsecond\n", "has a second line: write the secret alone, on one line"),
        (b"hunter2\n\n", "has a second line"),
        (b"hunter2\r\n\r\n", "has a second line"),
    ],
)
def test_what_an_editor_adds_to_a_secret_is_told_without_showing_it(tmp_path: Path, content: bytes, words: str) -> None:
    keep(tmp_path / "word", content)
    with pytest.raises(RefusedError) as refused:
        resolve(Secret.model_validate({"file": "word"}), tmp_path)
    assert words in str(refused.value)
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"), [("word \n", "ends with a blank"), (" word", "begins with a blank"), ("two words\n", "")]
)
def test_a_blank_at_an_end_counts_and_is_told(tmp_path: Path, content: str, words: str) -> None:
    secret = Secret.model_validate({"file": str(keep(tmp_path / "word", content))})
    assert resolve(secret) == content.removesuffix("\n")
    assert words in doubt(secret)
    assert bool(doubt(secret)) == bool(words)
