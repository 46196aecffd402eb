#!/bin/sh
# bare.sh BASE STAGE COMMAND: as root in fresh namespaces, without a net, run a shell command on this machine's files with STAGE
# laid over them. All that is written goes into memory.
set -eu
base=$1 stage=$2 command=$3

mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
cp -a "$stage/." "$base/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
ip link set lo up 2>/dev/null || true
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot . sh -euc "cd /; test -e /.edge-gateway-test; $command"
