"""`edge-gateway import`: devices and tags of another gateway's configuration, as ours, and what could not be carried over.

Each module reads one format and hands what it finds to `Import`, which lets nothing through that `check` would refuse.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.cli.frame import toml_text
from gateway.cli.frame.terminal import count, fail
from gateway.cli.importing import ede, ignition, kepware, neuron, nodered, telegraf, thingsboard, tia
from gateway.cli.importing.carried import Import, ImportRefusedError
from gateway.cli.importing.text import decoded
from gateway.core.parsing import doubting
from gateway.core.text import cleaned
from gateway.operate.logs import only_errors
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular

KINDS: dict[str, tuple[str, Callable[..., None]]] = {
    "telegraf": ("telegraf.conf with inputs.modbus, inputs.opcua or inputs.opcua_listener", telegraf.read),
    "thingsboard": ("a connector of the ThingsBoard gateway, modbus.json or opcua.json", thingsboard.read),
    "kepware": ("tags of one Modbus device as CSV; --host says where it is", kepware.read),
    "neuronex": ("tags of one Modbus node of NeuronEX or Neuron as xlsx; --host says where it is", neuron.read),
    "ede": ("objects of BACnet devices as CSV (EDE)", ede.read),
    "ignition": ("tags as JSON, with UDTs", ignition.read),
    "tia": (
        "PLC tags (xlsx, XML, .sdf) or data blocks (.db, .scl, .awl, XML) of the TIA Portal or STEP 7",
        tia.read,
    ),
    "nodered": ("flows as JSON with modbus-read or OpcUa-Item nodes", nodered.read),
}
BINARY = ("neuronex", "tia")
"""Kinds that may be no text."""
LARGEST = 64 * 1024 * 1024
INLINE = 100
"""Tags of a device that stand in the TOML itself, where a CSV could stand beside it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which format, which file, and what the file does not say."""
    kinds = "; ".join(f"{name}: {what}" for name, (what, _) in KINDS.items())
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=kinds)
    parser.add_argument("file", type=Path, metavar="FILE", help="the file of the other gateway")
    output = "write the TOML there, and the tags of large devices as CSV beside it (default: print it)"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=output)
    parser.add_argument(
        "--devices-only", action="store_true", help="without a [gateway] table, to be pasted or for conf.d"
    )
    parser.add_argument(
        "--encoding", metavar="NAME", help="of a text that is not UTF-8 or UTF-16, such as cp949 or latin-1"
    )
    parser.add_argument(
        "--name", default="imported", help="kepware, neuronex, tia, ede: name of the device (default: imported)"
    )
    parser.add_argument(
        "--host", default="192.0.2.1", help="kepware, neuronex, ignition, tia, ede: where the device is"
    )
    parser.add_argument("--port", type=int, default=502, help="kepware, neuronex: its port (default: 502)")
    parser.add_argument("--unit", type=int, default=1, help="kepware: its unit id (default: 1)")
    parser.add_argument(
        "--order", choices=("ABCD", "CDAB", "BADC", "DCBA"), help="byte order of the device, where the file has none"
    )
    udt = "tia: a source of data types (.udt) that the block uses; may be given several times"
    parser.add_argument("--udt", type=Path, action="append", default=[], metavar="FILE", help=udt)
    number = "tia: the number of a data block, which its source does not have; may be given several times"
    parser.add_argument("--db", action="append", default=[], metavar="NAME=NUMBER", help=number)
    symbols = 'tia: as symbols, for transport = "s7commplus", which reads optimized blocks too'
    parser.add_argument("--symbols", action="store_true", help=symbols)
    one_based = "kepware: its zero-based addressing is switched off, so that 400001 is sent as 1"
    parser.add_argument("--not-zero-based", action="store_true", help=one_based)


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when there is a configuration, also where something was left out; 1 when nothing could be made of the file."""
    made = Import()
    try:
        data = read_regular(args.file, LARGEST)
        reads = KINDS[args.kind][1]
        with doubting(lambda reason: ImportRefusedError(f"it is not as {args.kind} writes it: {reason}")):
            reads(data if args.kind in BINARY else decoded(data, args.encoding, made), made, args)
        if not made.devices:
            raise ImportRefusedError(f"no device that could be read was found in it{_why(made)}")
        files = _files(made, args)
        for path in files:
            if path is not None and path.exists():
                raise ImportRefusedError(f"{path} is there already: name another file by -o")
        for path, text in files.items():
            if path is not None:
                write_whole(path, text.encode())
    except ImportRefusedError as error:
        fail(f"{args.file}: {error}")
        return 1
    except OSError as error:
        fail(f"{error.filename or args.file}: {error.strerror}")
        return 1
    _show(args, made, files)
    return 0


def _why(made: Import) -> str:
    return "".join(f"\n  {remark}" for remark in made.remarks[:10])


def _show(args: argparse.Namespace, made: Import, files: dict[Path | None, str]) -> None:
    if args.json:
        told = {
            "devices": len(made.devices),
            "tags": sum(len(device.tags) for device in made.devices.values()),
            "files": [str(path) for path in files if path is not None],
            "toml": files.get(None, ""),
            "left_out": [{"where": remark.where, "what": remark.what} for remark in made.remarks],
        }
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    sys.stdout.write(files.get(None, ""))
    tags = sum(len(device.tags) for device in made.devices.values())
    fail(
        f"{count(len(made.devices), 'device')} with {count(tags, 'tag')}; {count(len(made.remarks), 'thing')} to look at"
    )
    for remark in made.remarks:
        print(f"  {remark}", file=sys.stderr)


def _files(made: Import, args: argparse.Namespace) -> dict[Path | None, str]:
    """The TOML, under None where it is printed, and the CSVs."""
    files: dict[Path | None, str] = {}
    lines = [
        f"# Made by edge-gateway import {args.kind} of {cleaned(args.file.name, 120)}. Look at it, then: edge-gateway check"
    ]
    lines += [f"# {cleaned(remark, 300)}" for remark in made.remarks]
    if not args.devices_only:
        lines += ["", "[gateway]", 'name = "imported"']
    for name, device in made.devices.items():
        options, tags = dict(device.options), device.tags
        if args.output is not None and len(tags) > INLINE:
            path = args.output.with_name(f"{name}.csv")
            options["tags_file"] = path.name
            files[path] = _csv(tags)
            tags = {}
        lines += ["", *toml_text.device(name, device.driver, options, tags)]
    files[args.output] = "\n".join(lines).rstrip("\n") + "\n"
    return files


def _csv(tags: dict[str, dict[str, object]]) -> str:
    columns = list(dict.fromkeys(key for options in tags.values() for key in options))
    rows: list[Sequence[object]] = [["name", *columns]]
    rows += [[name, *(options.get(column, "") for column in columns)] for name, options in tags.items()]
    return "".join(f"{','.join(map(_cell, row))}\n" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"{value[0]}..{value[1]}"
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',";\n\t') else text
