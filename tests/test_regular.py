"""Only regular files are read, and only so much of them."""

import os
from pathlib import Path

import pytest
from gateway.regular import read_regular


def test_of_a_file_that_is_too_long_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "holes"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr(os, "read", None)
    with pytest.raises(OSError, match="it is longer than 1000 bytes"):
        read_regular(path, 1000)
