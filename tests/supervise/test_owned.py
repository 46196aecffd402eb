"""One process alone works in a directory, whatever lies there under the name of its lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.errors import GatewayError
from gateway.supervise.owned import owned
from tests.places.test_regular import ODD


@pytest.mark.parametrize("lay", ODD)
def test_what_is_no_file_in_the_place_of_the_lock_is_renamed(lay, tmp_path: Path) -> None:
    lay(tmp_path / "lock")
    with owned(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert [path for path in tmp_path.iterdir() if path.name.startswith("lock.odd-")]


def test_a_link_in_the_place_of_the_lock_changes_nothing_where_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lock").symlink_to(tmp_path / "precious")
    with owned(tmp_path / "state"):
        assert (tmp_path / "precious").read_text() == "precious"


def test_another_process_is_kept_out_and_told_who_is_in(tmp_path: Path) -> None:
    code = f"from pathlib import Path\nfrom gateway.supervise.owned import owned\nwith owned(Path({str(tmp_path)!r})): pass"
    with owned(tmp_path):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"another gateway (process {os.getpid()})" in told.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_state_directory_that_is_a_file_is_a_refusal_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(GatewayError, match="state directory"), owned(tmp_path / "state"):
        pass
