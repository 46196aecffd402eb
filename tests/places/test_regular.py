"""Only regular files are opened, whatever lies there, and only so much of them is read."""

import errno
import os
import socket
from pathlib import Path

import pytest

from gateway.places.regular import open_regular, read_regular


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's whole name may have 107 bytes only
        try:
            bound.bind(path.name)
        finally:
            os.chdir(here)


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


ODD = [a_fifo, a_directory, a_socket, an_endless_device, a_link_to_a_fifo, a_link_to_itself]


@pytest.mark.parametrize("lay", ODD)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT], ids=["read", "both", "make"])
def test_what_is_no_file_is_refused_in_words_and_never_waited_for(lay, flags, tmp_path: Path) -> None:
    path = tmp_path / "state"
    lay(path)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(OSError) as refused:
        open_regular(path, flags)
    assert refused.value.strerror
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_file_is_read_whole_also_through_a_link_unless_links_are_not_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 3_000_000) == b"x" * 3_000_000
    with pytest.raises(OSError, match="a link, not a regular file"):
        read_regular(tmp_path / "link", 3_000_000, flags=os.O_NOFOLLOW)


def test_of_a_file_that_is_too_long_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr(os, "read", None)
    with pytest.raises(OSError, match="longer than 1000 bytes") as refused:
        read_regular(tmp_path / "file", 1000)
    assert refused.value.errno == errno.EFBIG


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_an_impossible_name_is_an_error_of_the_system(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_regular(f"{tmp_path}/{name}", 10)


def test_what_is_missing_is_told_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 10)


def test_beside_an_open_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert read_regular("file", 10, dir_fd=directory) == b"here"
    finally:
        os.close(directory)
