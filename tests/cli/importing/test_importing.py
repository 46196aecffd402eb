"""`edge-gateway import`: files of other gateways, true to their formats, with the traps of each."""

import io
import json
import tomllib
import zipfile

import pytest

from gateway.cli import main
from gateway.cli.config.check import check

TELEGRAF = """
[agent]
  interval = "5s"
[[outputs.influxdb]]
  urls = ["http://localhost:8086"]
[[inputs.cpu]]
[[inputs.modbus]]
  name = "press"
  slave_id = 3
  timeout = "2s"
  controller = "tcp://192.168.10.21:1502"
  transmission_mode = "RTUoverTCP"
  discrete_inputs = [{ name = "start", address = [0] }]
  coils = [{ name = "motor", address = [7] }]
  holding_registers = [
    { name = "temp", byte_order = "CDAB", data_type = "FLOAT32-IEEE", scale = 1.0, address = [10, 11] },
    { name = "fixed", byte_order = "ABCD", data_type = "FLOAT32", scale = 0.1, address = [12, 13] },
    { name = "power", byte_order = "AB", data_type = "FIXED", scale = 0.01, address = [14] },
    { name = "swapped", byte_order = "BA", data_type = "INT16", scale = 1.0, address = [15] },
    { name = "total", byte_order = "CDAB", data_type = "UINT64", scale = 1.0, address = [20, 21, 22, 23] },
    { name = "torn", byte_order = "ABCD", data_type = "INT32", scale = 1.0, address = [30, 32] },
  ]
  input_registers = [{ measurement = "tank", name = "level", byte_order = "AB", data_type = "UINT16", address = [0] }]
[[inputs.modbus]]
  name = "meters"
  interval = "1s"
  controller = "file:///dev/ttyUSB0"
  baud_rate = 19200
  parity = "E"
  stop_bits = 1
  configuration_type = "request"
  [[inputs.modbus.request]]
    slave_id = 7
    byte_order = "DCBA"
    register = "input"
    fields = [
      { address = 0, name = "voltage", type = "FLOAT32", scale = 0.5, measurement = "grid" },
      { address = 2, name = "hidden", type = "INT16", omit = true },
      { address = 3, name = "flag", type = "BIT", bit = 4 },
      { address = 4, name = "low", type = "UINT8L" },
    ]
  [[inputs.modbus.request]]
    slave_id = 8
    register = "coil"
    fields = [{ address = 1, name = "on" }]
[[inputs.opcua]]
  name = "plc"
  endpoint = "opc.tcp://192.168.10.30:4840"
  security_policy = "None"
  username = "reader"
  password = "hunter2-in-telegraf"
  nodes = [
    { name = "temp", namespace = "3", identifier_type = "s", identifier = "Line.Temp" },
    { name = "temp", id = "ns=3;i=1001" },
  ]
  [[inputs.opcua.group]]
    name = "oven"
    namespace = "2"
    identifier_type = "i"
    nodes = [{ name = "zone/1", identifier = "5" }]
"""
THINGSBOARD = {
    "master": {
        "slaves": [
            {
                "host": "192.168.10.40", "port": 502, "type": "tcp", "method": "socket", "unitId": 2, "deviceName": "Pump #1",
                "pollPeriod": 2500, "byteOrder": "BIG", "wordOrder": "LITTLE",
                "attributes": [{"tag": "serial", "type": "string", "functionCode": 3, "objectsCount": 4, "address": 0}],
                "timeseries": [
                    {"tag": "flow", "type": "32float", "functionCode": 4, "objectsCount": 2, "address": 10, "divider": 10},
                    {"tag": "speed", "type": "16uint", "functionCode": 3, "objectsCount": 1, "address": 5, "multiplier": 2},
                    {"tag": "run", "type": "bits", "functionCode": 1, "objectsCount": 1, "address": 3},
                    {"tag": "set", "type": "16int", "functionCode": 6, "objectsCount": 1, "address": 3},
                ],
                "rpc": [{"tag": "setValue", "type": "bits", "functionCode": 5, "address": 31}],
            }
        ]
    }
}  # fmt: skip
THINGSBOARD_OPCUA = {
    "server": {"url": "192.168.10.30:4840/server", "security": "Basic128Rsa15", "pollPeriodInMillis": 1000},
    "mapping": [
        {
            "deviceNodePattern": "Root\\.Objects\\.Device1",
            "deviceNamePattern": "Device ${Root\\.Objects\\.Device1\\.serial}",
            "timeseries": [{"key": "temp", "path": "${ns=2;i=5}"}, {"key": "hum", "path": "${Root\\.Objects\\.Hum}"}],
        }
    ],
}  # fmt: skip
KEPWARE = (
    "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,"
    "Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value\n"
    '"Oven.Temp","400011","Float",1,"RO",500,,,,,,,,,"°C","inlet, ""left""",\n'
    '"Oven.Raw","40003","Word",1,"R/W",100,"Linear",0,1000,0,50,"Float",1,1,"%",,0\n'
    '"Oven.Sqrt","40004","Word",1,"RO",100,"Square Root",0,1000,0,50,"Float",,,,,\n'
    '"Alarm","400020.3","Boolean",1,"RO",100,,,,,,,,,,,\n'
    '"Run","000002","Boolean",1,"RO",100,,,,,,,,,,,\n'
    '"Name","400100.020H","String",1,"RO",1000,,,,,,,,,,,\n'
    '"Array","400200[10]","Word Array",1,"RO",1000,,,,,,,,,,,\n'
    '"Bcd","400300","BCD",1,"RO",1000,,,,,,,,,,,\n'
    '"Run","000003","Boolean",1,"RO",100,,,,,,,,,,,\n'
)
IGNITION = {
    "name": "", "tagType": "Provider",
    "tags": [
        {"name": "_types_", "tagType": "Folder", "tags": [
            {"name": "Drive", "tagType": "UdtType", "parameters": {"Base": {"dataType": "Integer", "value": 10}}, "tags": [
                {"name": "Speed", "tagType": "AtomicTag", "engUnit": "rpm", "dataType": "Float4",
                 "opcItemPath": {"bindType": "parameter", "binding": "ns=1;s=[PLC1]{Unit}.HRF{Base}"}},
            ]},
            {"name": "Motor", "tagType": "UdtType", "typeId": "Drive", "parameters": {"Unit": {"value": 2}}, "tags": [
                {"name": "Fault", "tagType": "AtomicTag", "opcItemPath": "ns=1;s=[PLC1]{Unit}.C7"},
            ]},
        ]},
        {"name": "Line", "tagType": "Folder", "tags": [
            {"name": "M1", "tagType": "UdtInstance", "typeId": "Motor", "parameters": {"Base": {"value": 100}},
             "tags": [{"name": "Speed", "tagType": "AtomicTag", "engUnit": "Hz"}]},
            {"name": "Odd", "tagType": "AtomicTag", "opcItemPath": "ns=1;s=[PLC1]HR{Base+1}"},
            {"name": "Sum", "tagType": "AtomicTag", "valueSource": "expr", "expression": "1+1"},
            {"name": "Level", "tagType": "AtomicTag", "opcServer": "Kep", "opcItemPath": "ns=2;s=Ch.Dev.Level",
             "scaleMode": "Linear", "rawLow": 0, "rawHigh": 27648, "scaledLow": 0, "scaledHigh": 100},
            {"name": "S7", "tagType": "AtomicTag", "opcItemPath": "ns=1;s=[S7]DB1,INT0"},
        ]},
    ],
}  # fmt: skip
NODERED = [
    {"id": "s1", "type": "modbus-client", "name": "plc", "clienttype": "tcp", "tcpHost": "192.168.10.50", "tcpPort": "502",
     "tcpType": "DEFAULT", "unit_id": "1"},
    {"id": "r1", "type": "modbus-read", "name": "temps", "unitid": "4", "dataType": "HoldingRegister", "adr": "10",
     "quantity": "3",
     "rate": "500", "rateUnit": "ms", "server": "s1"},
    {"id": "r2", "type": "modbus-read", "name": "off", "d": True, "dataType": "Coil", "adr": "0", "quantity": "1",
     "server": "s1"},
    {"id": "i1", "type": "OpcUa-Item", "name": "level", "item": "ns=2;s=Tank.Level", "datatype": "Double", "wires": [["c1"]]},
    {"id": "c1", "type": "OpcUa-Client", "endpoint": "e1", "wires": [[]]},
    {"id": "e1", "type": "OpcUa-Endpoint", "endpoint": "opc.tcp://192.168.10.60:4840", "secpol": "None", "secmode": "None"},
    {"id": "x", "type": "inject"},
]  # fmt: skip


