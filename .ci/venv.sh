#!/bin/sh
# venv.sh PYTHON DIR: make a virtual environment; install what Debian's python3 lacks for it, or print the line that does.
set -eu
python=$1 dir=$2

command -v "$python" >/dev/null || {
    echo "There is no $python. Install it:  sudo apt-get install python3 python3-venv" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or later is needed, but $python is $("$python" --version). Try: make PYTHON=python3.11" >&2
    exit 1
}
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv, which Debian keeps apart from python3 …"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    else
        echo "This Python cannot make virtual environments. Install what is missing, then call make again:" >&2
        echo "    sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi
"$python" -m venv "$dir"
