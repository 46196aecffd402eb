"""A package that may not be installed is refused before anything is changed."""

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.upgrade.package import Package, examine, refuse_if_no_room, refuse_if_unfit
from gateway.core.errors import GatewayError

INSTALLED = Package(Path(), "0.1.0+deb12", "amd64", "debian-12", "python3.11", 1 << 20)
Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes packages of one file."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb: the tests of packages run on Debian and alike")

    def make(content: str = "the program" * 500, **fields: str) -> Path:
        tree = tmp_path / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/lib").mkdir(parents=True)
        (tree / "usr/lib/program").write_text(content)
        sums = subprocess.run(
            ["md5sum", "usr/lib/program"], cwd=tree, capture_output=True, text=True, check=True
        ).stdout
        (tree / "DEBIAN/md5sums").write_text(fields.pop("md5sums", sums))
        told = {
            "Package": "edge-gateway", "Version": "0.2.0+deb12", "Architecture": "amd64", "Maintainer": "x <x@localhost>",
            "Description": "x", "Depends": "dpkg, tzdata", "Edge-Gateway-For": "debian-12", "Installed-Size": "5",
        }  # fmt: skip
        told |= {name.replace("_", "-"): value for name, value in fields.items()}
        (tree / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in told.items()))
        path = tmp_path / "new.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, path],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return path

    return make


def test_a_whole_package_says_what_it_is(made: Made) -> None:
    path = made()
    assert examine(path) == Package(path, "0.2.0+deb12", "amd64", "debian-12", "dpkg, tzdata", 5 << 10)
    refuse_if_unfit(examine(path), INSTALLED)


@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.9, 0.99])
def test_half_a_package_is_refused(made: Made, part: float) -> None:
    path = made()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(GatewayError, match=r"part of one|damaged"):
        examine(path)


def test_a_package_with_a_changed_byte_in_its_program_is_refused(made: Made) -> None:
    path = made("".join(f"{number**7 % 999_983} " for number in range(5000)))
    data = path.read_bytes()
    for part in (0.2, 0.5, 0.8):
        at = int(len(data) * part)
        changed = bytearray(data)
        changed[at] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(GatewayError, match=r"part of one|damaged"):
            examine(path)


def test_content_that_is_not_what_the_checksums_say_is_refused(made: Made) -> None:
    with pytest.raises(GatewayError, match="damaged"):
        examine(made(md5sums=f"{'0' * 32}  usr/lib/program\n"))
    with pytest.raises(GatewayError, match="damaged"):
        examine(made(md5sums=""))


def test_another_package_and_what_is_none_are_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="is the package nginx, not edge-gateway"):
        examine(made(Package="nginx"))
    (tmp_path / "notes.txt").write_text("not a package\n" * 100)
    with pytest.raises(GatewayError, match="is no package"):
        examine(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"Architecture": "arm64"}, "is for arm64, this machine is amd64: take the file that ends with _amd64.deb"),
        (
            {"Depends": "python3.99", "Edge-Gateway-For": "debian-99"},
            "for debian-99 and its python3.99, which is not installed here: take the file for debian-12",
        ),
        ({"Version": "0.0.9+deb12"}, "0.0.9+deb12 is older than 0.1: it may not read the log that 0.1.0+deb12 has written"),
    ],
    ids=["processor", "distribution", "too old"],
)  # fmt: skip
def test_a_package_that_cannot_run_here_is_refused(made: Made, field: dict[str, str], said: str) -> None:
    with pytest.raises(GatewayError) as refused:
        refuse_if_unfit(examine(made(**field)), INSTALLED)
    assert said in str(refused.value)


def test_no_room_is_said_before_anything_is_written(made: Made, tmp_path: Path) -> None:
    new = examine(made())
    refuse_if_no_room(new, INSTALLED, tmp_path / "place")
    with pytest.raises(GatewayError, match=r"no room: .* MB free, the upgrade needs \d+ MB"):
        refuse_if_no_room(dataclasses.replace(new, installed=1 << 50), INSTALLED, tmp_path / "place")
