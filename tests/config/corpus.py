# ruff: noqa: E501
"""Configurations as technicians break them, each with the lines that are wrong and what has to be said there.

    python -m tests.config.corpus        how often line and fix are right, and what misleads

A case changes a good configuration, which uses shipped plugins. What is told of it must name the line of each mistake and
contain the fix; whatever else is told misleads, for the file has no other mistake.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from gateway.config.load import load
from gateway.core.errors import ConfigError, Problem
from gateway.plugin.discovery import Plugins

BASE = """[gateway]
name = "line3-gw1"
site = "north"

[outbox]
max_size = "2 GiB"

[[sink]]
name = "central"
plugin = "mqtt"
host = "broker.plant.local"
user = "gw"
password = { credential = "mqtt-password" }
tls = true

[[device]]
name = "press-1"
driver = "modbus"
host = "192.168.10.21"
scan = "1s"
[device.tags]
oil_temp = { address = "40001", type = "float32", unit = "°C", deadband = 0.1 }
running = { address = "10001" }

[[device]]
name = "oven-1"
driver = "opcua"
url = "opc.tcp://192.168.10.30:4840"
timeout = "5s"
[device.tags]
zone_1 = { address = "ns=2;s=Zone1.Temp" }

[[alarm]]
name = "oil too hot"
devices = ["press-*"]
tag = "oil_temp"
high = 80
hysteresis = 2
"""


@dataclass(frozen=True, slots=True)
class Due:
    """What has to be told: at a line that holds this text (empty: of the file as a whole), with these words."""

    at: str
    fix: str
    file: str = "config.toml"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    text: str | bytes
    due: Sequence[Due]
    files: dict[str, str | bytes] = field(default_factory=dict)


CASES: list[Case] = []


def edit(name: str, old: str, new: str, fix: str, at: str | None = None) -> None:
    """One text of the good configuration replaced; told at the first line of the new text, if nothing else is said."""
    assert BASE.count(old) == 1, f"{name}: {old!r} stands {BASE.count(old)} times"
    lines = [line for line in new.split("\n") if line.strip()]
    CASES.append(Case(name, BASE.replace(old, new), [Due(lines[0] if at is None else at, fix)]))


def several(name: str, edits: Sequence[tuple[str, str, str]]) -> None:
    """More than one mistake, all of which have to be told at once."""
    text = BASE
    for old, new, _ in edits:
        assert text.count(old) == 1, f"{name}: {old!r}"
        text = text.replace(old, new)
    CASES.append(Case(name, text, [Due(new, fix) for _, new, fix in edits]))


def whole(name: str, text: str | bytes, *due: Due, **files: str | bytes) -> None:
    CASES.append(
        Case(name, text, due, {key.replace("__", "/").replace("_DOT_", "."): value for key, value in files.items()})
    )


# How numbers, texts and units are written.
edit("german-decimal-comma", "deadband = 0.1", "deadband = 0,1", "decimal point")
edit("german-decimal-comma-alone", "high = 80", "high = 80,5", "high = 80.5")
edit("thousands-with-comma", "high = 80", "high = 1,000", "decimal point")
edit("number-with-unit", "high = 80", "high = 80 °C", "number")
edit("number-as-text", "hysteresis = 2", 'hysteresis = "2"', "2 without the quotes")
edit(
    "port-as-text",
    'host = "broker.plant.local"',
    'host = "broker.plant.local"\nport = "8883"',
    "8883 without the quotes",
    'port = "8883"',
)
edit("bool-as-text", "tls = true", 'tls = "true"', "true without the quotes")
edit("bool-as-python", "tls = true", "tls = True", "small letters")
edit("bool-as-yes", "tls = true", "tls = yes", "true or false")
edit("bool-as-number", "tls = true", "tls = 1", "true or false")
edit("interval-without-unit", 'scan = "1s"', "scan = 1", '"1s"')
edit("interval-as-bare-text", 'scan = "1s"', 'scan = "1"', '"1s"')
edit("interval-negative", 'scan = "1s"', 'scan = "-1s"', "duration")
edit("interval-in-words", 'scan = "1s"', 'scan = "1 sec"', '"1s"')
edit("interval-in-german", 'timeout = "5s"', 'timeout = "5 Sek"', '"1s"')
edit("interval-with-comma", 'scan = "1s"', 'scan = "0,5s"', '"0.5s"')
edit("interval-too-short", 'scan = "1s"', 'scan = "1ms"', "at least")
edit("interval-without-quotes", 'scan = "1s"', "scan = 1s", 'scan = "1s"')
edit("size-without-unit", 'max_size = "2 GiB"', "max_size = 2000000000", "unit")
edit("size-with-g", 'max_size = "2 GiB"', 'max_size = "2G"', '2 GiB"')
edit("size-negative", 'max_size = "2 GiB"', 'max_size = "-2 GiB"', "size")
edit("text-without-quotes", 'site = "north"', "site = north", 'site = "north"')
edit("ip-without-quotes", 'host = "192.168.10.21"', "host = 192.168.10.21", 'host = "192.168.10.21"')
edit("smart-quotes", 'site = "north"', "site = “north”", "straight quotes")
edit("german-quotes", 'site = "north"', "site = „north“", "straight quotes")
edit("quote-not-closed", 'site = "north"', 'site = "north', "closing quote")
edit("quotes-mixed", 'site = "north"', "site = \"north'", "closing quote")
edit("full-width-equals", 'site = "north"', 'site ＝ "north"', "=")
edit("no-break-space", 'site = "north"', 'site\u00a0= "north"', "cannot be seen")
edit("zero-width-space-in-name", 'name = "press-1"', 'name = "press\u200b-1"', "nobody sees")
edit("windows-path", "tls = true", 'tls = { ca = "C:\\plant\\users\\ca.pem" }', "single quotes")
edit("colon-for-equals", 'site = "north"', 'site: "north"', '"="')
edit("c-comment", 'site = "north"', '// the site\nsite = "north"', "#")
edit("semicolon-comment", 'site = "north"', '; the site\nsite = "north"', "#")
edit("semicolon-at-the-end", 'site = "north"', 'site = "north";', ";")
edit("space-in-key", 'site = "north"', 'site name = "north"', "quotes")
edit("key-with-umlaut", 'running = { address = "10001" }', 'läuft = { address = "10001" }', '"läuft"')

# Brackets, tables and their order.
edit("bracket-missing", "[outbox]", "[outbox", "]")
edit("double-bracket-half", "[[sink]]", "[[sink]", "]]")
edit("table-in-round-brackets", "[outbox]", "(outbox)", "[outbox]")
edit("single-brackets-for-the-only-sink", "[[sink]]", "[sink]", "[[sink]]")
edit("double-brackets-for-gateway", "[gateway]", "[[gateway]]", "[gateway]")
edit("brace-missing", 'running = { address = "10001" }', 'running = { address = "10001"', "}")
edit("tag-as-a-value", 'running = { address = "10001" }', 'running = "10001"', "{ address")
edit("comma-missing-in-tag", 'unit = "°C", deadband', 'unit = "°C" deadband', ",", "oil_temp")
edit("list-missing", 'devices = ["press-*"]', 'devices = "press-*"', "square brackets")
edit(
    "device-option-below-its-tags",
    'running = { address = "10001" }',
    'running = { address = "10001" }\nstale_after = "10s"',
    "above [device.tags]",
    "stale_after",
)
edit("gateway-key-at-the-top", "[gateway]\nname", 'area = "solids"\n[gateway]\nname', "[gateway]")
edit("key-twice", 'site = "north"', 'site = "north"\nsite = "south"', "twice", 'site = "south"')
edit("table-twice", "[[sink]]", '[gateway]\narea = "x"\n\n[[sink]]', "[gateway] stands twice", "#2[gateway]")
edit("table-misspelt", "[outbox]", "[outbx]", '"outbox"')

# Names and words.
edit("device-name-twice", 'name = "oven-1"', 'name = "press-1"', "taken already", '#2name = "press-1"')
edit("name-with-hash", 'name = "oven-1"', 'name = "oven #1"', "level of topics")
edit("gateway-name-missing", 'name = "line3-gw1"\n', "", "required", "[gateway]")
edit("driver-misspelt", 'driver = "modbus"', 'driver = "modbuss"', '"modbus"')
edit("driver-with-capital", 'driver = "modbus"', 'driver = "Modbus"', '"modbus"')
edit("driver-of-another-name", 'driver = "modbus"', 'driver = "modbus-tcp"', '"modbus"')
edit("key-with-capital", 'scan = "1s"', 'Scan = "1s"', '"scan"')
edit("key-of-another-gateway", 'timeout = "5s"', 'time_out = "5s"', '"timeout"')
edit("type-misspelt", 'type = "float32"', 'type = "flaot32"', '"float32"', "oil_temp")
edit("byte-order-misspelt", 'type = "float32"', 'type = "float32", order = "big"', "ABCD", "oil_temp")
edit("alarm-of-a-tag-that-there-is-not", 'tag = "oil_temp"', 'tag = "oil_tmp"', '"oil_temp"')
edit("alarm-of-a-device-that-there-is-not", 'devices = ["press-*"]', 'devices = ["presse-*"]', "no device")
edit("alarm-without-condition", "high = 80\nhysteresis = 2\n", "", "high, low", "[[alarm]]")
edit("alarm-with-two-conditions", "high = 80", "high = 80\nlow = 10", "exactly one", "[[alarm]]")

# Addresses and the network.
edit("address-as-number", 'address = "10001"', "address = 10001", '"10001"', "running =")
edit("address-below-the-first", 'address = "10001"', 'address = "10000"', "1 to 65536", "running =")
edit("address-beyond-the-last", 'address = "10001"', 'address = "165537"', "65536", "running =")
edit("address-in-hex", 'address = "40001"', 'address = "0x9C41"', "as the manual prints it", "oil_temp")
edit("address-of-a-bit-in-a-coil", 'address = "10001"', 'address = "10001.3"', "bit", "running =")
edit("node-id-without-prefix", 'address = "ns=2;s=Zone1.Temp"', 'address = "Zone1.Temp"', "ns=", "zone_1")
edit("node-id-with-comma", 'address = "ns=2;s=Zone1.Temp"', 'address = "ns=2,s=Zone1.Temp"', "ns=", "zone_1")
edit(
    "host-with-scheme",
    'host = "broker.plant.local"',
    'host = "mqtts://broker.plant.local:8883"',
    'host = "broker.plant.local"',
)
edit("host-with-port", 'host = "192.168.10.21"', 'host = "192.168.10.21:502"', "a port has a key of its own")
edit("host-ipv6-in-brackets", 'host = "192.168.10.21"', 'host = "[fe80::1]"', "fe80::1")
edit("url-ipv6-without-brackets", "192.168.10.30:4840", "fe80::30:4840", "brackets", "url =")
edit("url-of-http", "opc.tcp://", "https://", "opc.tcp://", "url =")
edit("host-with-blank", 'host = "192.168.10.21"', 'host = " 192.168.10.21"', "blanks")
edit(
    "port-out-of-range",
    'host = "broker.plant.local"',
    'host = "broker.plant.local"\nport = 88833',
    "at most 65535",
    "port =",
)
edit("unit-out-of-range", 'scan = "1s"', 'scan = "1s"\nunit = 300', "at most 255", "unit = 300")
edit("serial-port-without-rtu", 'scan = "1s"', 'serial = "/dev/ttyUSB0"', "rtu", "serial =")

# The broker, secrets and TLS.
edit("password-in-the-file", 'password = { credential = "mqtt-password" }', 'password = "geheim"', "credential")
edit(
    "password-kept-twice",
    'password = { credential = "mqtt-password" }',
    'password = { credential = "a", env = "B" }',
    "exactly one",
)
edit("tls-key-without-certificate", "tls = true", 'tls = { key = "k.pem" }', "certificate")
edit("tls-option-beside-tls", "tls = true", 'tls = true\nca = "ca.pem"', "tls", "ca =")
edit("tls-option-misspelt", "tls = true", 'tls = { cafile = "ca.pem" }', '"ca"')
edit("topic-with-wildcard", "tls = true", 'tls = true\ntopic = "plant/+/{device}"', "+", "topic =")
edit("topic-without-device", "tls = true", 'tls = true\ntopic = "plant/{site}"', "{device}", "topic =")
edit("topic-with-unknown-level", "tls = true", 'tls = true\ntopic = "{plant}/{device}"', "{site}", "topic =")
edit("protocol-version-as-number", "tls = true", "tls = true\nprotocol = 5", '"5"', "protocol =")
edit(
    "writing-without-limits",
    'running = { address = "10001" }',
    'running = { address = "00002", write = true }',
    "max_rate",
)
edit("deadband-in-percent-without-range", "deadband = 0.1", 'deadband = "1%"', "range", "oil_temp")

# Whole files.
DEVICE = '\n[[device]]\nname = "m"\ndriver = "modbus"\nhost = "h"\n[device.tags]\na = { address = "40001", type = "uint16" }\n'
whole("nothing-in-it", "", Due("", "[gateway]"), Due("", "[[device]]"))
whole("zero-bytes-of-a-lost-disk", b"\0" * 400, Due("", "NUL"))
whole("an-xml-file", '<?xml version="1.0"?>\n<gateway name="g1"/>\n', Due("<?xml", "XML"))
whole("a-json-file", '{\n  "gateway": {"name": "g1"}\n}\n', Due("{", "JSON"))
whole("a-yaml-file", "gateway:\n  name: g1\n", Due("gateway:", "YAML"))
whole(
    "an-ini-file",
    "[gateway]\nname=line3\nsite=north\n" + DEVICE,
    Due("name=line3", '"line3"'),
    Due("site=north", '"north"'),
)
whole("an-encrypted-file", b"\x85\x02\x0c\x03\xa1\xb2\xff\xfe\x00\x10" * 20, Due("\x85", "UTF-8"))
whole("a-zip-file", b"PK\x03\x04\x14\x00\x06\x00\x08\x00\xff\xd8" * 20, Due("PK", "zip"))
whole("utf-16-of-notepad", BASE.encode("utf-16"), Due("", "UTF-16"))
whole("latin-1-of-an-old-editor", BASE.encode("latin-1"), Due("oil_temp", "UTF-8"))
whole("merge-conflict", BASE.replace('site = "north"\n', '<<<<<<< HEAD\nsite = "north"\n=======\nsite = "south"\n>>>>>>> branch\n'),
      Due("<<<<<<<", "merge"))  # fmt: skip
whole("old-macintosh-line-ends", BASE.replace("\n", "\r"), Due("[gateway]", "line"))
whole("tabs-and-windows-line-ends-are-fine-and-the-mistake-is-found",
      BASE.replace('site = "north"', '\tsiet = "north"').replace("\n", "\r\n"), Due("siet", '"site"'))  # fmt: skip
whole("sink-name-twice", BASE.replace("[[device]]\nname = \"press-1\"", '[[sink]]\nname = "central"\nplugin = "mqtt"\nhost = "b2"\n\n[[device]]\nname = "press-1"'),
      Due('#2name = "central"', "taken already"))  # fmt: skip
whole("same-broker-twice", BASE.replace("[[device]]\nname = \"press-1\"", '[[sink]]\nname = "second"\nplugin = "mqtt"\nhost = "broker.plant.local"\ntls = true\n\n[[device]]\nname = "press-1"'),
      Due("#2[[sink]]", "push the other out"))  # fmt: skip
whole(
    "single-and-double-brackets",
    BASE.replace('[[device]]\nname = "oven-1"', '[device]\nname = "oven-1"'),
    Due("[device]\n", "[[device]]"),
)
several("five-at-once", [
    ('site = "north"', 'siet = "north"', '"site"'),
    ('max_size = "2 GiB"', "max_size = 2", "unit"),
    ('host = "broker.plant.local"', 'hosst = "broker.plant.local"', '"host"') if False else ('user = "gw"', 'usre = "gw"', '"user"'),
    ('scan = "1s"', "scan = 1", '"1s"'),
    ('timeout = "5s"', 'timeuot = "5s"', '"timeout"'),
])  # fmt: skip
several("mistakes-of-form-and-of-sense", [
    ('site = "north"', "site = north", 'site = "north"'),
    ('scan = "1s"', 'scna = "1s"', '"scan"'),
])  # fmt: skip

# Templates, spreadsheets, conf.d.
METER = '[gateway]\nname = "g"\n[template.meter]\ndriver = "modbus"\n[template.meter.tags]\np = { address = "40001", type = "uint16" }\n'
ROWS = '[[device]]\ntemplate = "meter"\ndevices_file = "meters.csv"\n'
whole(
    "template-that-there-is-not",
    METER + '[[device]]\nname = "a"\ntemplate = "metre"\nhost = "h"\n',
    Due('template = "metre"', '"meter"'),
)
whole("template-in-double-brackets", METER.replace("[template.meter]", "[[template]]").replace("[template.meter.tags]", "[template.tags]") + DEVICE,
      Due("[[template]]", "[template.meter]"))  # fmt: skip
whole("template-with-a-mistake-for-fifty", METER.replace("address =", "adress =") + ROWS,
      Due("p = {", '"address"'), Due("p = {", "required"),
      meters_DOT_csv="name;host\n" + "".join(f"m{n};10.0.0.{n}\n" for n in range(50)))  # fmt: skip
whole("csv-header-misspelt", METER + ROWS, Due("name;hots", '"host"', "meters.csv"), Due("name;hots", 'column "host" is missing', "meters.csv"),
      meters_DOT_csv="name;hots\nm1;10.0.0.1\nm2;10.0.0.2\n")  # fmt: skip
whole(
    "csv-unit-as-text",
    METER + ROWS,
    Due("m2;", "whole number", "meters.csv"),
    meters_DOT_csv="name;host;unit\nm1;h;1\nm2;h;zwei\n",
)
whole(
    "csv-name-twice",
    METER + ROWS,
    Due("m1;h2", "taken already at meters.csv:2", "meters.csv"),
    meters_DOT_csv="name;host\nm1;h1\nm1;h2\n",
)
whole(
    "csv-row-too-long",
    METER + ROWS,
    Due("m2,h", "3 cells", "meters.csv"),
    meters_DOT_csv="name,host\nm1,h\nm2,h,0,5\n".replace(",0,5", ",5"),
)
whole("csv-not-there", METER + ROWS, Due("devices_file", "no such file"))
whole("csv-empty", METER + ROWS, Due("", "first row", "meters.csv"), meters_DOT_csv="")
whole(
    "csv-with-excel-error",
    METER + ROWS,
    Due("m2", "formula", "meters.csv"),
    meters_DOT_csv="name;host\nm1;h\nm2;#NAME?\n",
)
whole("tags-csv-without-address", BASE.replace("[device.tags]\nzone_1 = { address = \"ns=2;s=Zone1.Temp\" }", 'tags_file = "oven.csv"'),
      Due("name;adress", '"address"', "oven.csv"), Due("name;adress", '"address" is missing', "oven.csv"), oven_DOT_csv="name;adress\nz;ns=2;s=a\n".replace(";s=a", ",s"))  # fmt: skip
whole(
    "conf-d-sets-a-value-again",
    BASE,
    Due("site", "config.toml:3", "conf.d/a.toml"),
    conf_DOT_d__a_DOT_toml='[gateway]\nsite = "south"\n',
)
whole("conf-d-has-the-device-again", BASE, Due('name = "press-1"', "config.toml:17", "conf.d/a.toml"),
      conf_DOT_d__a_DOT_toml=DEVICE.replace('"m"', '"press-1"'))  # fmt: skip
whole("conf-d-two-broken-files", BASE, Due("name = x", '"x"', "conf.d/a.toml"), Due("[[device", "]]", "conf.d/b.toml"),
      conf_DOT_d__a_DOT_toml="[gateway]\nname = x\n", conf_DOT_d__b_DOT_toml="[[device\n")  # fmt: skip


@cache
def plugins() -> Plugins:
    return Plugins()


def told(case: Case, place: Path) -> Sequence[Problem]:
    """What the gateway says of it."""
    for name, content in {"config.toml": case.text, **case.files}.items():
        (place / name).parent.mkdir(mode=0o755, exist_ok=True)
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with chdir(place):
        try:
            load(Path("config.toml"), lambda section: plugins())
        except ConfigError as error:
            return error.problems
    return ()


def lines(case: Case, due: Due) -> set[int]:
    """The lines that are right: "#2…" is the second one with the text."""
    content = case.files.get(due.file, case.text) if due.file != "config.toml" else case.text
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    nth, at = (int(due.at[1]), due.at[2:]) if due.at.startswith("#2") else (1, due.at)
    if not at:
        return {0, 1}
    found = [text.count("\n", 0, place) + 1 for place in _places(text, at)]
    return {found[nth - 1]}


def _places(text: str, at: str) -> Iterator[int]:
    place = text.find(at)
    while place >= 0:
        if (at.startswith("[") and text[place - 1 : place] == "[") or (
            at.startswith("[") and not at.startswith("[[") and text[place - 1 : place] == "["
        ):
            place = text.find(at, place + 1)
            continue
        yield place
        place = text.find(at, place + 1)


@dataclass(slots=True)
class Verdict:
    """How a case went."""

    case: Case
    said: Sequence[Problem]
    line: int = 0
    """How many of its mistakes are told at their line."""
    fix: int = 0
    misleading: list[Problem] = field(default_factory=list)


def judged(case: Case, place: Path) -> Verdict:
    said = told(case, place)
    verdict, left = Verdict(case, said), list(said)
    for due in case.due:
        here = [each for each in left if each.file == due.file and each.line in lines(case, due)]
        verdict.line += bool(here)
        fixed = next((each for each in here if due.fix in str(each)), None)
        verdict.fix += fixed is not None
        if fixed or here:
            left.remove(fixed or here[0])
    verdict.misleading = left
    return verdict


def all_judged() -> list[Verdict]:
    verdicts = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)  # noqa: PTH101
            verdicts.append(judged(case, Path(place)))
    return verdicts


def main() -> int:
    verdicts = all_judged()
    due = sum(len(each.case.due) for each in verdicts)
    for each in verdicts:
        if each.line < len(each.case.due) or each.fix < len(each.case.due) or each.misleading:
            print(f"--- {each.case.name}: due {[(sorted(lines(each.case, d)), d.fix) for d in each.case.due]}")
            print("\n".join(f"    {problem}" for problem in each.said) or "    nothing is told")
    line, fix, bad = (
        sum(values) for values in zip(*((v.line, v.fix, len(v.misleading)) for v in verdicts), strict=True)
    )
    print(
        f"{len(verdicts)} configurations, {due} mistakes: line {line / due:.1%}, fix {fix / due:.1%}, misleading {bad}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
