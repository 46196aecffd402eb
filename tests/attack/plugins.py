"""Plugins of others, which run within the gateway: they may fail in any way, and nobody else suffers."""

from textwrap import dedent, indent
from typing import Any

from tests.attack import attacks
from tests.attack.attacks import Site, wait

BODY = """
import asyncio, os, sys, time
from gateway.plugin import DeviceConfig, Driver, TagConfig, Tags, Values

class BadTag(TagConfig):
    def value_type(self) -> str:
        return "float64"

class Bad(Driver[DeviceConfig, BadTag]):
    async def connect(self):
        {connect}
    async def read(self, tags):
        {read}
    async def close(self):
        {close}
"""
DEVICE = """
[[device]]
name = "{name}"
driver = "{name}"
scan = "200ms"
[device.tags]
one = {{}}
two = {{}}
"""
GATEWAY = '[gateway]\nname = "system-gw"\nstate_dir = "state"\nplugin_dirs = ["hostile/plugins"]\n'
Bodies = dict[str, str]
"""What connect, read and close do, where it is not the usual."""


def lay(site: Site, drivers: dict[str, Bodies]) -> None:
    folder = site.folder / "plugins"
    folder.mkdir(parents=True, mode=0o755)
    for name, bodies in drivers.items():
        said = {"connect": "pass", "read": "return [1.0 for _ in tags]", "close": "pass", **bodies}
        filled = {each: indent(dedent(body), " " * 8).strip() for each, body in said.items()}
        (folder / f"{name}.py").write_text(BODY.format(**filled))


def plugins(
    name: str,
    says: str,
    drivers: dict[str, Bodies],
    limit: dict[str, float] | None = None,
    table: str = DEVICE,
    **more: Any,
) -> None:
    """An attack by drivers with these bodies, each with a device."""
    full = f"plugins.{name}"
    attacks.ALL[full] = attacks.Attack(
        full,
        says,
        wait,
        lambda _: "".join(table.format(name=each) for each in drivers),
        lambda site: lay(site, drivers),
        soak=False,
        gateway=GATEWAY,
        limit=limit or {},
        **more,
    )


def plugin(name: str, says: str, limit: dict[str, float] | None = None, **bodies: str) -> None:
    plugins(name, says, {"bad": bodies}, limit)


RAISED = {
    "exits": "sys.exit(3)",
    "cancels": "raise asyncio.CancelledError",
    "interrupts": "raise KeyboardInterrupt",
    "leaves": "raise GeneratorExit",
    "odd": "raise type('Odd', (BaseException,), {})('odd')",
    "recurses": "f = lambda: f(); f()",
    "starves": "raise MemoryError",
    "groups": "raise BaseExceptionGroup('two', [SystemExit(1), asyncio.CancelledError()])",
    "stops": "raise StopAsyncIteration",
}
for _part in ("connect", "read", "close"):
    _failing = {} if _part != "close" else {"read": "raise OSError('gone')"}
    plugins(
        f"{_part}-raises",
        f"Nine drivers whose {_part} raises what ends a careless program: SystemExit, CancelledError, KeyboardInterrupt …",
        {f"bad_{word}": {**_failing, _part: line} for word, line in RAISED.items()},
    )

plugin(
    "cancels-its-task",
    "A read that cancels the task in which it runs.",
    read="asyncio.current_task().cancel(); return [1.0, 2.0]",
)
plugin(
    "cancels-all-tasks",
    "A read that cancels every other task of its own coroutine's group it can find by name 'line'.",
    read="""
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task() and 'bad-plugin' in task.get_name():
            task.cancel()
    return [1.0, 2.0]
    """,
)
plugin(
    "swallows-cancellation",
    "A read that goes on whatever is cancelled.",
    read="""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    """,
)
plugin(
    "swallows-in-close",
    "A close that never ends and heeds no cancellation.",
    read="raise OSError('gone')",
    close="""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    """,
)
plugin("never-answers", "A read that never ends.", read="await asyncio.Event().wait()")
BLOCKS_ONCE = """
    Bad.reads = getattr(Bad, "reads", 0) + 1
    if Bad.reads == 10:
        time.sleep(3)
    return [1.0, 2.0]
"""
plugins(
    "blocks-for-3-s",
    "A read that once blocks the loop for three seconds. Nothing can interrupt it there: others wait so long and no longer, "
    "and the log names it. In a process of its own (process-blocks-for-3-s) nobody waits.",
    {"bad": {"read": BLOCKS_ONCE}},
    {"gap": 3.0 + 1.0},
    seconds=7.0,
    named="the event loop is blocked, nothing else goes on by='plugin bad (device bad) at ",
)
plugin("too-many-values", "A read that returns a hundred thousand values for two tags.", read="return [1.0] * 100_000")
plugin(
    "odd-values",
    "Reads that return None, texts, objects, nested lists and themselves.",
    read="""
    import itertools
    self.n = getattr(self, 'n', 0) + 1
    loop = []
    loop.append(loop)
    odd = [None, 'text', [object(), 2 ** 5000], loop, [loop, loop], [float('nan'), 1e999], [b'x', {}], 7, iter([1]), [1.0]]
    return odd[self.n % 10]
    """,
)
plugin(
    "error-without-words",
    "Errors whose text raises.",
    read="raise type('E', (OSError,), {'__str__': lambda s: 1 / 0, '__repr__': lambda s: 1 / 0})()",
)
plugin("giant-error", "An error of a hundred megabytes.", read="raise OSError('x' * 100_000_000)")
plugin(
    "escapes-in-error",
    "An error of escapes, surrogates and line feeds.",
    read="raise OSError('\\x1b[2J\\ud800\\n' * 5000)",
)
plugin(
    "log-storm",
    "A plugin that logs without an end.",
    read="for _ in range(3000): self.log.warning('here I am')\nreturn [1.0, 2.0]",
)
plugin(
    "tasks-without-end",
    "A plugin that starts a thousand tasks at each read, which fail.",
    read="""
    async def fail():
        await asyncio.sleep(0.01)
        raise SystemExit(5)
    self.kept = [asyncio.ensure_future(fail()) for _ in range(100)]
    return [1.0, 2.0]
    """,
)

