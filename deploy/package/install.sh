#!/bin/sh
# install.sh: as root, put the gateway of this bundle into /opt/edge-gateway, with its unit and user. Nothing is downloaded.
# install.sh --remove takes it away again, but for the configuration and what the gateway has kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd) home=/opt/edge-gateway

refuse() {
    echo "$1" >&2
    echo "Nothing was changed." >&2
    exit 1
}
[ "$(id -u)" = 0 ] || refuse "Only root can do it:  sudo $0 $*"

case "${1-}" in
"") ;;
--remove)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now --quiet edge-gateway 2>/dev/null || true
    fi
    rm -rf "$home" "$home.new" "$home.old" /usr/share/edge-gateway
    [ "$(readlink /usr/bin/edge-gateway)" != "$home/bin/edge-gateway" ] || rm /usr/bin/edge-gateway
    rm -f /etc/systemd/system/edge-gateway.service /etc/systemd/system/edge-gateway-failed@.service \
        /etc/systemd/system/edge-gateway-restore.service /etc/sysusers.d/edge-gateway.conf /etc/tmpfiles.d/edge-gateway.conf \
        /usr/local/lib/systemd/catalog/edge-gateway.catalog
    [ ! -d /run/systemd/system ] || { journalctl --update-catalog; systemctl daemon-reload; }
    echo "Removed. Kept: /etc/edge-gateway with the configuration, /var/lib/edge-gateway with the log and the audit trail, and"
    echo "their owner. To delete them too:  rm -r /etc/edge-gateway /var/lib/edge-gateway && userdel gateway"
    exit 0
    ;;
*) refuse "install.sh takes no $1; --remove takes the gateway away" ;;
esac

# Whatever is not as it should be is said before the first change.
cd "$here"
[ -e SHA256SUMS ] && sha256sum --check --quiet --strict SHA256SUMS >&2 ||
    refuse "This bundle is not whole, or a byte of it is another one: copy it here once more, and unpack it anew."
[ "$(uname -m)" = "$(cat machine)" ] || refuse "This bundle is for $(cat machine), and this machine is $(uname -m)."
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
case "$glibc" in
"" | 1.* | 2.[0-9] | 2.[0-9].* | 2.1[0-9]* | 2.2[0-7]*) refuse "It needs glibc 2.28 or newer, and here is ${glibc:-another C library}." ;;
esac
if command -v systemctl >/dev/null; then
    systemd=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "${systemd:-0}" -ge 252 ] || refuse "It needs systemd 252 or newer, and here is ${systemd:-none}."
else
    refuse "It needs systemd, which is not here."
fi
if command -v dpkg-query >/dev/null && dpkg-query -W -f '${db:Status-Abbrev}' edge-gateway 2>/dev/null | grep -q '^ii'; then
    refuse "The package edge-gateway is installed; remove it first:  apt remove edge-gateway"
fi
if command -v rpm >/dev/null && rpm -q edge-gateway >/dev/null 2>&1; then
    refuse "The package edge-gateway is installed; remove it first:  dnf remove edge-gateway"
fi
python=
for each in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    version=$(command -v "$each" >/dev/null && "$each" -c 'import sys; print("%d%d" % sys.version_info[:2])') || continue
    if [ -n "$(find wheels -name "numpy-*-cp$version-*")" ]; then
        python=$(command -v "$each")
        break
    fi
done
[ -n "$python" ] || refuse "It needs Python $(find wheels -name 'numpy-*' | sed 's/.*-cp3\([0-9]*\)-cp.*/3.\1/' | sort -u | tr '\n' ' ')(PYTHON=/path/to/python names one that is not found)."
"$python" -c 'import venv' 2>/dev/null || refuse "$python has no module venv: install its package (python3-venv)."
above=${home%/*}
[ -d "$above" ] || above=/
room=$(df -Pk "$above" | sed -n '2s/ *[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p')
[ "$room" -gt "$(cat room)" ] || refuse "No room: $above has $((room / 1024)) MB free, and $(($(cat room) / 1024)) MB are needed."

# Made beside the one that runs, and then exchanged for it: what fails here changes nothing.
new=$home.new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
"$python" -m venv --without-pip "$new"
site=$("$new/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The wheels were checked by their hashes when the bundle was made; pip checks those in it once more against the list.
"$new/bin/python" "$(ls "$here"/wheels/pip-*.whl)/pip" install --quiet --no-index --no-deps --no-cache-dir \
    --disable-pip-version-check --root-user-action ignore --target "$site" --find-links "$here/wheels" \
    --require-hashes -r "$here/requirements.txt" || refuse "The wheels could not be installed."
"$new/bin/python" "$(ls "$here"/wheels/pip-*.whl)/pip" install --quiet --no-index --no-deps --no-cache-dir \
    --disable-pip-version-check --root-user-action ignore --target "$site" --upgrade "$here"/wheels/edge_gateway-*.whl
printf '#!%s/bin/python -IXfaulthandler\nimport sys\nfrom gateway.cli import main\nsys.exit(main())\n' "$home" >"$new/bin/edge-gateway"
chmod 755 "$new/bin/edge-gateway"
"$new/bin/python" -IXfaulthandler "$new/bin/edge-gateway" --version >/dev/null || refuse "The gateway does not start here."
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
install -m 644 "$here/config.example.toml" /usr/share/edge-gateway/
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
    echo "Installed: $(edge-gateway --version). It has no configuration yet, the next step is:  sudo edge-gateway setup"
fi
