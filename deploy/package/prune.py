"""What of the Python packages is of no use on a plant's PC is left out: half of their size.

Left out are files that no import of the gateway reaches: other packages' tests, headers, sources of compiled modules, the
parts of onnxruntime that convert and quantise models, its library for programs in C, the time zones that the system has
itself, the packages' pages on the index, and from compiled modules what only debuggers read. Licence texts stand in one
file, the package's `copyright`.
"""

import shutil
import struct
import zipfile
import zlib
from pathlib import Path

UNUSED = ("flatbuffers", "packaging", "pycparser")
"""Packages and their folders, that onnxruntime and cffi want for what was left out."""
PACKED = {"asyncua/server/standard_address_space": "*_services_*.py", "pydantic/v1": "**/*.py", "pymodbus": "**/*.py"}
"""Folders of which such modules stay as they are, but in an archive, a fifth of their size or less: only the servers of
`edge-gateway demo` read them, or nobody; they are not compiled at the installation either."""
TABLES = "asyncua/ua/object_ids.py"
"""A module of 30,000 assignments."""
FOLDERS = (
    "onnxruntime/backend", "onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools",
    "onnxruntime/transformers", "numpy/_pyinstaller", "numpy/distutils", "numpy/f2py", "numpy/_core/include",
    "numpy/_core/lib", "numpy/random/_examples", "numpy/testing", "cffi", "pytz/zoneinfo", "tzdata/zoneinfo", "bin",
)  # fmt: skip
SUFFIXES = (".a", ".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")
FILES = (
    "onnxruntime/capi/libonnxruntime.so.*", "onnxruntime/ThirdPartyNotices.txt", "numpy/_core/_*_tests.*.so",
    "numpy/_core/_simd.*.so", "numpy/**/conftest.py", "anyio/_backends/_trio.py", "anyio/pytest_plugin.py",
    "asyncua/sync.py", "asyncua/tools.py", "click/testing.py", "pydantic/mypy.py", "starlette/testclient.py", ".lock",
)  # fmt: skip
OF_INSTALLERS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
"""What pip and uv note for themselves, and what would not be true any more: dpkg knows the files."""
WORTH = 100_000
"""Bytes to be saved from which on a compiled module is shortened."""


def leave_out_unused(site: Path) -> None:
    """Take whole packages out of a folder of installed ones."""
    for name in UNUSED:
        for path in [site / name, *site.glob(f"{name}-*.dist-info")]:
            shutil.rmtree(path, ignore_errors=True)


def prune(site: Path) -> None:
    """Take parts out of what is installed in a folder; licences too, which must have been collected before."""
    for folder in FOLDERS:
        shutil.rmtree(site / folder, ignore_errors=True)
    for folder in [path for path in site.rglob("tests") if path.is_dir() and "gateway" not in path.parts]:
        shutil.rmtree(folder)
    for pattern in FILES:
        for path in list(site.glob(pattern)):
            path.unlink()
    for name, pattern in PACKED.items():
        pack(site / name, pattern)
    tabulate(site / TABLES)
    for path in [path for path in site.rglob("*") if path.suffix in SUFFIXES and not path.is_symlink()]:
        path.unlink()
    for folder in site.glob("*.dist-info"):
        prune_metadata(folder)
    for path in site.rglob("*.so*"):
        shorten(path)
    for path in site.rglob("*"):  # wheels bring modes of those who made them
        path.chmod(0o755 if path.is_dir() or ".so" in path.suffixes else 0o644)


def prune_metadata(folder: Path) -> None:
    """Of one package leave what importlib.metadata tells."""
    for name in OF_INSTALLERS:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "licenses", ignore_errors=True)
    metadata = folder / "METADATA"  # headers, and behind an empty line the project's page on the index
    metadata.write_text(metadata.read_text(encoding="utf-8").partition("\n\n")[0] + "\n", encoding="utf-8")


def pack(folder: Path, pattern: str) -> None:
    """Move a package's own modules into an archive, where Python imports them from as well (PEP 273)."""
    archive, init = folder / "modules.zip", folder / "__init__.py"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted({*folder.glob(pattern)} - {init}):
            zipped.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes(), zipfile.ZIP_DEFLATED)
            path.unlink()
    init.write_text(f'__path__.append(__path__[0] + "/{archive.name}")\n{init.read_text()}')


def tabulate(module: Path) -> None:
    """Make a module of a class of numbers, and a dict with their names, of a table that is a fiftieth of its size."""
    names: dict[str, object] = {}
    exec(compile(module.read_bytes(), module, "exec"), names)
    ids = {name: number for name, number in vars(names["ObjectIds"]).items() if not name.startswith("__")}
    assert names["ObjectIdNames"] == {number: name for name, number in ids.items()}, f"{module} is not as it was"
    table = f"{' '.join(ids)}\n{' '.join(map(str, ids.values()))}"
    module.with_suffix(".z").write_bytes(zlib.compress(table.encode(), 9))
    module.write_text(TABLE)


TABLE = '''\
"""The ids of OPC UA's own nodes by their names, and the reverse, as asyncua has them; from a table."""

import zlib
from pathlib import Path

_names, _numbers = zlib.decompress(Path(__file__).with_suffix(".z").read_bytes()).decode().split("\\n")
ObjectIds = type("ObjectIds", (), dict(zip(_names.split(), map(int, _numbers.split()))))
ObjectIdNames = dict(zip(map(int, _numbers.split()), _names.split()))
'''


def shorten(path: Path) -> None:
    """Cut symbols and debugging data off a 64-bit shared library, all that follows its last segment: the loader goes by the
    segments (ELF, System V ABI, chapter 5), for whichever processor it is."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return
    table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    end = table + size * count
    for at in range(table, table + size * count, size):
        offset, _, _, in_file = struct.unpack_from("<QQQQ", data, at + 8)
        end = max(end, offset + in_file)
    if len(data) - end < WORTH:
        return
    short = bytearray(data[:end])
    struct.pack_into("<Q", short, 40, 0)  # no section headers
    struct.pack_into("<HH", short, 60, 0, 0)
    path.write_bytes(short)