def workbook(rows: list[list[str]], extra: bytes = b"") -> bytes:
    """An xlsx with shared texts, as NeuronEX writes it."""
    texts = list(dict.fromkeys(cell for row in rows for cell in row))
    strings = "".join(f"<si><t>{text.replace('&', '&amp;')}</t></si>" for text in texts)
    cells = "".join(
        "<row>"
        + "".join(f'<c r="{chr(65 + at)}{row}" t="s"><v>{texts.index(cell)}</v></c>' for at, cell in enumerate(line))
        + "</row>"
        for row, line in enumerate(rows, 1)
    )
    made = io.BytesIO()
    name = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {name}>{strings}</sst>")
        book.writestr(
            "xl/worksheets/sheet1.xml", extra + f"<worksheet {name}><sheetData>{cells}</sheetData></worksheet>".encode()
        )
    return made.getvalue()


NEURON = [
    ["group", "name", "address", "attribute", "type", "description", "decimal", "precision"],
    ["g1", "temp", "1!400001#BB", "Read", "FLOAT", "oven", "", "2"],
    ["g1", "flow", "1!300005#LB", "Read", "INT32", "", "0.1", ""],
    ["g1", "word", "1!400010#L", "Read Write", "UINT16", "", "", ""],
    ["g2", "bit", "1!400020.15", "Read", "BIT", "", "", ""],
    ["g2", "coil", "2!000003", "Read", "BIT", "", "", ""],
    ["g2", "text", "2!400100.10H", "Read", "STRING", "", "", ""],
    ["g2", "odd", "2!40x1", "Read", "INT16", "", "", ""],
]


