"""Writes plugins/sparkplug/payload/schema.py: the Sparkplug B schema, as protoc compiles it. Run by hand, when it changes.

    python .ci/sparkplug_schema.py

The schema is Eclipse Tahu's sparkplug_b.proto, the one that chapter 6 of the Sparkplug 3.0 specification prints. Tahu puts no
package with it on an index, so it is taken as protoc's own output, a FileDescriptorProto, out of two packages that hold it;
they must agree to the byte.
"""

import ast
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

SOURCES = ("pysparkplug==0.6.1", "mqtt-spb-wrapper==2.1.2")
TARGET = Path(__file__).parents[1] / "plugins/sparkplug/payload/schema.py"
HEAD = '''\
"""The schema of Sparkplug B payloads, as protoc compiles it. Written by .ci/sparkplug_schema.py; not to be edited.

The schema is sparkplug_b.proto of Eclipse Tahu:

    Copyright (c) 2015, 2018 Cirrus Link Solutions and others

    This program and the accompanying materials are made available under the terms of the Eclipse Public License 2.0 which is
    available at http://www.eclipse.org/legal/epl-2.0.

    SPDX-License-Identifier: EPL-2.0

    Contributors: Cirrus Link Solutions - initial implementation
"""

from typing import Any

from google.protobuf import descriptor_pool, message_factory

_FILE = (
'''
TAIL = """\
)

_POOL = descriptor_pool.DescriptorPool()  # of its own: another plugin may bring the same schema
_POOL.AddSerializedFile(_FILE)
_FOUND = _POOL.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload")

Payload: Any = message_factory.GetMessageClass(_FOUND)
"""


def compiled(package: str, folder: Path) -> bytes:
    """The schema as a package of an index holds it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("/sparkplug_b_pb2.py")]
        tree = ast.parse(archive.read(name))
    (found,) = [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile"
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, bytes)
    ]
    return found


def module(schema: bytes) -> str:
    """The text of the module."""
    rows = [repr(schema[at : at + 20]) for at in range(0, len(schema), 20)]
    return HEAD + textwrap.indent("\n".join(rows), "    ") + "\n" + TAIL


def main() -> None:
    schemas = []
    for package in SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            schemas.append(compiled(package, Path(folder)))
    if len(set(schemas)) != 1:
        sys.exit(f"{' and '.join(SOURCES)} hold different schemas")
    file = FileDescriptorProto.FromString(schemas[0])
    TARGET.write_text(module(schemas[0]), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(TARGET)], check=True)
    print(f"{TARGET.name}: {file.name} of {file.package}, {len(schemas[0])} bytes")


if __name__ == "__main__":
    main()
