#!/bin/sh
# tools.sh: install the servers that the tests talk to, where we may; else say what will be skipped, and the line to type.
set -eu

missing=
need() { # command-or-file package
    command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients
ls /usr/lib/*/libmodbus.so.5 >/dev/null 2>&1 || missing="$missing libmodbus5"
need node nodejs
need npm npm

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing for the tests …" >&2
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null 2>&1 && exit 0
    echo "Could not install$missing." >&2
fi
echo "WITHOUT$missing the tests that need them are SKIPPED. To run them:  sudo apt-get install$missing" >&2
