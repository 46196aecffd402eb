"""`edge-gateway import tia`: tag tables and data blocks of the TIA Portal and STEP 7."""

import tomllib
import zipfile

import pytest

from gateway.cli import main
from gateway.cli.config.check import check
from tests.cli.importing.test_importing import workbook

TABLE = [
    ["Name", "Path", "Data Type", "Logical Address", "Comment", "Hmi Visible"],
    ["Motor_on", "Default tag table", "Bool", "%M0.1", "runs", "True"],
    ["Level", "Default tag table", "Int", "%IW64", "", "True"],
    ["Speed set", "Default tag table", "Real", "%MD20", "rpm", "True"],
    ["Total", "Default tag table", "LReal", "%M40.0", "", "True"],
    ["Delay", "Default tag table", "Timer", "%T5", "", "True"],
    ["Robot", "Default tag table", '"UDT_Robot"', "%I7000.0", "", "True"],
]
XML = """<?xml version="1.0" encoding="utf-8"?>
<Document><Engineering version="V18" />
  <SW.Tags.PlcTagTable ID="0"><AttributeList><Name>IO</Name></AttributeList><ObjectList>
    <SW.Tags.PlcTag ID="1" CompositionName="Tags"><AttributeList>
      <DataTypeName>Bool</DataTypeName><LogicalAddress>%I0.3</LogicalAddress><Name>Lid</Name></AttributeList>
      <ObjectList><MultilingualText ID="2" CompositionName="Comment"><ObjectList><MultilingualTextItem ID="3">
        <AttributeList><Culture>de-DE</Culture><Text>Deckel offen</Text></AttributeList>
      </MultilingualTextItem></ObjectList></MultilingualText></ObjectList>
    </SW.Tags.PlcTag>
  </ObjectList></SW.Tags.PlcTagTable>
</Document>"""
DB_XML = """<?xml version="1.0" encoding="utf-8"?>
<Document><SW.Blocks.GlobalDB ID="0"><AttributeList>
  <Interface><Sections xmlns="http://www.siemens.com/automation/Openness/SW/Interface/v5"><Section Name="Static">
    <Member Name="on" Datatype="Bool"><Comment><MultiLanguageText Lang="en-US">it runs</MultiLanguageText></Comment></Member>
    <Member Name="zone" Datatype="Array[1..2] of Struct">
      <Member Name="X" Datatype="Int" /><Member Name="Y" Datatype="Real" /></Member>
    <Member Name="drive" Datatype="&quot;Drive&quot;"><Sections><Section Name="None">
      <Member Name="speed" Datatype="Real" /></Section></Sections></Member>
    <Member Name="lot" Datatype="String[10]" />
  </Section></Sections></Interface>
  <MemoryLayout>Standard</MemoryLayout><Name>Mixer</Name><Number>7</Number>
</AttributeList></SW.Blocks.GlobalDB></Document>"""
SOURCE = """TYPE "Drive"
VERSION : 0.1
   STRUCT
      speed : Real;   // rpm
      on : Bool;
   END_STRUCT;
END_TYPE

DATA_BLOCK "Mixer 1"
{ S7_Optimized_Access := 'FALSE' }
VERSION : 0.1
NON_RETAIN
   STRUCT
      a { S7_SetPoint := 'True'} : Bool := true;   // first; of all
      b, c : Bool;
      d : Byte;
      e : Bool;
      f : Int := 5;
      bits : Array[0..9] of Bool;
      g : Char;
      "odd name" : Struct
         x : SInt;
         y : DInt;
         z : Bool;
      END_STRUCT;
      drives : Array[1..2] of "Drive";
      text : String[5];
      h : Word;
      limits : Array[0..3] of Real;
      grid : Array[0..1, 1..3] of Int;
      rows : Array[0..1, 0..2] of Bool;
      bytes : Array[0..2] of Byte;
      i : USInt;
      started : DTL;
      big : LReal;
      wide : WString[3];
   END_STRUCT;
BEGIN
   f := 7;
END_DATA_BLOCK
"""
PLACES = {
    "a": "DB5.DBX0.0", "b": "DB5.DBX0.1", "c": "DB5.DBX0.2", "d": "DB5.1", "e": "DB5.DBX2.0", "f": "DB5.4", "bits": "DB5.6",
    "g": "DB5.8", "odd name.x": "DB5.10", "odd name.y": "DB5.12", "odd name.z": "DB5.DBX16.0", "drives[1].speed": "DB5.18",
    "drives[1].on": "DB5.DBX22.0", "drives[2].speed": "DB5.24", "drives[2].on": "DB5.DBX28.0", "text": "DB5.30",
    "h": "DB5.38", "limits": "DB5.40", "grid[0,1]": "DB5.56", "grid[0,2]": "DB5.58", "grid[0,3]": "DB5.60",
    "grid[1,1]": "DB5.62", "grid[1,2]": "DB5.64", "grid[1,3]": "DB5.66", "rows[0,0]": "DB5.DBX68.0",
    "rows[0,1]": "DB5.DBX68.1", "rows[0,2]": "DB5.DBX68.2", "rows[1,0]": "DB5.DBX69.0", "rows[1,1]": "DB5.DBX69.1",
    "rows[1,2]": "DB5.DBX69.2", "bytes": "DB5.70", "i": "DB5.74", "started": "DB5.76", "big": "DB5.88", "wide": "DB5.96",
}  # fmt: skip
"""By the rules of the TIA Portal's help, worked out by hand."""


