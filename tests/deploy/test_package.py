"""The packages, as they are built: the same bytes each time, whole, and only what belongs into them."""

import hashlib
import importlib.metadata
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gateway.cli.frame import COMMANDS

from .conftest import CHECKOUT, architecture, build, distribution
from .test_locked import LEFT_OUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MAN = {"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
FOREIGN = {"amd64": "arm64", "arm64": "amd64"}
MACHINES = {"amd64": 62, "arm64": 183}
"""e_machine of ELF."""


def unpacked(deb: Path, into: Path) -> Path:
    subprocess.run(["dpkg-deb", "--raw-extract", deb, into], check=True, timeout=100)
    return into


def field(deb: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", deb, name], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def root(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the package for this machine."""
    return unpacked(deb, tmp_path_factory.mktemp("package") / "root")


def site(root: Path) -> Path:
    (found,) = root.glob("usr/lib/edge-gateway/lib/python3*/site-packages")
    return found


def test_the_same_checkout_gives_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    again = build(distribution(), architecture(), tmp_path)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest()


def test_a_package_for_another_processor_and_distribution_is_built_here_too(tmp_path: Path) -> None:
    other = FOREIGN[architecture()]
    deb = build("debian-13", other, tmp_path)
    assert (field(deb, "Architecture"), field(deb, "Edge-Gateway-For")) == (other, "debian-13")
    assert "python3.13" in field(deb, "Depends")
    compiled = list(site(unpacked(deb, tmp_path / "root")).rglob("*.so*"))
    assert len(compiled) > 20
    assert {struct.unpack_from("<H", path.read_bytes(), 18)[0] for path in compiled} == {MACHINES[other]}
    assert not [path.name for path in compiled if "cpython-" in path.name and "cpython-313-" not in path.name]


def test_the_bill_of_materials_is_what_is_installed(root: Path) -> None:
    bill = json.loads((root / "usr/share/doc/edge-gateway/sbom.cdx.json").read_text())
    told = {(part["name"], part["version"]) for part in [*bill["components"], bill["metadata"]["component"]]}
    there = importlib.metadata.distributions(path=[str(site(root))])
    assert told == {(re.sub(r"[-_.]+", "-", each.name).lower(), each.version) for each in there}
    names = {name for name, _ in told}
    owners = importlib.metadata.packages_distributions()  # of this environment, which has them all too
    tops = {path.name.split(".")[0] for path in site(root).iterdir() if path.suffix != ".dist-info"} - {
        "numpy",
        "gateway",
    }
    known = {top for top in tops if {each.lower().replace("_", "-") for each in owners.get(top, ())} & names}
    assert [top for top in tops - known if not top.endswith("__mypyc")] == [], "of which package?"
    locked = (CHECKOUT / "deploy/package/requirements.txt").read_text()
    for name, version in told - {("edge-gateway", bill["metadata"]["component"]["version"])}:
        assert f"{name}=={version} " in locked


def test_every_library_that_a_driver_or_sink_wants_is_in_it(root: Path) -> None:
    """A plant without internet can use each of them; what needs more room than that is named in docs/install.md."""
    there = {
        re.sub(r"[-_.]+", "-", each.name).lower(): each
        for each in importlib.metadata.distributions(path=[str(site(root))])
    }
    own = there["edge-gateway"]
    extras = set(own.metadata.get_all("Provides-Extra") or ()) - LEFT_OUT
    assert {"kafka", "sparkplug", "web"} <= extras
    for text in own.requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ["", *extras]):
            assert wanted.specifier.contains(there[wanted.name.lower()].version), text


def test_installed_it_takes_150_mb_at_most(root: Path, tmp_path: Path) -> None:
    """With the modules that are compiled at the installation; what it takes on the disk, in blocks."""
    copy = shutil.copytree(root / "usr", tmp_path / "usr", symlinks=True)
    script = (CHECKOUT / "deploy/package/scripts/postinstall.sh").read_text()
    (uncompiled,) = re.findall(r"^uncompiled='(.*)'$", script, re.MULTILINE)
    (options,) = re.findall(r"-m compileall ((?:-\S+ (?:0 )?|unchecked-hash )+)", script)
    python = python_of(root)
    compiling = [
        python,
        "-IS",
        "-m",
        "compileall",
        *options.split(),
        "-x",
        uncompiled,
        str(copy / "lib/edge-gateway/lib"),
    ]
    subprocess.run(compiling, check=True, timeout=300)
    found = [path.lstat() for path in copy.rglob("*")]
    assert list(site(tmp_path).rglob("*.pyc"))
    blocks, files = sum(each.st_blocks * 512 for each in found), sum(each.st_size for each in found)
    print(f"installed: {blocks / 2**20:.1f} MiB on the disk, {files / 1e6:.1f} MB of files")
    assert blocks <= 150 * 2**20
    assert files <= 150_000_000


def python_of(root: Path) -> str:
    """The distribution's interpreter, for which it is."""
    return str((root / "usr/lib/edge-gateway/bin/python3").readlink())


def test_the_opcua_server_of_the_demo_finds_its_address_space_in_the_archive(root: Path) -> None:
    ask = "import sys; sys.path.insert(0, sys.argv[1]); import asyncua.server.standard_address_space as s; print(s.__path__)"
    told = subprocess.run(
        [python_of(root), "-ISB", "-c", ask, str(site(root))],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert told.returncode == 0, told.stderr
    assert "modules.zip" in told.stdout


def test_what_stands_in_tables_and_archives_is_what_the_packages_have(root: Path) -> None:
    ask = """if True:
    import sys
    sys.path.insert(0, sys.argv[1])
    import pydantic.v1.main, pymodbus.server
    from asyncua import ua
    assert "modules.zip" in pydantic.v1.main.__file__
    assert "modules.zip" in pymodbus.server.__file__
    ids = {name: number for name, number in vars(ua.ObjectIds).items() if not name.startswith("__")}
    assert ua.ObjectIdNames == {number: name for name, number in ids.items()}
    assert len(ids) > 10_000
    assert (ids["Boolean"], ids["Server_ServerStatus_CurrentTime"]) == (1, 2258)  # OPC 10000-6, annex A
    """
    told = subprocess.run(
        [python_of(root), "-ISB", "-c", ask, str(site(root))],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert told.returncode == 0, told.stderr


def test_nothing_for_developers_is_in_it(root: Path) -> None:
    names = {path.name for path in site(root).iterdir()}
    assert not [name for name in names if name.startswith(("pytest", "hypothesis", "pip", "setuptools"))]
    found = [path for path in site(root).rglob("*") if path.name in ("tests", "__pycache__") or path.suffix == ".pyi"]
    assert [path for path in found if "templates" not in path.parts] == []


def test_every_part_has_its_licence_text(root: Path) -> None:
    text = (root / "usr/share/doc/edge-gateway/copyright").read_text()
    bill = json.loads((root / "usr/share/doc/edge-gateway/sbom.cdx.json").read_text())
    chapters = dict(re.findall(r"^={100}\n(\S+) .*\n={100}\n((?:(?!={100}\n).*\n?)*)", text, re.MULTILINE))
    assert set(chapters) == {part["name"] for part in bill["components"]}
    without = {name for name, words in chapters.items() if len(words) < 200}
    assert without <= {"paho-mqtt"}, "their wheels have none"


def test_what_a_technician_looks_for_is_there(root: Path) -> None:
    for path in (
        "usr/lib/systemd/system/edge-gateway.service", "usr/lib/sysusers.d/edge-gateway.conf",
        "usr/lib/tmpfiles.d/edge-gateway.conf", "usr/lib/systemd/catalog/edge-gateway.catalog",
        "usr/share/edge-gateway/config.example.toml", "usr/share/edge-gateway/dropins/serial.conf",
        "usr/share/doc/edge-gateway/README.md", "usr/share/doc/edge-gateway/docs/outbox.md",
    ):  # fmt: skip
        assert (root / path).is_file(), path
    assert json.loads((root / "usr/share/edge-gateway/edge-gateway.schema.json").read_text())["properties"]["device"]


def test_man_shows_every_command(root: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("needs man: apt-get install man-db")
    page = root / "usr/share/man/man1/edge-gateway.1.gz"
    told = subprocess.run(
        ["man", "--warnings", "-l", page], capture_output=True, text=True, check=True, env=MAN
    )  # fmt: skip
    assert told.stderr == ""
    assert [name for name in COMMANDS if not re.search(rf"^ +{name}\b", told.stdout, re.MULTILINE)] == []


def test_bash_completes_commands_verbs_and_options(root: Path) -> None:
    script = root / "usr/share/bash-completion/completions/edge-gateway"

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        ask = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; cd /proc/self/task; "
        told = subprocess.run(
            ["bash", "-c", ask + '_edge_gateway; printf "%s\\n" "${COMPREPLY[@]}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(told.stdout.split())

    assert completed("edge-gateway", "out") == {"outbox"}
    assert {"verify", "peek", "dead"} <= completed("edge-gateway", "outbox", "")
    assert completed("edge-gateway", "--json", "outbox", "dead", "sh") == {"show"}
    assert "--count" not in completed("edge-gateway", "check", "--")
    assert "--connect" in completed("edge-gateway", "check", "--c")
    assert "--connect" in completed("edge-gateway", "check", "some.toml", "--c")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_understand_their_completions(root: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: apt-get install {shell}")
    names = {"zsh": "zsh/vendor-completions/_edge-gateway", "fish": "fish/vendor_completions.d/edge-gateway.fish"}
    told = subprocess.run([shell, "-n", root / "usr/share" / names[shell]], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
