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
need tinyproxy tinyproxy-bin
need microsocks microsocks
need snmpd snmpd
need node nodejs
need npm npm
# A browser is 80 MB, and only slow tests want one: `make test-all` asks for it.
# Kafka wants Java, and Maven to fetch it: 250 MB, which only slow tests and those of its own plugin ask for.
[ "${1-}" != all ] || { need java openjdk-17-jre-headless && need mvn maven; }
[ "${1-}" != all ] || need rpm rpm
[ "${1-}" != all ] || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || need chromium chromium

if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing for the tests …" >&2
    apt-get update -qq >&2 || true
    # shellcheck disable=SC2086
    if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null 2>&1; then
        missing=
    else
        echo "Could not install$missing." >&2
    fi
fi
[ -z "$missing" ] ||
    echo "WITHOUT$missing the tests that need them are SKIPPED. To run them:  sudo apt-get install$missing" >&2

# The tests start the gateway a thousand times; where Python may write no bytecode (PYTHONDONTWRITEBYTECODE), each start would
# compile all of it anew, for half its time.
[ ! -x .venv/bin/python ] || .venv/bin/python -m compileall -q gateway plugins tests || true

# Peers in JavaScript, not our own code: node-opcua, an OpenID provider, a broker, a Sparkplug decoder, an ADS client. Here, so
# that no test waits for them.
for peer in ads:ads-client opcua:node-opcua oidc:oidc-provider aedes:aedes sparkplug:sparkplug-payload; do
    folder=tests/peers/${peer%%:*} package=${peer#*:}
    wanted=$(sed -n "s/.*\"$package\": \"\(.*\)\".*/\1/p" "$folder/package.json")
    if command -v npm >/dev/null 2>&1 && ! grep -qs "\"version\": \"$wanted\"" "$folder/node_modules/$package/package.json"; then
        echo "Installing $package for the tests …" >&2
        (cd "$folder" && npm ci --no-progress >/dev/null 2>&1) ||
            echo "WITHOUT $package the tests that need it are SKIPPED. To see why:  cd $folder && npm ci" >&2
    fi
done

mochi=tests/peers/mochi # a broker in Go that knows MQTT 5
if [ ! -x "$mochi/mochi" ] || [ "$mochi/go.mod" -nt "$mochi/mochi" ]; then
    echo "Building mochi-mqtt for the tests …" >&2
    { command -v go && (cd "$mochi" && go build -trimpath -o mochi .); } >/dev/null 2>&1 ||
        echo "WITHOUT mochi-mqtt the tests that need it are SKIPPED. To build it:  cd $mochi && go build (Go 1.21 or later)" >&2
fi

kafka=tests/peers/kafka # a real Kafka, with its tools
wanted=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$kafka/pom.xml")
if [ ! -e "$kafka/lib/kafka_2.13-$wanted.jar" ]; then
    echo "Installing Kafka for the tests …" >&2
    rm -rf "$kafka/lib"
    { command -v java && command -v mvn && (cd "$kafka" && mvn -q -B dependency:copy-dependencies); } >/dev/null 2>&1 ||
        echo "WITHOUT Kafka the tests that need it are SKIPPED. To run them:  sudo apt-get install openjdk-17-jre-headless maven" >&2
fi

moto=tests/peers/moto # an S3, with an environment of its own: what it needs is 180 MB, and nothing of it is ours
if [ ! -x "$moto/venv/bin/moto_server" ] || [ "$moto/requirements.txt" -nt "$moto/venv/bin/moto_server" ]; then
    echo "Installing moto for the tests …" >&2
    { python3 -m venv --clear "$moto/venv" && "$moto/venv/bin/pip" install -q -r "$moto/requirements.txt" &&
        touch "$moto/venv/bin/moto_server"; } >/dev/null 2>&1 ||
        echo "WITHOUT moto the tests of object stores are SKIPPED. To see why:  $moto/venv/bin/pip install -r $moto/requirements.txt" >&2
fi

schemas=tests/peers/registry # Apicurio, a schema registry; 150 MB, and only a slow test wants it
if [ "${1-}" = all ] && [ ! -d "$schemas/lib" ]; then
    echo "Installing a schema registry for the tests …" >&2
    { command -v java && command -v mvn && (cd "$schemas" && mvn -q -B dependency:unpack-dependencies); } >/dev/null 2>&1 ||
        echo "WITHOUT a schema registry the test that needs it is SKIPPED. To run it:  sudo apt-get install openjdk-17-jre-headless maven" >&2
fi

axe=plugins/web/tests/axe # axe-core, which judges whether everybody can use the page
wanted=$(sed -n 's/.*"axe-core": "\(.*\)".*/\1/p' "$axe/package.json")
if command -v npm >/dev/null 2>&1 && ! grep -qs "\"version\": \"$wanted\"" "$axe/node_modules/axe-core/package.json"; then
    echo "Installing axe-core for the tests …" >&2
    (cd "$axe" && npm ci --no-progress >/dev/null 2>&1) ||
        echo "WITHOUT axe-core the test that needs it is SKIPPED. To see why:  cd $axe && npm ci" >&2
fi

# promtool, Prometheus' checker of metrics and rules: taken out of Debian's package, for that one would start a server.
if ! command -v promtool >/dev/null 2>&1 && [ ! -x .venv/bin/promtool ] && [ -d .venv/bin ]; then
    folder=$(mktemp -d)
    if command -v apt-get >/dev/null 2>&1 &&
        (cd "$folder" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } &&
            dpkg-deb -x prometheus_*.deb .) >/dev/null 2>&1; then
        cp "$folder/usr/bin/promtool" .venv/bin/
    else
        echo "WITHOUT promtool the tests that need it are SKIPPED. To run them:  sudo apt-get install prometheus" >&2
    fi
    rm -rf "$folder"
