#!/bin/sh
# preinst install|upgrade [OLD-VERSION]
set -e
if [ "$1" = install ]; then
    : >/run/edge-gateway-is-new # also after a removal that left the configuration, of which postinst cannot tell
elif [ "$1" = upgrade ]; then
    # Compiled modules of the old version, which no package list has: none may be left beside the new ones.
    find /usr/lib/edge-gateway -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
fi
