"""`edge-gateway browse`: what a device offers, in forms that the configuration takes."""

import asyncio
import csv
import json
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.cli.browse import SHAPES, _csv, names
from gateway.config.devices import _wrong_name
from gateway.config.tags_csv import read_tags
from gateway.core.errors import GatewayError
from gateway.plugin.driver import Found
from plugins.opcua.config import NodeConfig
from tests.peers.opcua_servers import NAMESPACE, OpcUaPeer

OFFERS = [
    ("ns=2;s=A", Found("float64", "°C", 'inlet "air"', "Line1/Temp")),
    ("ns=2;s=B", Found("float64", "", "", "Line2/Temp")),
    ("ns=2;s=C", Found("", "", "", "Line2/List #1")),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    peer = OpcUaPeer("asyncua", tmp_path_factory.mktemp("server"))
    asyncio.run(peer.start())
    yield peer
    peer.kill()


def browse(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["browse", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_names_are_the_last_step_and_as_many_more_as_tell_twins_apart():
    assert names(OFFERS) == ["Line1.Temp", "Line2.Temp", "List _1"]
    assert names([("a", Found("", path="X/Y")), ("b", Found("", path="X/Y"))]) == ["X.Y", "X.Y_2"]


steps = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(st.lists(st.lists(steps, min_size=1, max_size=3).map("/".join), max_size=8))
def test_names_are_unique_and_such_as_a_tag_may_have(paths):
    found = names([(f"i={row}", Found("", path=path)) for row, path in enumerate(paths)])
    assert len(set(found)) == len(paths)
    assert not [name for name in found if _wrong_name(name)]


def test_a_spreadsheet_takes_no_name_for_a_formula():
    offers = [("ns=2;s==1+1", Found("double", path="=HYPERLINK(1)", description="@x"))]
    assert "'=HYPERLINK(1)" in "\n".join(_csv(offers, spreadsheet=True))
    assert "'" not in "\n".join(_csv(offers))


def test_csv_is_a_tag_file(tmp_path):
    file = tmp_path / "tags.csv"
    file.write_text("\n".join(SHAPES["csv"](OFFERS)))
    rows, problems, _ = read_tags(file, "tags.csv", NodeConfig)
    assert not problems
    assert [(row.name, row.options["address"]) for row in rows] == [
        ("Line1.Temp", "ns=2;s=A"), ("Line2.Temp", "ns=2;s=B"), ("List _1", "ns=2;s=C"),
    ]  # fmt: skip
    assert rows[0].options["description"] == 'inlet "air"'


def test_toml_is_a_table_of_tags():
    tags = tomllib.loads("\n".join(SHAPES["toml"](OFFERS)))["device"]["tags"]
    assert tags["Line1.Temp"] == {"address": "ns=2;s=A", "unit": "°C", "description": 'inlet "air"'}
    assert list(tags) == ["Line1.Temp", "Line2.Temp", "List _1"]


def test_an_address_is_browsed_without_a_configuration(server, capsys):
    code, out, err = browse(
        capsys, server.url, "--option", "security=none", "--option", "timeout=60s", "--only", "Plant/*Temp*"
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == [
        "Plant/Temperature", "float64", "°C", f"nsu={NAMESPACE};s=Temperature", "inlet", "air",
    ]  # fmt: skip


def test_a_device_of_the_configuration_is_browsed_and_scripts_get_json(server, capsys, tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(f"""
[gateway]
name = "gw"
[[device]]
name = "plc"
driver = "opcua"
url = "{server.url}"
security = "none"
timeout = "60s"
[device.tags]
a = {{ address = "i=2258" }}
""")
    code, out, _ = browse(capsys, "plc", "--config", str(file), "--only", "*Double", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert (found["path"], found["address"], found["type"]) == ("Plant/Double", f"nsu={NAMESPACE};s=Double", "float64")
    assert found.keys() == {"path", "address", "type", "unit", "description"}
    code, _, err = browse(capsys, "plk", "--config", str(file))
    assert code == 1
    assert 'did you mean "plc"' in err


def test_a_device_that_the_gateway_is_connected_to_is_not_dialled(gateway, capsys, tmp_path: Path):
    gateway.answers["browse"] = [{"address": address, **asdict(found)} for address, found in OFFERS]
    code, out, err = browse(
        capsys, "plc", "--config", str(tmp_path / "none.toml"), "--only", "Line1/*", "--format", "csv"
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == ['Temp,ns=2;s=A,°C,"inlet ""air"""']
    assert gateway.requests == [("browse", {"device": "plc", "types": 0})]
    gateway.answers["browse"] = GatewayError("plc: its driver cannot browse")
    assert browse(capsys, "plc")[::2] == (1, "edge-gateway: plc: its driver cannot browse\n")


def test_what_has_a_known_type_stands_under_what_it_belongs_to(gateway, capsys):
    typed = [
        ("path=R/Mode", Found("int32", "", "(0 off, 1 on)", "R/Mode", "state", "Robotics ArmType R: A & Co\n[device]")),
        ("path=S/Speed", Found("float64", "°/s", "", "S/Speed", "", "Robotics ArmType S")),
    ]
    gateway.answers["browse"] = [{"address": address, **asdict(found)} for address, found in typed]
    code, out, _ = browse(capsys, "plc", "--types", "--format", "toml")
    assert code == 0 and gateway.requests[-1] == ("browse", {"device": "plc", "types": 1})
    assert out.splitlines() == [
        "[device.tags]",
        "# Robotics ArmType R: A & Co\\n[device]",
        '"Mode" = { address = "path=R/Mode", description = "(0 off, 1 on)" }  # int32, state',
        "# Robotics ArmType S",
        '"Speed" = { address = "path=S/Speed", unit = "°/s" }  # float64',
    ]
    assert list(tomllib.loads(out)["device"]["tags"]) == ["Mode", "Speed"]
    code, out, _ = browse(capsys, "plc", "--types", "--json")
    assert [(each["role"], each["group"]) for each in json.loads(out)] == [
        ("state", typed[0][1].group), ("", typed[1][1].group),
    ]  # fmt: skip
    gateway.answers["browse"] = []
    assert "browse without --types shows all" in browse(capsys, "plc", "--types")[2]


def test_a_driver_that_knows_no_types_says_so(capsys):
    code, _, err = browse(capsys, "tcp://127.0.0.1:1", "--driver", "modbus", "--types")
    assert code == 1 and err


@pytest.mark.parametrize("shape", [(), ("--format", "csv"), ("--format", "toml"), ("--json",)])
def test_what_is_missing_of_the_answer_is_said_and_told_by_the_exit_status(gateway, capsys, shape):
    """Also where the running gateway has asked, whose log nobody sees here."""
    missing = "nodes below which the server does not say what there is (BadUserAccessDenied): 1"
    answer = [*OFFERS, ("", Found("", description=missing))]
    gateway.answers["browse"] = [{"address": address, **asdict(found)} for address, found in answer]
    code, out, err = browse(capsys, "plc", *shape)
    assert code == 3
    assert err == f"edge-gateway: plc: this is not all that it has; missing: {missing}\n"
    assert missing not in out
    gateway.answers["browse"] = [{"address": address, **asdict(found)} for address, found in OFFERS]
    assert browse(capsys, "plc", *shape) == (0, out, "")


def test_what_a_server_bears_is_shown_by_dialling_it_or_as_the_gateway_knows_it(server, gateway, capsys):
    code, out, _ = browse(
        capsys, server.url, "--option", "security=none", "--option", "timeout=60s", "--limits", "--json"
    )
    assert code == 0
    assert json.loads(out)["most_to_read"] > 0
    known = {"most_to_read": 60.0, "lacks": "HistoryRead"}
    gateway.answers["status"] = {"devices": [{"name": "plc", "connection": known}]}
    code, out, _ = browse(capsys, "plc", "--limits")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [["most_to_read", "60.0"], ["lacks", "HistoryRead"]]


def test_a_device_that_the_gateway_has_no_connection_to_is_dialled(gateway, capsys, tmp_path: Path):
    gateway.answers["browse"] = None
    file = tmp_path / "config.toml"
    file.write_text("""
[gateway]
name = "gw"
[[device]]
name = "plc"
driver = "opcua"
url = "opc.tcp://127.0.0.1:1"
security = "none"
timeout = "60s"
[device.tags]
a = { address = "i=2258" }
""")
    code, _, err = browse(capsys, "plc", "--config", str(file))
    assert code == 1
    assert "connection refused" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["opc.tcp://127.0.0.1:1", "--option", "security=none"], "connection refused"),
        (["opc.tcp://127.0.0.1:1", "--option", "securty=none"], "securty"),
        (["opc.tcp://127.0.0.1:1", "--driver", "opcuaa"], 'did you mean "opcua"'),
        (["http://127.0.0.1:1"], "opc.tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_browsed_is_told(capsys, arguments, told):
    code, out, err = browse(capsys, *arguments)
    assert (code, out) == (1, "")
    assert told in err


def test_an_error_without_words_is_told_in_words(capsys, monkeypatch):
    async def too_late(*_):
        raise TimeoutError

    monkeypatch.setattr("gateway.cli.browse._connected", too_late)
    code, out, err = browse(capsys, "opc.tcp://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "opc.tcp://127.0.0.1:1: no answer in time" in err


def test_nothing_that_fits_is_told(server, capsys):
    code, out, err = browse(
        capsys,
        server.url,
        "--option",
        "security=none",
        "--option",
        "timeout=60s",
        "--only",
        "Elsewhere/*",
        "--format",
        "csv",
    )
    assert code == 1
    assert list(csv.reader(out.splitlines())) == [["name", "address", "unit", "description"]]
    assert "nothing of that kind" in err