@pytest.fixture
def imported(tmp_path, capsys):
    """Imports a content, checks what comes out, and returns it with the remarks."""

    def do(kind: str, content: bytes, *options: str):
        source, target = tmp_path / "source", tmp_path / "made" / "config.toml"
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        source.write_bytes(content)
        code = main(["import", kind, str(source), "-o", str(target), "--json", *options])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert check(target) == 0, capsys.readouterr().out
        capsys.readouterr()
        devices = {each["name"]: each for each in tomllib.loads(target.read_text())["device"]}
        return devices, [f"{each['where']}: {each['what']}" for each in json.loads(said.out)["left_out"]]

    return do


def told(remarks: list[str], *words: str) -> bool:
    return any(all(word in remark for word in words) for remark in remarks)


def test_telegraf(imported):
    devices, remarks = imported("telegraf", TELEGRAF.encode())
    press = devices["press"]
    assert (press["host"], press["port"], press["transport"], press["unit"], press["scan"]) == (
        "192.168.10.21", 1502, "rtu-over-tcp", 3, "5s",
    )  # fmt: skip
    tags = press["tags"]
    assert tags["temp"] == {"address": "hr:10", "type": "float32", "order": "CDAB"}
    assert tags["fixed"] == {"address": "hr:12", "type": "uint32", "scale": 0.1}
    assert tags["power"] == {"address": "hr:14", "type": "int16", "scale": 0.01}
    assert tags["swapped"] == {"address": "hr:15", "type": "int16", "order": "BA"}
    assert tags["total"]["type"] == "uint64"
    assert (tags["start"], tags["motor"]) == ({"address": "di:0"}, {"address": "co:7"})
    assert tags["tank.level"] == {"address": "ir:0", "type": "uint16"}
    assert "torn" not in tags
    meters = devices["meters"]
    assert (meters["serial"], meters["transport"], meters["baud"], meters["parity"], meters["unit"], meters["scan"]) == (
        "/dev/ttyUSB0", "rtu", 19200, "even", 7, "1s",
    )  # fmt: skip
    assert meters["tags"]["grid.voltage"] == {"address": "ir:0", "type": "float32", "order": "DCBA", "scale": 0.5}
    assert meters["tags"]["flag"] == {"address": "ir:3.4", "type": "bool"}
    assert meters["tags"]["low"] == {"address": "ir:4.low", "type": "uint8"}
    assert devices["meters-8"]["tags"] == {"on": {"address": "co:1"}}
    plc = devices["plc"]
    assert plc["security"] == "none" and plc["user"] == "reader"
    assert plc["tags"]["temp"] == {"address": "ns=3;s=Line.Temp"}
    assert plc["tags"]["temp_2"] == {"address": "ns=3;i=1001"}
    assert plc["tags"]["oven.zone/1"] == {"address": "ns=2;i=5"}
    assert (
        told(remarks, "fixed", "FLOAT32")
        and told(remarks, "torn")
        and told(remarks, "inputs.cpu")
        and told(remarks, "outputs")
    )
    assert told(remarks, "hidden", "omit") and told(remarks, "password")
    assert not told(remarks, "hunter2")


