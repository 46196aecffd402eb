#!/bin/sh
# preinst install|upgrade [OLD-VERSION]
set -e
if [ "$1" = upgrade ]; then
    # Compiled modules of the old version, which no package list has: none may be left beside the new ones.
    find /usr/lib/edge-gateway -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
fi