fi

# schemathesis, which judges the page's API: in an environment of its own, for it brings twenty packages that nothing else needs.
schemathesis=4.32.5
if [ -x .venv/bin/python ] && ! grep -qs "^Version: $schemathesis$" .venv/schemathesis/lib/python3*/site-packages/schemathesis-*/METADATA; then
    echo "Installing schemathesis for the tests …" >&2
    { .venv/bin/python -m venv --clear .venv/schemathesis &&
        .venv/schemathesis/bin/pip install --quiet --disable-pip-version-check "schemathesis==$schemathesis"; } >/dev/null 2>&1 ||
        echo "WITHOUT schemathesis the test that needs it is SKIPPED. To run it:  pip install schemathesis" >&2
fi

# A controller by cpppo (GPL), and pylogix and pycomm3, which ask ours: in an environment of their own.
cip="cpppo==5.2.5 pylogix==1.1.6 pycomm3==1.2.16"
if [ -x .venv/bin/python ] && [ "$(cat .venv/cip/installed 2>/dev/null)" != "$cip" ]; then
    echo "Installing cpppo, pylogix and pycomm3 for the tests …" >&2
    # shellcheck disable=SC2086
    { .venv/bin/python -m venv --clear .venv/cip && .venv/cip/bin/pip install --quiet --disable-pip-version-check $cip &&
        echo "$cip" >.venv/cip/installed; } >/dev/null 2>&1 ||
        echo "WITHOUT cpppo, pylogix and pycomm3 the tests that need them are SKIPPED. To see why:  pip install $cip" >&2
fi

# The C++ server of snap7, a simulated Siemens CPU: the last wheel that carried it, in an environment of its own.
snap7=2.0.2
if [ -x .venv/bin/python ] && ! grep -qs "^Version: $snap7$" .venv/snap7/lib/python3*/site-packages/python_snap7-*/METADATA; then
    echo "Installing snap7 for the tests …" >&2
    { .venv/bin/python -m venv --clear .venv/snap7 &&
        .venv/snap7/bin/pip install --quiet --disable-pip-version-check "python-snap7==$snap7"; } >/dev/null 2>&1 ||
        echo "WITHOUT snap7 the tests that need it are SKIPPED. To see why:  pip install python-snap7==$snap7" >&2
fi
