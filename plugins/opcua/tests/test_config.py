"""Options of a server and its tags."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from plugins.opcua import OpcUa

from .conftest import make_device


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "http://plc:4840"}, "opc.tcp://HOST:PORT"),
        ({"url": "opc.tcp://me:word@plc"}, "not into the URL"),
        ({"url": "opc.tcp://plc:99999"}, "Port out of range"),
        ({"security": "auto", "server_thumbprint": "12"}, "64 hex digits"),
        ({"security": "auto", "server_thumbprint": "ab" * 32, "server_certificate": "x.der"}, "not both"),
        ({"security": "auto", "certificate": "x.der"}, "go together"),
        ({"password": {"env": "X"}}, "needs user"),
        ({"server_thumbprint": "ab" * 32}, "does not look at certificates"),
        ({"security": "auto", "server_thumbprint": "ab" * 20}, "this is a SHA-1"),
        ({"security": "auto", "server_thumbprint": "ab" * 4}, "64 hex digits"),
        ({"user": "op", "password": {"env": "X"}}, "allow_plain_password"),
        ({"security": "auto", "user_certificate": "x.der"}, "go together"),
        ({"security": "auto", "user": "a", "user_certificate": "x", "user_private_key": "y"}, "not both"),
        ({"user_certificate": "x", "user_private_key": "y"}, "does not protect"),
        ({"queue_size": 0}, "queue_size"),
    ],
)
def test_mistakes_are_told(options, told):
    with pytest.raises(ValidationError) as caught:
        make_device(**{"url": "opc.tcp://plc", "tags": ["A"]} | options)
    assert told in str(caught.value)


def test_the_port_may_be_left_out():
    assert make_device("opc.tcp://plc/path", ["A"]).config.url == "opc.tcp://plc:4840/path"
    assert make_device("opc.tcp://[fd00::1]", ["A"]).config.url == "opc.tcp://[fd00::1]:4840"


def test_a_thumbprint_may_be_written_as_other_tools_print_it():
    device = make_device("opc.tcp://plc", ["A"], security="auto", server_thumbprint="AB:CD " * 16)
    assert device.config.server_thumbprint == "abcd" * 16


def test_the_plan_tells_scans_and_queues():
    device = make_device("opc.tcp://plc", {"A": {}, "B": {"scan": "5s"}}, sampling="50ms")
    assert OpcUa.plan(device) == [
        "subscription of 1 tag: reported every 0.1 s, looked at every 0.05 s, up to 100 values of each kept by the server, "
        "enough for an outage of 5 s",
        "subscription of 1 tag: reported every 5 s, looked at every 0.05 s, up to 100 values of each kept by the server, "
        "enough for an outage of 5 s",
    ]


def test_checking_a_configuration_does_not_import_the_protocol_library():
    program = "import sys, plugins.opcua; sys.exit('asyncua' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