# In a process of its own a driver may do what nothing within the gateway could be forgiven. Memory is the sum over all
# processes, each of which takes 60 MB by itself.
PROCESS = DEVICE.replace("scan =", 'run_in = "process"\ntimeout = "500ms"\nprocess_memory = "256 MiB"\nscan =')


def processes(name: str, says: str, drivers: dict[str, Bodies], **more: Any) -> None:
    """The same, each driver in a process of its own."""
    plugins(f"process-{name}", says, drivers, {"memory": len(drivers) * 128 * 1024 * 1024}, PROCESS, **more)


processes(
    "blocks",
    "Reads that never end: asleep, asleep with Python's lock, in a search without an end, deaf to cancellation.",
    {
        "bad_sleeps": {"read": "time.sleep(3600)"},
        "bad_holds": {"read": "import ctypes; ctypes.PyDLL(None).sleep(3600)"},
        "bad_searches": {"read": "import re; re.match('(a*)*b', 'a' * 60)"},
        "bad_deaf": {
            "read": "while True:\n    try:\n        await asyncio.sleep(3600)\n    except BaseException:\n        pass"
        },
        "bad_connects": {"connect": "time.sleep(3600)"},
    },
)
processes("blocks-for-3-s", "A read that once blocks for three seconds.", {"bad": {"read": BLOCKS_ONCE}}, seconds=7.0)
processes(
    "dies",
    "Reads that end their process: by os._exit, by a segmentation fault, by a signal, by memory.",
    {
        "bad_exits": {"read": "os._exit(3)"},
        "bad_faults": {"read": "import ctypes; ctypes.string_at(0)"},
        "bad_kills": {"read": "os.kill(os.getpid(), 9)"},
        "bad_hogs": {
            "read": "self.kept = getattr(self, 'kept', []); self.kept.append(b'x' * 50_000_000); return [1.0, 2.0]"
        },
        "bad_closes": {"read": "os.closerange(0, 100)"},
    },
)
processes(
    "pours",
    "Drivers that pour out a gigabyte: to standard output and error, as log, events, errors, and nonsense on the socket.",
    {
        "bad_prints": {"read": "for _ in range(16384): os.write(1, b'x' * 65536)"},
        "bad_shouts": {"read": "for _ in range(16384): os.write(2, b'y' * 65535 + b'\\n')"},
        "bad_logs": {"read": "for _ in range(3000): self.log.warning('here I am ' * 1000)\nreturn [1.0, 2.0]"},
        "bad_tells": {"read": "for _ in range(3000): self.tell('odd')\nreturn [1.0, 2.0]"},
        "bad_fails": {"read": "raise OSError('x' * 100_000_000)"},
        "bad_speaks": {
            "read": "import socket\nout = socket.socket(fileno=int(sys.argv[1]))\nwhile True: out.sendall(b'z' * 65536)"
        },
    },
)
processes(
    "lies",
    "Drivers that answer with columns of wild lengths, types, values and numbers, by hand-made frames too.",
    {
        "bad_long": {"read": "return [1.0] * 1_000_000"},
        "bad_giant": {"read": "return ['x' * 90_000_000, b'y' * 900_000]"},
        "bad_kinds": {"read": "import numpy; return numpy.array([['a', object()]], dtype=object)"},
        "bad_frames": {
            "read": """
            import struct
            for kind in range(256):
                for number in (0, 1, 2, 3, 4, 5, 6, 7, 2 ** 32 - 1):
                    body = struct.pack("<IIIB3x", 1, 2 ** 31, 2 ** 31, 7)
                    os.write(int(sys.argv[1]), struct.pack("<IIB7x", 16 + len(body), number, kind) + body)
            await asyncio.sleep(3600)
            """
        },
        "bad_pickles": {
            "read": """
            import pickle, struct
            body = pickle.dumps((print, ("never",)))
            for number in range(20):
                os.write(int(sys.argv[1]), struct.pack("<IIB7x", 16 + len(body), number, 5) + body)
            await asyncio.sleep(3600)
            """
        },
    },
)
