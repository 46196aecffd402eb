"""Devices that are alike: templates, and files with a row for each device."""

from pathlib import Path

import pytest

from gateway.config.load import load, remarks
from gateway.config.model import Config
from gateway.core.errors import ConfigError
from tests.config.sample_plugins import PlcDevice, look_up

HEAD = '[gateway]\nname = "g1"\n'
METER = """[template.meter]
driver = "plc"
port = 503
[template.meter.tags]
power = { address = "1", unit = "kW", deadband = 0.5 }
energy = { address = "3", unit = "kWh" }
"""
OWN = '[[device]]\nname = "m1"\ntemplate = "meter"\nhost = "h1"\n'
ROWS = '[[device]]\ntemplate = "meter"\ndevices_file = "meters.csv"\n'


def loaded(place: Path, text: str, csv: str | bytes = "") -> Config:
    (place / "config.toml").write_text(text, encoding="utf-8")
    (place / "meters.csv").write_bytes(csv.encode() if isinstance(csv, str) else csv)
    return load(Path("config.toml"), look_up)


def said(place: Path, text: str, csv: str | bytes = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(place, text, csv)
    return str(caught.value).split("\n")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_the_device_says_itself_goes_before_its_template(place: Path) -> None:
    own = OWN + 'port = 504\n[device.tags]\npower = { unit = "MW" }\nmore = { address = "9" }\n'
    (spec,) = loaded(place, HEAD + METER + own).devices
    assert isinstance(spec.config, PlcDevice)
    assert (spec.config.host, spec.config.port) == ("h1", 504)
    assert {name: (tag.unit, tag.deadband) for name, tag in spec.tags.items()} == {
        "power": ("MW", 0.5), "more": ("", None), "energy": ("kWh", None),
    }  # fmt: skip


def test_a_hundred_meters_are_a_hundred_rows_and_share_their_tags(place: Path) -> None:
    csv = "name;host;port;enabled\n" + "".join(
        f"m{n};10.0.0.{n};{500 + n};{'no' if n == 7 else ''}\n" for n in range(100)
    )
    config = loaded(place, HEAD + METER + ROWS, csv)
    assert len(config.devices) == 99
    assert config.disabled == (("device", "m7"),)
    one, two = (spec for spec in config.devices if spec.config.name in ("m1", "m99"))
    assert (two.config.host, two.config.port) == ("10.0.0.99", 599)  # type: ignore[attr-defined]
    assert one.tags["power"] is two.tags["power"]
    assert config.files[place / "meters.csv"]


def test_a_mistake_in_a_template_is_told_once_and_at_its_line(place: Path) -> None:
    wrong = METER.replace("503", '"503"').replace('"kWh"', "1")
    assert said(place, HEAD + wrong + ROWS, "name,host\na,h\nb,h\nc,h\n") == [
        'config.toml:5: template "meter": port: write a whole number, not a text: 503 without the quotes',
        'config.toml:8: template "meter": tag "energy": unit: write a text in quotes, not 1',
    ]


def test_a_mistake_in_a_row_is_told_with_the_file_of_devices_and_its_line(place: Path) -> None:
    csv = "name;host;port\nm1;h1;502\nm2;h2;x\nm1;h3;1\n;h4;1\n"
    assert said(place, HEAD + METER + ROWS, csv) == [
        'meters.csv:3: device "m2": port: write a whole number, not the text "x"',
        'meters.csv:4: device "m1": name: this name is taken already at meters.csv:2',
        'meters.csv:5: column "name": is empty',
    ]


def test_a_wrong_first_row_is_told_with_what_is_meant(place: Path) -> None:
    told = said(place, HEAD + METER + ROWS, "Name;hots\nm1;h1\nm2;h2\n")
    assert told == [
        'meters.csv:1: column "hots": unknown column, did you mean "host"?',
        'meters.csv:1: the column "host" is missing in the first row; or write host = … for all in the [[device]]',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            METER + OWN.replace('"meter"', '"metr"'),
            'config.toml:11: device "m1": template: no template "metr", did you mean',
        ),
        (
            OWN,
            'config.toml:5: device "m1": template: no template "meter"; there is none: write its options under [template.m',
        ),
        (
            METER + ROWS + 'name = "x"\n',
            'config.toml:12: device "x": name: the devices of a devices_file have their names in',
        ),
        (METER.replace("port", "name") + ROWS, 'config.toml:5: template "meter": name: belongs to the devices'),
        (
            METER.replace("plc", "plx") + ROWS,
            'config.toml:4: template "meter": driver: no driver "plx", did you mean "plc"?',
        ),
        (ROWS.replace("meters", "gone") + METER, "config.toml:5: device 1: devices_file: gone.csv: no such file"),
        (
            METER.replace("port", "prot") + OWN.replace("template", "#"),
            'config.toml:5: template "meter": prot: unknown key',
        ),
    ],
)
def test_what_cannot_be_meant_is_told(place: Path, text: str, message: str) -> None:
    told = said(place, HEAD + text, "name,host\na,h\n")
    assert told[0].startswith(message), told


def test_a_device_with_no_such_template_hides_no_other_mistake_and_brings_none(place: Path) -> None:
    told = said(
        place, HEAD + METER + OWN.replace('"meter"', '"metr"') + OWN.replace("m1", "m2").replace("host", "hots")
    )
    assert [line.partition(": ")[0] for line in told] == ["config.toml:11", "config.toml:13", "config.toml:16"]


def test_a_template_that_nobody_uses_is_remarked(place: Path) -> None:
    text = (
        HEAD
        + METER
        + OWN.replace("template = ", "driver = ").replace('"meter"', '"plc"')
        + '[device.tags]\na = { address = "1" }\n'
    )
    told = [str(problem) for problem in remarks(loaded(place, text))]
    assert 'config.toml:3: template "meter": no device uses it' in told


def test_paths_of_a_template_start_at_its_own_folder(place: Path) -> None:
    (place / "conf.d").mkdir()
    (place / "conf.d/meters.toml").write_text(
        METER.replace('driver = "plc"', 'driver = "server"\ncertificate = "c.pem"').replace("port = 503\n", "")
    )
    config = loaded(place, HEAD + OWN.replace('host = "h1"', 'url = "u"'))
    assert config.devices[0].config.certificate == place / "conf.d/c.pem"  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_korean_files_are_read_as_excel_writes_them(place: Path, encoding: str) -> None:
    csv = "name,host,site\n계측기-1,h1,서울 공장\n계측기-2,h2,부산\n".encode(encoding)
    config = loaded(place, HEAD + METER + ROWS, csv)
    assert [spec.config.name for spec in config.devices] == ["계측기-1", "계측기-2"]
    assert config.devices[0].config.site == "서울 공장"


def test_western_files_of_before_unicode_are_no_korean(place: Path) -> None:
    csv = "name;host;site\nZähler größe-1;h1;Straße 5 °C\n".encode("cp1252")
    config = loaded(place, HEAD + METER + ROWS, csv)
    assert [spec.config.name for spec in config.devices] == ["Zähler größe-1"]
    assert config.devices[0].config.site == "Straße 5 °C"