@pytest.fixture
def imported(tmp_path, capsys):
    """The tags of the device that is made of a file, and what is told on the way. `check` takes the result."""

    def run(data, *options):
        file = tmp_path / "export"
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        assert main(["import", "tia", str(file), "--host", "10.0.0.5", "--name", "plc", *options]) == 0
        said = capsys.readouterr()
        made = tmp_path / "made.toml"
        made.write_text(said.out)
        assert check(made) == 0
        capsys.readouterr()
        (device,) = tomllib.loads(said.out)["device"]
        return device["tags"], said.err

    return run


def test_a_tag_table_as_a_workbook(imported):
    tags, told = imported(workbook(TABLE))
    assert tags["Motor_on"] == {"address": "M0.1", "description": "runs"}
    assert tags["Level"] == {"address": "IW64", "type": "INT"}
    assert tags["Speed set"] == {"address": "MD20", "type": "REAL", "description": "rpm"}
    assert tags["Total"] == {"address": "M40", "type": "LREAL"}
    assert tags["Delay"] == {"address": "T5"}
    assert 'the tag "Robot" is left out' in told


def test_a_tag_table_of_openness(imported):
    assert imported(XML)[0] == {"Lid": {"address": "I0.3", "description": "Deckel offen"}}


def test_symbols_of_step_7_classic_and_of_the_tia_portal(imported):
    classic = '"Motor_on                ","M       0.1","BOOL      ","runs"\r\n"Level","IW     64 ","INT       ",""\r\n'
    assert imported(classic)[0] == {
        "Motor_on": {"address": "M0.1", "description": "runs"},
        "Level": {"address": "IW64", "type": "INT"},
    }
    portal = '"Motor_on","%M0.1","Bool","True","True","False","runs","","True"\n'
    assert imported(portal)[0] == {"Motor_on": {"address": "M0.1", "description": "runs"}}


def test_a_block_with_standard_access_is_placed_by_the_rules(imported):
    tags, _ = imported(SOURCE, "--db", "Mixer 1=5")
    assert {name.removeprefix("Mixer 1."): tag["address"] for name, tag in tags.items()} == PLACES
    assert tags["Mixer 1.a"]["description"] == "first; of all"
    assert tags["Mixer 1.drives[2].speed"] == {"address": "DB5.24", "type": "REAL", "description": "rpm"}
    assert tags["Mixer 1.bits"]["type"] == "BOOL[10]"
    assert tags["Mixer 1.text"]["type"] == "STRING[5]"


def test_a_block_of_openness_brings_its_number(imported):
    tags, _ = imported(DB_XML)
    assert {name.removeprefix("Mixer."): tag["address"] for name, tag in tags.items()} == {
        "on": "DB7.DBX0.0", "zone[1].X": "DB7.2", "zone[1].Y": "DB7.4", "zone[2].X": "DB7.8", "zone[2].Y": "DB7.10",
        "drive.speed": "DB7.14", "lot": "DB7.18",
    }  # fmt: skip
    assert tags["Mixer.on"]["description"] == "it runs"


def test_a_block_of_step_7_classic_brings_its_number_and_types_of_files_beside_it(imported, tmp_path):
    (tmp_path / "drive.udt").write_text(SOURCE.split("DATA_BLOCK")[0])
    source = 'DATA_BLOCK DB 10\nTITLE =\nVERSION : 0.1\n STRUCT\n m : "Drive"; //main\n END_STRUCT ;\nBEGIN\nEND_DATA_BLOCK\n'
    tags, _ = imported(source, "--udt", str(tmp_path / "drive.udt"))
    assert {tag["address"] for tag in tags.values()} == {"DB10.0", "DB10.DBX4.0"}
    classic = "TYPE UDT 3\n STRUCT\n x : INT ;\n END_STRUCT ;\nEND_TYPE\n" + source.replace('"Drive"', "UDT 3")
    assert [tag["address"] for tag in imported(classic)[0].values()] == ["DB10.0"]