def test_thingsboard_modbus(imported):
    devices, remarks = imported("thingsboard", json.dumps(THINGSBOARD).encode())
    pump = devices["Pump _1"]
    assert (pump["host"], pump["unit"], pump["scan"], pump["order"]) == ("192.168.10.40", 2, "2500ms", "CDAB")
    assert pump["tags"]["flow"] == {"address": "ir:10", "type": "float32", "scale": 0.1}
    assert pump["tags"]["speed"] == {"address": "hr:5", "type": "uint16", "scale": 2.0}
    assert pump["tags"]["serial"] == {"address": "hr:0", "type": "string", "length": 8}
    assert pump["tags"]["run"] == {"address": "co:3"}
    assert told(remarks, "set", "does not read") and told(remarks, "rpc") and told(remarks, "Pump #1")


def test_thingsboard_opcua(imported):
    devices, remarks = imported("thingsboard", json.dumps(THINGSBOARD_OPCUA).encode())
    (device,) = devices.values()
    assert device["url"] == "opc.tcp://192.168.10.30:4840/server" and "security" not in device
    assert device["tags"] == {"temp": {"address": "ns=2;i=5"}}
    assert told(remarks, "Basic128Rsa15") and told(remarks, "hum", "browse")


def test_kepware(imported):
    devices, remarks = imported("kepware", KEPWARE.encode(), "--host", "192.168.10.70", "--name", "oven")
    oven = devices["oven"]
    assert (oven["host"], oven["order"]) == ("192.168.10.70", "CDAB")
    tags = oven["tags"]
    assert tags["Oven.Temp"] == {
        "address": "hr:10",
        "type": "float32",
        "unit": "°C",
        "description": 'inlet, "left"',
        "scan": "500ms",
    }
    assert tags["Oven.Raw"]["scale"] == 0.05 and tags["Oven.Raw"]["clamp"] == [0.0, 50.0]
    assert (
        tags["Alarm"]["address"] == "hr:19.3"
        and tags["Run"]["address"] == "co:1"
        and tags["Run_2"]["address"] == "co:2"
    )
    assert tags["Name"] == {"address": "hr:99", "type": "string", "length": 20, "scan": "1000ms"}
    assert not {"Oven.Sqrt", "Array", "Bcd"} & tags.keys()
    for word in ("Oven.Sqrt", "Array", "Bcd", "Oven.Raw", "First word low"):
        assert told(remarks, word), word
    assert told(remarks, "line 4", "Square Root")


