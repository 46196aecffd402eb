#!/bin/sh
# install.sh: as root, put the gateway of this bundle into /opt/edge-gateway, with its unit and user. Nothing is downloaded.
set -eu
here=$(cd "$(dirname "$0")" && pwd) home=/opt/edge-gateway

[ "$(id -u)" = 0 ] || { echo "Only root can install it:  sudo $0" >&2; exit 1; }
if command -v dpkg-query >/dev/null && dpkg-query -W -f '${db:Status-Abbrev}' edge-gateway 2>/dev/null | grep -q '^ii'; then
    echo "The package edge-gateway is installed; remove it first:  apt remove edge-gateway" >&2
    exit 1
fi
python=
for each in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
        python=$(command -v "$each")
        break
    fi
done
[ -n "$python" ] || { echo "There is no Python 3.11, 3.12 or 3.13 here (PYTHON=/path/to/python names another)." >&2; exit 1; }

# Made beside the one that runs, and then exchanged for it: what fails here changes nothing.
new=$home.new
rm -rf "$new"
"$python" -m venv --without-pip "$new"
site=$("$new/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The wheels were checked by their hashes when the bundle was made; pip checks those in it once more against the list.
"$new/bin/python" "$(ls "$here"/wheels/pip-*.whl)/pip" install --quiet --no-index --no-deps --no-cache-dir \
    --disable-pip-version-check --root-user-action ignore --target "$site" --find-links "$here/wheels" \
    --require-hashes -r "$here/requirements.txt"
"$new/bin/python" "$(ls "$here"/wheels/pip-*.whl)/pip" install --quiet --no-index --no-deps --no-cache-dir \
    --disable-pip-version-check --root-user-action ignore --target "$site" --upgrade "$here"/wheels/edge_gateway-*.whl
printf '#!%s/bin/python -IXfaulthandler\nimport sys\nfrom gateway.cli import main\nsys.exit(main())\n' "$home" >"$new/bin/edge-gateway"
chmod 755 "$new/bin/edge-gateway"
"$new/bin/edge-gateway" --version >/dev/null 2>&1 || "$new/bin/python" -IXfaulthandler "$new/bin/edge-gateway" --version >/dev/null
rm -rf "$home.old"
[ ! -e "$home" ] || mv "$home" "$home.old"
mv "$new" "$home"
rm -rf "$home.old"
ln -sfn "$home/bin/edge-gateway" /usr/bin/edge-gateway

units=$here/systemd
install -m 644 "$units"/edge-gateway*.service /etc/systemd/system/
install -D -m 644 "$units/sysusers.conf" /etc/sysusers.d/edge-gateway.conf
install -D -m 644 "$units/tmpfiles.conf" /etc/tmpfiles.d/edge-gateway.conf
install -D -m 644 "$units/edge-gateway.catalog" /usr/local/lib/systemd/catalog/edge-gateway.catalog
install -d /usr/share/edge-gateway/dropins
install -m 644 "$units"/dropins/*.conf /usr/share/edge-gateway/dropins/
systemd-sysusers edge-gateway.conf
systemd-tmpfiles --create edge-gateway.conf
if [ -d /run/systemd/system ]; then
    journalctl --update-catalog
    systemctl daemon-reload
    systemctl enable --quiet edge-gateway
    ! systemctl is-active --quiet edge-gateway || systemctl restart edge-gateway
fi
if [ -e /etc/edge-gateway/config.toml ]; then
    echo "Installed: $(edge-gateway --version)"
else
    echo "Installed: $(edge-gateway --version). It has no configuration yet: docs/install.md says what comes next."
fi