def test_optimized_blocks_are_named_and_carried_over_as_symbols(imported, tmp_path, capsys):
    source = SOURCE.replace("'FALSE'", "'TRUE'")
    (tmp_path / "x").write_text(source)
    assert main(["import", "tia", str(tmp_path / "x"), "--db", "Mixer 1=5"]) == 1
    assert '"Optimized block access"' in capsys.readouterr().err
    tags, told = imported(source, "--symbols")
    assert tags["Mixer 1.odd name.x"] == {"symbol": '"Mixer 1"."odd name".x', "type": "SINT"}
    assert tags["Mixer 1.drives[2].on"]["symbol"] == '"Mixer 1".drives[2].on'
    assert "pin" in told
    assert imported(XML, "--symbols")[0]["Lid"]["symbol"] == "Lid"


@pytest.mark.parametrize(
    ("members", "kept", "said"),
    [
        ("a : Int; t : String[5]; b : Byte; c : Int;", {"a", "t"}, "text of odd size"),
        ("a : Int; t : IEC_TIMER; b : Int;", {"a"}, "size is not known"),
        ('a : Int; t : "Foreign"; b : Int;', {"a"}, "size is not known"),
    ],
)
def test_nothing_is_placed_behind_what_cannot_be_told(imported, members, kept, said):
    source = f"DATA_BLOCK DB 1\nSTRUCT\n{members}\nEND_STRUCT;\nBEGIN\nEND_DATA_BLOCK\n"
    tags, told = imported(source)
    assert {name.removeprefix("DB1.") for name in tags} == kept
    assert said in told


NESTED = '<?xml version="1.0"?>' + "<a>" * 50_000 + "</a>" * 50_000
OWN = 'TYPE "A"\nSTRUCT\na : "A";\nEND_STRUCT\nEND_TYPE\nDATA_BLOCK DB 1\n"A"\nBEGIN\nEND_DATA_BLOCK'
HEAD = "DATA_BLOCK DB 1\nSTRUCT\n"
TAIL = "END_STRUCT;\nBEGIN\nEND_DATA_BLOCK\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither PLC tags"),
        (b"PK\3\4", "no xlsx"),
        (b"<a/>", "neither PLC tags"),
        (b"<a", "not as tia writes it"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><SW.Tags.PlcTag/>', "entities"),
        (NESTED.encode(), "neither PLC tags"),
        ((HEAD + "a : Int").encode(), "is the source whole"),
        ((HEAD + "a Int;" + TAIL).encode(), "has no type"),
        ((HEAD + "a : Array[0..n] of Int;" + TAIL).encode(), "constant"),
        ((HEAD + "a : Array[5..1] of Int;" + TAIL).encode(), "bounds"),
        ((HEAD + "a : Array[0..999999999] of Struct END_STRUCT;" + TAIL).encode(), "more than"),
        ((HEAD + "a : Array[0..999999999, 0..9] of Int;" + TAIL).encode(), "more than"),
        ((HEAD + "a : Struct " * 50 + TAIL).encode(), "too deep"),
        (OWN.encode(), "within themselves"),
        (b"DATA_BLOCK DB 1 " + b"(*" * 1_000_000, "is missing|is the source whole|no device"),
        (b"DATA_BLOCK DB 1 " + b"{" * 1_000_000, "is missing|is the source whole|no device"),
        (b'DATA_BLOCK "X"\nSTRUCT\na : Int;\nEND_STRUCT;\nBEGIN\nEND_DATA_BLOCK', "--db"),
        (b'DATA_BLOCK "X"\n"FB_1"\nBEGIN\nEND_DATA_BLOCK', "--udt"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_with_the_reason(tmp_path, capsys, data, said):
    (tmp_path / "x").write_bytes(data)
    assert main(["import", "tia", str(tmp_path / "x")]) == 1
    told = capsys.readouterr().err
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(told)


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", b"<worksheet>" + b" " * (80 << 20) + b"</worksheet>")
    assert main(["import", "tia", str(tmp_path / "x")]) == 1
    assert "unpacks to more" in capsys.readouterr().err