def test_kepware_without_zero_based_addressing(imported):
    devices, _ = imported("kepware", KEPWARE.encode(), "--not-zero-based", "--order", "ABCD")
    assert devices["imported"]["tags"]["Oven.Temp"]["address"] == "hr:11"
    assert devices["imported"]["order"] == "ABCD"


def test_neuron(imported):
    devices, remarks = imported("neuronex", workbook(NEURON), "--host", "192.168.10.80", "--name", "n")
    tags = devices["n"]["tags"]
    assert tags["g1.temp"] == {"address": "hr:0", "type": "float32", "order": "ABCD", "description": "oven"}
    assert tags["g1.flow"] == {"address": "ir:4", "type": "int32", "order": "CDAB", "scale": 0.1}
    assert tags["g1.word"] == {"address": "hr:9", "type": "uint16", "order": "BA"}
    assert tags["g2.bit"] == {"address": "hr:19.15", "type": "bool"}
    assert devices["n-2"]["unit"] == 2 and devices["n-2"]["tags"]["g2.coil"] == {"address": "co:2"}
    assert devices["n-2"]["tags"]["g2.text"] == {"address": "hr:99", "type": "string", "length": 10}
    assert told(remarks, "row 8", "g2.odd") and told(remarks, "g1.word", "write")


def test_ignition(imported):
    devices, remarks = imported("ignition", json.dumps(IGNITION).encode(), "--host", "192.168.10.90")
    motor = devices["PLC1-unit-2"]
    assert (motor["host"], motor["unit"]) == ("192.168.10.90", 2)
    assert motor["tags"]["Line.M1.Speed"] == {"address": "hr:99", "type": "float32", "unit": "Hz"}
    assert motor["tags"]["Line.M1.Fault"] == {"address": "co:6"}
    level = devices["Kep"]["tags"]["Line.Level"]
    assert level["address"] == "ns=2;s=Ch.Dev.Level" and level["scale"] == pytest.approx(100 / 27648)
    assert (
        told(remarks, "Line/Odd") and told(remarks, "Line/Sum", "expr") and told(remarks, "Line/S7", "another driver")
    )


def test_nodered(imported):
    devices, remarks = imported("nodered", json.dumps(NODERED).encode())
    assert devices["plc"]["unit"] == 4
    assert devices["plc"]["tags"]["temps.1"] == {"address": "hr:11", "type": "uint16", "scan": "500ms"}
    assert len(devices["plc"]["tags"]) == 3
    assert devices["opcua"]["tags"] == {"level": {"address": "ns=2;s=Tank.Level"}}
    assert told(remarks, "off") and told(remarks, "several registers")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_texts_with_a_byte_order_mark_are_read(imported, encoding):
    data = b"\xfe\xff" + KEPWARE.encode("utf-16-be") if encoding == "utf-16-be-bom" else KEPWARE.encode(encoding)
    devices, _ = imported("kepware", data)
    assert devices["imported"]["tags"]["Oven.Temp"]["unit"] == "°C"


