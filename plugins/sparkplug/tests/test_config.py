"""What the configuration says of a node."""

import subprocess
import sys
from typing import Any

import pytest

from gateway.core.context import Context
from gateway.plugin import RefusedError
from gateway.testing import build_sink_config
from plugins.sparkplug import SparkplugSink
from plugins.sparkplug.broker import session_options
from plugins.sparkplug.config import address
from plugins.sparkplug.node import Topics
from plugins.sparkplug.tests.plant import Plant


def config(**options: Any) -> Any:
    return build_sink_config(SparkplugSink, {"name": "scada", "host": "broker", "group": "g", **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": ""}, "group"),
        ({"group": "a/b"}, "must not hold '/'"),
        ({"node": "a+"}, r"must not hold '\+'"),
        ({"primary_host": "#"}, "must not hold '#'"),
        ({"password": {"env": "X"}}, "password: needs user"),
        ({"user": "u", "password": {"env": "X"}}, "everybody on the network can read it"),
        ({"host": "localhost", "standby": ["b"], "user": "u", "password": {"env": "X"}}, "everybody on the network"),
        ({"standby": ["mqtt://b"]}, 'standby: write "name" or "name:port"'),
        ({"standby": ["b:99999"]}, "standby: 99999 is no port"),
        ({"protocol": "auto"}, "protocol"),
        ({"barrier": "auto"}, "barrier"),
        ({"templates": {"Oven": []}}, "templates"),
        ({"templates": {"bdSeq": ["a"]}}, "is a metric of the node"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**options)


@pytest.mark.parametrize(
    ("broker", "found"),
    [
        ("b", ("b", 1883)),
        ("b:1884", ("b", 1884)),
        ("10.0.0.1:1884", ("10.0.0.1", 1884)),
        ("[fe80::1]:1884", ("fe80::1", 1884)),
        ("[fe80::1]", ("fe80::1", 1883)),
        ("fe80::1", ("fe80::1", 1883)),
    ],
)
def test_a_standby_broker_is_a_name_with_or_without_a_port(broker: str, found: tuple[str, int]) -> None:
    assert address(broker, 1883) == found


def test_defaults_follow_from_tls_and_the_gateways_name() -> None:
    assert config(standby=["b2", "b3:1"]).brokers == [("broker", 1883), ("b2", 1883), ("b3", 1)]
    assert config(tls=True).brokers == [("broker", 8883)]
    options = session_options(config(), Topics("g", "gw1"), "broker", 1883)
    assert (options.client_id, options.qos, options.protocol, options.barrier) == ("g/gw1", 0, "3.1.1", "unsubscribe")


def test_two_sinks_know_when_they_would_be_one_node() -> None:
    def identity(**options: Any) -> str:
        return str(config(**options).identity("gw1"))

    assert identity() == 'Sparkplug node "g/gw1" at broker:1883' == identity(name="other", node="gw1")
    assert len({identity(), identity(node="a"), identity(group="h"), identity(port=1), identity(host="c")}) == 5


def test_devices_that_differ_only_in_case_are_told() -> None:
    here = Context()
    (remark,) = config().remarks("gw1", here, {"Oven": here, "press": here, "oven": here})
    assert remark.startswith('devices "Oven" and "oven" differ only in case')


async def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith(("plugins.sparkplug.session", "google.protobuf"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.startswith("plugins.sparkplug.payload")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    for name in ("node", "commands", "lifecycle", "device_metrics", "templates", "stored"):
        monkeypatch.delitem(sys.modules, f"plugins.sparkplug.{name}", raising=False)
    with pytest.raises(RefusedError, match="-m pip install protobuf"):
        await SparkplugSink(config(), Plant()).connect()


def test_to_check_a_configuration_imports_no_protocol_library() -> None:
    code = "import sys, plugins.sparkplug; sys.exit(any('protobuf' in n or n == 'paho' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
