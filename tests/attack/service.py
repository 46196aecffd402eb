"""Services of others, which run within the gateway beside the road: they may fail in any way, and nobody else suffers."""

from textwrap import dedent, indent
from typing import Any

from tests.attack import attacks
from tests.attack.attacks import Site, wait
from tests.attack.plugins import GATEWAY, RAISED

BODY = """
import asyncio, itertools, json, os, sys, time
from gateway.plugin import Declared, Service, ServiceConfig

class Bad(Service[ServiceConfig]):
    def commands(self):
        {commands}
    async def run(self):
        {run}
    async def body(self, by, **arguments):
        {body}
    def see(self, readings, boot_ns):
        {see}
"""
SERVICE = """
[[service]]
name = "{name}"
plugin = "{name}"
"""
USUAL = {
    "commands": 'return {"do": (Declared(), self.body)}',
    "run": "self.host.started(); self.host.observe(self.see); await asyncio.Event().wait()",
    "body": "return {}",
    "see": "pass",
}


def lay(site: Site, services: dict[str, dict[str, str]]) -> None:
    folder = site.folder / "plugins"
    folder.mkdir(parents=True, mode=0o755)
    for name, bodies in services.items():
        filled = {each: indent(dedent(body), " " * 8).strip() for each, body in {**USUAL, **bodies}.items()}
        (folder / f"{name}.py").write_text(BODY.format(**filled))


def services(name: str, says: str, bad: dict[str, dict[str, str]], **more: Any) -> None:
    """An attack by services with these bodies; the command of each is asked for once a second."""
    full = f"service.{name}"
    attacks.ALL[full] = attacks.Attack(
        full,
        says,
        wait,
        lambda _: "".join(SERVICE.format(name=each) for each in bad),
        lambda site: lay(site, bad),
        soak=False,
        gateway=GATEWAY,
        asks=tuple({"command": f"{each}.do"} for each in bad),
        **more,
    )


for _part in ("run", "commands", "body", "see"):
    services(
        f"{_part}-raises",
        f"Nine services whose {_part} raises what ends a careless program: SystemExit, CancelledError, KeyboardInterrupt …",
        {f"bad_{word}": {_part: line} for word, line in RAISED.items()},
    )
services(
    "answers-raise",
    "Commands whose answer is a list without end, and raises on the way: as it is made, and as it is written.",
    {f"bad_{word}": {"body": f"def rows():\n    yield 1\n    {line}\nreturn rows()"} for word, line in RAISED.items()},
)
services(
    "answers-odd",
    "Commands whose answers are no JSON: objects, themselves, keys that raise, a hundred thousand levels, half characters.",
    {
        "bad_object": {"body": "return object()"},
        "bad_itself": {"body": "loop = []; loop.append(loop); return loop"},
        "bad_table": {"body": "loop = {}; loop['a'] = loop; return loop"},
        "bad_keys": {"body": "return {type('K', (), {'__str__': lambda s: sys.exit(3)})(): 1}"},
        "bad_values": {"body": "return {'a': type('V', (str,), {'__str__': lambda s: sys.exit(3)})('\\ud800')}"},
        "bad_deep": {"body": "deep = []\nfor _ in range(100_000): deep = [deep]\nreturn deep"},
        "bad_halves": {"body": "return {'\\ud800': ['\\udfff', 2 ** 5000, float('nan')]}"},
        "bad_endless": {"body": "return itertools.repeat('x' * 1000)"},
        "bad_bytes": {"body": "return iter([b'x', {1, 2}, 1j])"},
    },
)
services(
    "commands-odd",
    "Services that offer commands of no kind: no table, no names, no declaration, the names of others.",
    {
        "bad_none": {"commands": "return None"},
        "bad_numbers": {"commands": "return {1: (Declared(), self.body)}"},
        "bad_single": {"commands": "return {'do': self.body}"},
        "bad_text": {"commands": "return {'do': ('a', 'b')}"},
        "bad_escapes": {"commands": "return {'\\x1b[2J\\ud800\\n' * 1000: (Declared(), self.body)}"},
        "bad_many": {"commands": "return {f'c{n}': (Declared(audited=True), self.body) for n in range(100_000)}"},
        "bad_exits": {
            "commands": "return type('D', (dict,), {'keys': lambda s: sys.exit(3), 'items': lambda s: sys.exit(3)})()"
        },
    },
)
services(
    "deaf",
    "Services that go on whatever is cancelled, in run and in a command.",
    {
        "bad_run": {"run": "while True:\n    try: await asyncio.sleep(3600)\n    except BaseException: pass"},
        "bad_body": {"body": "while True:\n    try: await asyncio.sleep(3600)\n    except BaseException: pass"},
        "bad_waits": {"body": "await asyncio.Event().wait()"},
    },
)
services(
    "outlives-itself",
    "A service that ends at once and leaves tasks behind, which go on observing and saying that it works.",
    {
        "bad": {
            "run": """
            async def on():
                while True:
                    for _ in range(100): self.host.observe(self.see)
                    self.host.started()
                    await asyncio.sleep(0.01)
            Bad.kept = [*getattr(Bad, 'kept', []), asyncio.ensure_future(on())]
            raise OSError('gone')
            """
        }
    },
)
services(
    "cancels",
    "A service that cancels the tasks that it is in: of its run, of a command, of what it observes. That is the task that "
    "reads the device, which is begun again after a second.",
    {
        "bad_run": {"run": "self.host.started()\nasyncio.current_task().cancel()\nawait asyncio.sleep(0)"},
        "bad_body": {"body": "asyncio.current_task().cancel(); return {}"},
        "bad_see": {"see": "asyncio.current_task().cancel(); raise OSError"},
    },
    limit={"gap": 3.0},
)
services(
    "asks-without-end",
    "A service that asks for commands of the gateway all the time, and for what there is not.",
    {
        "bad": {
            "run": """
            from gateway.plugin import Actor
            self.host.started()
            by = Actor('x' * 100_000, None, frozenset(('viewer',)))
            while True:
                for command in ('tags', 'status', 'reload', 'nothing', '\\ud800', 'write', '\\x1b[2J' * 1000):
                    try: await self.host.ask(by, command, {'device': 'press'} if command == 'tags' else {})
                    except Exception: pass
                await asyncio.sleep(0)
            """
        }
    },
)
services(
    "fails-at-length",
    "A service whose errors have a hundred megabytes, escapes, and no words.",
    {
        "bad_giant": {"run": "raise OSError('x' * 100_000_000)"},
        "bad_escapes": {"run": "raise OSError('\\x1b[2J\\ud800\\n' * 5000)"},
        "bad_mute": {"run": "raise type('E', (OSError,), {'__str__': lambda s: 1 / 0, '__repr__': lambda s: 1 / 0})()"},
        "bad_body": {"body": "raise type('E', (OSError,), {'__str__': lambda s: sys.exit(3)})()"},
    },
    limit={"memory": 250 * 1024 * 1024},  # of which the text itself is 95 MiB
)
