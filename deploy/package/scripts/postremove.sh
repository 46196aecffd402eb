#!/bin/sh
# postrm remove|purge|...
set -e
state=/var/lib/edge-gateway kept=/var/lib/edge-gateway-package

case "$1" in
remove | purge)
    if [ -d /run/systemd/system ]; then
        journalctl --update-catalog || true
        systemctl daemon-reload
        systemctl reset-failed edge-gateway 2>/dev/null || true
    fi
    ;;
esac

[ "$1" = purge ] || exit 0
rm -rf /usr/lib/edge-gateway /etc/edge-gateway /var/cache/edge-gateway /run/edge-gateway \
    /etc/systemd/system/edge-gateway.service.d /etc/systemd/system/edge-gateway-upgrade.service \
    /etc/systemd/system/multi-user.target.wants/edge-gateway-upgrade.service
if [ "$EDGE_GATEWAY_PURGE" = everything ]; then
    rm -rf "$state"
fi
if [ -e "$state" ]; then
    # Readings that nobody has yet, and the audit trail: only somebody who says so deletes those.
    echo "Kept: $state, with the log of readings, the audit trail and the certificates, and its owner, the user gateway."
    [ ! -e "$kept/undelivered" ] || cat "$kept/undelivered"
    echo "To delete them too:  rm -r $state && userdel gateway"
else
    userdel gateway 2>/dev/null || true
fi
rm -rf "$kept"
