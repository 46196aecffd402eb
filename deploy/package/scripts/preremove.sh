#!/bin/sh
# prerm remove | upgrade NEW-VERSION
set -e
[ "$1" = remove ] || exit 0
kept=/var/lib/edge-gateway-package
undelivered='
import json, sys
try:
    readers = json.load(sys.stdin)["readers"]
except ValueError:
    readers = []
    print("What was not delivered cannot be told: the log cannot be read.")
for reader in readers:
    lanes = reader["lanes"]
    records = sum(lane["pending"] for lane in lanes.values())
    if records:
        print("Not delivered:", records, "records for the sink", reader["sink"])
'

if [ -d /run/systemd/system ]; then
    systemctl disable --now --quiet edge-gateway || true
fi
# Whoever removes it learns what was not delivered; after a purge nobody could tell any more.
if [ -d /var/lib/edge-gateway/outbox ]; then
    mkdir -p -m 0700 "$kept"
    /usr/bin/edge-gateway outbox status --json 2>/dev/null | /usr/lib/edge-gateway/bin/python3 -I -c "$undelivered" \
        >"$kept/undelivered" || true
    cat "$kept/undelivered"
fi
find /usr/lib/edge-gateway -name __pycache__ -prune -exec rm -rf {} + || true