@pytest.mark.parametrize(("encoding", "word"), [("cp949", "온도"), ("cp1252", "Öl")])
def test_other_encodings_are_refused_until_somebody_says_which(imported, tmp_path, capsys, encoding, word):
    data = KEPWARE.replace("Oven.Temp", word).replace("°C", "C").encode(encoding)
    (tmp_path / "kep.csv").write_bytes(data)
    assert main(["import", "kepware", str(tmp_path / "kep.csv")]) == 1
    said = capsys.readouterr().err
    assert "--encoding cp949" in said and "line 2" in said
    devices, _ = imported("kepware", data, "--encoding", encoding)
    assert word in devices["imported"]["tags"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("telegraf", b"[[inputs.modbus"), ("telegraf", b""), ("thingsboard", b"{}"), ("thingsboard", b"[" * 5000),
        ("kepware", b""), ("kepware", b"a,b\n1,2\n"), ("kepware", b"T\0a\0g\0"), ("nodered", b"{"), ("nodered", b"[1]"),
        ("ignition", b"[]"), ("ignition", b"null"), ("neuronex", b"PK\3\4"), ("neuronex", b"name,address\n"),
        ("neuronex", workbook([["a", "b"], ["1", "2"]])), ("ede", b""), ("ede", b"1;2;3\n4;5;6\n"),
        ("ede", b"# keyname;device obj.-instance;object-name;object-type;object-instance\n"),
        ("ede", b'device obj.-instance;object-type;object-instance\n1;0;"' + b"a" * 200_000),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_in_words(tmp_path, capsys, kind, content):
    (tmp_path / "x").write_bytes(content)
    assert main(["import", kind, str(tmp_path / "x"), "-o", str(tmp_path / "made.toml")]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.startswith("edge-gateway: ")
    assert not (tmp_path / "made.toml").exists()


@pytest.mark.parametrize(
    "extra", [b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>', b'<!DOCTYPE x SYSTEM "file:///etc/passwd">']
)
def test_a_workbook_with_entities_is_refused(tmp_path, capsys, extra):
    (tmp_path / "x").write_bytes(workbook(NEURON, extra))
    assert main(["import", "neuronex", str(tmp_path / "x")]) == 1
    assert "entities" in capsys.readouterr().err


def test_a_workbook_that_unpacks_without_end_is_refused(tmp_path, capsys):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b"<a>" + b" " * 32_000_000 + b"</a>")
    (tmp_path / "x").write_bytes(made.getvalue())
    assert main(["import", "neuronex", str(tmp_path / "x")]) == 1
    assert "unpacks" in capsys.readouterr().err


def test_many_tags_stand_in_a_table_of_their_own(imported, tmp_path):
    rows = (
        KEPWARE.split("\n", 1)[0]
        + "\n"
        + "".join(f'"t{n}","{400001 + n}","Word",1,"RO",100,,,,,,,,,"","a;b, c",\n' for n in range(500))
    )
    devices, _ = imported("kepware", rows.encode(), "--name", "big")
    assert devices["big"]["tags_file"] == "big.csv"
    assert (tmp_path / "made/big.csv").read_text().count("\n") == 501


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "x").write_text(json.dumps(NODERED))
    (tmp_path / "made.toml").write_text("precious")
    assert main(["import", "nodered", str(tmp_path / "x"), "-o", str(tmp_path / "made.toml")]) == 1
    assert (tmp_path / "made.toml").read_text() == "precious"


def test_without_an_output_it_is_printed_and_remarks_go_elsewhere(tmp_path, capsys):
    (tmp_path / "x").write_text(json.dumps(NODERED))
    assert main(["import", "nodered", str(tmp_path / "x"), "--devices-only"]) == 0
    said = capsys.readouterr()
    assert "gateway" not in tomllib.loads(said.out)
    assert "things to look at" in said.err


USED_TELEGRAF = """
[[inputs.opcua]]
  name = "line"
  endpoint = "$OPCUA_SERVER"
  # password = "${OPCUA_PASSWORD}"
  nodes = [
    { name = "val", namespace = 6, identifier_type = "s", identifier = "::AsGlobalPV:OK10_IO.Din.Spare1", default_tags = { name = "Spare1" } },
    { name = "val", namespace = "6", identifier_type = "s", identifier = "::AsGlobalPV:OK10_IO.Din.Spare2", default_tags = { name = "Spare2" } },
  ]
[inputs.modbus]
  name = "single"
  slave_id = ${SLAVE}
  controller = "tcp://${METER:-10.0.0.9}:502"
  coils = [{ name = "a", address = [0] }]
"""  # noqa: E501 - as people write it


def test_telegraf_as_people_use_it(imported, monkeypatch):
    """Variables of its environment, a table in single brackets, and one name for all nodes, told apart by their own tags."""
    monkeypatch.setenv("OPCUA_SERVER", "opc.tcp://10.0.0.8:4840")
    monkeypatch.setenv("SLAVE", "4")
    devices, remarks = imported("telegraf", USED_TELEGRAF.encode())
    assert devices["line"]["url"] == "opc.tcp://10.0.0.8:4840"
    assert list(devices["line"]["tags"]) == ["val.Spare1", "val.Spare2"]
    assert devices["line"]["tags"]["val.Spare2"]["address"] == "ns=6;s=::AsGlobalPV:OK10_IO.Din.Spare2"
    assert (devices["single"]["host"], devices["single"]["unit"]) == ("10.0.0.9", 4)
    assert remarks == []


def test_variables_of_telegraf_that_are_not_set_here_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SLAVE", raising=False)
    monkeypatch.delenv("OPCUA_SERVER", raising=False)
    (tmp_path / "t.conf").write_text(USED_TELEGRAF)
    assert main(["import", "telegraf", str(tmp_path / "t.conf")]) == 1
    assert "OPCUA_SERVER, SLAVE may be a number, and is not set here" in capsys.readouterr().err


def test_kepware_tags_of_its_client_of_opcua(imported):
    rows = [
        "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Eng Units,Description",
        '"line.speed","ns=4;s=|var|PLC.Application.speed",Float,1,R/W,1000,m/s,"of the belt"',
        '"load","SINE(1000,-3,4,0.5,0)",Float,1,RO,100,,""',
    ]
    devices, remarks = imported("kepware", "\r\n".join(rows).encode(), "--name", "press", "--host", "10.0.0.1")
    ((_, device),) = devices.items()
    assert device["driver"] == "opcua"
    assert device["tags"]["line.speed"]["address"] == "ns=4;s=|var|PLC.Application.speed"
    assert device["tags"]["line.speed"]["unit"] == "m/s"
    assert told(remarks, "the url is a placeholder") and told(remarks, "load", "left out")


def test_ignition_a_folder_of_types_or_a_list_of_tags(imported):
    """As people export a part of their tags, and as their scripts write them."""
    timer = {
        "name": "TIMER", "tagType": "UdtType", "parameters": {"Device": {"dataType": "String"}, "At": "HR1"},
        "tags": [{
            "name": "PRE", "tagType": "AtomicTag", "valueSource": "OPC",
            "opcItemPath": {"bindType": "parameter", "binding": "ns=1;s=[{Device}]{At}"},
        }],
    }  # fmt: skip
    instance = {
        "name": "t1", "tagType": "UdtInstance", "typeId": "Rockwell/TIMER",
        "parameters": {"Device": {"dataType": "String", "value": "PLC1"}, "At": {"value": "HR5"}},
    }  # fmt: skip
    whole = {"name": "Rockwell", "tagType": "Folder", "tags": [timer, instance]}
    for content in (whole, [timer, instance], {"tags": [whole["tags"][0], instance]}):
        devices, _ = imported("ignition", json.dumps(content).encode())
        assert devices["PLC1"]["tags"] == {"t1.PRE": {"address": "hr:4", "type": "int16"}}


CLIENT = {"id": "s1", "type": "modbus-client", "name": "eq", "clienttype": "tcp", "tcpHost": "eq", "tcpPort": "502"}
READ = {"type": "modbus-read", "z": "f", "dataType": "HoldingRegister", "adr": "1", "quantity": "1", "server": "s1"}


def test_nodered_as_its_interface_gives_it_out_with_flows_that_are_off_and_variables(imported):
    nodes = [
        {**READ, "id": "a", "name": "a", "unitid": 3},
        {**READ, "id": "b", "name": "b", "z": "off"},
        {**READ, "id": "c", "name": "c", "unitid": "${UNIT}"},
        {**READ, "id": "d", "name": "d", "dataType": None, "address": "40001", "fc": "3"},
    ]
    tabs = [{"id": "f", "type": "tab"}, {"id": "off", "type": "tab", "disabled": True}]
    for content in ([*tabs, *nodes, CLIENT], {"rev": "1", "flows": [*tabs, *nodes, CLIENT]}):
        devices, remarks = imported("nodered", json.dumps(content).encode())
        assert devices["eq"]["tags"] == {"a": {"address": "hr:1", "type": "uint16"}}
        assert (
            told(remarks, '"b"', "switched off") and told(remarks, '"c"', "UNIT") and told(remarks, '"d"', "dataType")
        )
    flow = {"id": "f", "label": "Flow 1", "nodes": [nodes[0]], "configs": [CLIENT]}
    assert list(imported("nodered", json.dumps(flow).encode())[0]) == ["eq"]


EDE = """#EDE Engineering-Data-Exchange
PROJECT_NAME;Plant 7
VERSION_OF_REFERENCEFILE;2
AUTHOR_OF_LAST_CHANGE;somebody
VERSION_OF_LAYOUT;2.3
#mandatory;mandatory;mandatory;mandatory;mandatory;optional;optional;optional;optional;optional;optional
# keyname;device obj.-instance;object-name;object-type;object-instance;description;present-value-default;min;max;settable
AHU1;2101;AHU1;8;2101;"Lüftung; Halle 3";;;;N
k1;2101;AHU1'T'Sup;0;3;Zuluft;;0;50;N
k2;2101;AHU1'Sp;2;7;Sollwert;21;16;26;Y
k2;2101;AHU1'Sp;19;1;;;;;Y

k3;2102;Room;0;1;
k4;2102;Broken;AI;1;
k5;2102;Far;0;9999999999;
k6;2102;Of a maker;128;5;own
"""


def test_ede(imported):
    devices, remarks = imported("ede", EDE.encode())
    assert devices["device-2101"]["device"] == 2101 and devices["device-2101"]["driver"] == "bacnet"
    assert "host" not in devices["device-2101"], "it is looked for by its instance"
    assert devices["device-2101"]["tags"] == {
        "AHU1'T'Sup": {"address": "AI:3", "description": "Zuluft"},
        "AHU1'Sp": {"address": "AV:7", "description": "Sollwert"},
        "AHU1'Sp_2": {"address": "MSV:1"},
    }
    assert devices["device-2102"]["tags"] == {"Room": {"address": "AI:1"}}
    assert told(remarks, "line 14", "are to be numbers") and told(remarks, "line 15", "instances go up to")
    assert told(remarks, "device 2101", "2 objects can be commanded")
    assert told(remarks, "1 of type 8, 1 of type 128")
    devices, _ = imported("ede", EDE.split("k3")[0].encode(), "--host", "10.0.0.5", "--name", "ahu")
    assert devices["ahu-2101"]["host"] == "10.0.0.5"
    with_commas = EDE.replace(";", ",").replace('"Lüftung, Halle 3"', "Öl").encode("cp1252")
    devices, _ = imported("ede", with_commas, "--encoding", "cp1252")
    assert devices["device-2101"]["tags"]["AHU1'Sp"]["description"] == "Sollwert"


@pytest.mark.parametrize("kind", ["ignition", "nodered", "telegraf", "thingsboard"])
def test_what_has_another_shape_is_refused_in_words(tmp_path, capsys, kind):
    """Whatever stands where: a list for a table, a text for a number."""
    shapes = {
        "ignition": ['{"tags": [3]}', '{"tags": [{"tags": 4}]}', "[[1]]", '[{"tagType": "UdtInstance", "parameters": 3}]'],
        "nodered": ['{"nodes": 3}', '{"nodes": [], "configs": 4}', '[{"type": "modbus-read", "server": [1]}]', "[1]"],
        "telegraf": ["inputs = 3", "[inputs]\nmodbus = 3", "[inputs]\nopcua = [3]", "[[inputs.modbus]]\ncontroller = 'tcp://a:b'"],
        "thingsboard": ['{"master": {"slaves": 3}}', '{"master": 3}', '{"server": 3}', '{"server": {"mapping": [3]}}', "[]"],
    }  # fmt: skip
    for content in shapes[kind]:
        (tmp_path / "file").write_text(content)
        assert main(["import", kind, str(tmp_path / "file")]) == 1, content
        said = capsys.readouterr().err
        assert said.startswith("edge-gateway: ") and "Traceback" not in said
