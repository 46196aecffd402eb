#!/bin/sh
# postinst configure [OLD-VERSION]: the user, the folders, the compiled modules, the unit; then it is started.
set -e
[ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-remove ] || exit 0
home=/usr/lib/edge-gateway
uncompiled='/(standard_address_space|testing|demo|pymodbus|numpy/(core|ma|polynomial|f2py)|pydantic/(v1|deprecated|experimental)|asyncua/(sync|tools)|aiokafka|google|pysnmp|pyasn1|click/testing|starlette/testclient)(/|\.py)'

new=
if [ "$1" = configure ] && { [ -z "$2" ] || [ -e /run/edge-gateway-is-new ]; }; then
    new=yes
fi
rm -f /run/edge-gateway-is-new

systemd-sysusers edge-gateway.conf
systemd-tmpfiles --create edge-gateway.conf
# What the service never imports stays uncompiled, and what a single kind of sink imports, once at its start: 22 MB.
"$home/bin/python3" -IS -m compileall -q -f -j 0 --invalidation-mode unchecked-hash \
    -x "$uncompiled" "$home/lib" || true

[ -d /run/systemd/system ] || exit 0
journalctl --update-catalog || true
systemctl daemon-reload
if [ -n "$new" ]; then
    systemctl enable --quiet edge-gateway
    if [ -e /etc/edge-gateway/config.toml ]; then
        systemctl restart edge-gateway || true # an older configuration stands there; what is wrong with it is in the journal
    else
        echo "The gateway is installed. It has no configuration yet, the next step is:  sudo edge-gateway setup"
    fi
elif systemctl is-active --quiet edge-gateway; then
    systemctl restart edge-gateway || echo "The gateway does not start; see:  journalctl -u edge-gateway" >&2
fi
