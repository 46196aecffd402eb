"""Debian for arm64 on a machine of another kind: `python tests/deploy/emulated.py` makes it once, in some minutes.

The processor is emulated by qemu, and this machine is not changed: all of it happens in namespaces.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

QEMU = "/usr/bin/qemu-aarch64-static"
NEEDED = {QEMU: "qemu-user-static", "/usr/sbin/debootstrap": "debootstrap"}
ROOT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-gateway-build/debian-12-arm64"
ENTER = r"""
root=$1 stage=$2
shift 2
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' ':arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:'\
'\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OCF' \
    >/proc/sys/fs/binfmt_misc/register
if [ -n "$stage" ]; then
    mount -t tmpfs tmpfs "$stage"
    mkdir "$stage/upper" "$stage/work" "$stage/root"
    mount -t overlay overlay -o "userxattr,lowerdir=$root,upperdir=$stage/upper,workdir=$stage/work" "$stage/root"
    root=$stage/root
fi
for node in null zero full random urandom; do
    [ -e "$root/dev/$node" ] || touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mount -t proc proc "$root/proc"
for brought in "$@"; do
    [ "$brought" != -- ] || break
    shift
    cp "$brought" "$root/srv/"
done
shift
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 container=lxc chroot "$root" "$@"
"""


def enter(root: Path, stage: Path | None, files: list[Path], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command there, with files brought into /srv; where a stage is given, all is as before afterwards."""
    alone = [
        "unshare",
        "--user",
        "--mount",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        'read _; exec "$@" </dev/null',
        "sh",
    ]
    inner = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc", ENTER, "sh"]
    words = [*alone, *inner, root, stage or "", *files, "--", *command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(words, text=True, **pipes) as process:
        _map_ids(process)
        said, _ = process.communicate("\n", timeout=1500)
    return subprocess.CompletedProcess(words, process.returncode, said)


def _map_ids(process: "subprocess.Popen[str]") -> None:
    """All ids are there as they are here; `unshare` itself maps only one."""
    here, children = Path("/proc/self/ns/user").readlink(), Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        for child in children.read_text().split():
            if Path(f"/proc/{child}/ns/user").readlink() != here:
                for kind in ("uid_map", "gid_map"):
                    Path(f"/proc/{child}/{kind}").write_text("0 0 65536\n")
                return
        time.sleep(0.01)


def missing() -> str:
    """What keeps it from being used, and the line that helps; empty when nothing does."""
    packages = [package for path, package in NEEDED.items() if not Path(path).exists()]
    if sys.platform != "linux" or os.getuid():
        return "needs root"
    if packages:
        return f"needs an emulated processor: apt-get install {' '.join(packages)} && python tests/deploy/emulated.py"
    return "" if ROOT.exists() else "needs Debian for arm64, made once in some minutes: python tests/deploy/emulated.py"


def make() -> None:
    """Fetch and unpack it, and have its packages configured."""
    part = ROOT.with_name(f"{ROOT.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    options = ["--foreign", "--arch=arm64", "--variant=minbase", "--include=python3,systemd"]
    subprocess.run(["debootstrap", *options, "bookworm", part], check=True)
    done = enter(part, None, [], ["/debootstrap/debootstrap", "--second-stage"])
    if done.returncode:
        sys.exit(done.stdout)
    part.rename(ROOT)


if __name__ == "__main__":
    if ROOT.exists():
        sys.exit(f"{ROOT} is there")
    if missing().startswith("needs root") or "apt-get" in missing():
        sys.exit(missing())
    make()
