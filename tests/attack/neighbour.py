"""Who sits on the same machine, or belongs to the group, and asks at the control socket."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.attack.attacks import Site, beside
from tests.system.plant import modbus

SECONDS = 60
"""After which each of these ends by itself."""


def large(_: Site) -> str:
    """A device with 3,000 tags, so that answers are large."""
    tags = "\n".join(f'tag_{n} = {{ wave = "text", texts = ["{"x" * 100}"] }}' for n in range(3000))
    return f'\n[[device]]\nname = "large"\ndriver = "simulated"\nscan = "10s"\n[device.tags]\n{tags}\n'


def dial(site: Site) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(str(site.socket))
    return sock


def ask(site: Site, request: bytes) -> bytes:
    with dial(site) as sock, contextlib.suppress(OSError):
        sock.sendall(request)
        answer = b""
        while more := sock.recv(1 << 16):
            answer += more
        return answer
    return b""


def ending() -> Callable[[], bool]:
    end = time.monotonic() + SECONDS
    return lambda: time.monotonic() < end


def together(count: int, work: Callable[[], None]) -> None:
    """Do it in so many threads, again and again."""

    def again() -> None:
        going = ending()
        while going():
            with contextlib.suppress(OSError):
                work()

    threads = [threading.Thread(target=again, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def open_many() -> None:
    """Let this process have as many files as it may."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@beside(large, seconds=8.0)
def answers_not_read(site: Site) -> None:
    """Clients that ask for all tags and never read the answer, ten more each tenth of a second, at most a thousand."""
    open_many()
    kept = []
    going = ending()
    while going():
        for _ in range(10):
            with contextlib.suppress(OSError):
                sock = dial(site)
                sock.sendall(b'{"command": "tags"}\n')
                kept.append(sock)
        del kept[:-1000]
        time.sleep(0.1)


@beside(large, seconds=8.0)
def answers_read_by_bytes(site: Site) -> None:
    """Forty clients that ask for all tags and read a byte in a while."""

    def read() -> None:
        with dial(site) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.sendall(b'{"command": "tags"}\n')
            while sock.recv(1):
                time.sleep(0.2)

    together(40, read)


@beside(seconds=8.0)
def slow_askers(site: Site) -> None:
    """Sixty-four clients that send their request byte by byte."""

    def drip() -> None:
        with dial(site) as sock:
            for byte in b'{"command": "status"}' * 100:
                sock.sendall(bytes([byte]))
                time.sleep(0.3)

    together(64, drip)


@beside(seconds=8.0)
def silent_askers(site: Site) -> None:
    """A thousand connections that say nothing, made anew when they end."""
    open_many()

    def sit() -> None:
        with dial(site) as sock:
            sock.recv(1)

    together(500, sit)


def silent(site: Site) -> str:
    return modbus("silent", site.ports[0], scan='"1s"', timeout='"20s"')


@beside(silent, seconds=8.0)
def readers_of_a_silent_device(site: Site) -> None:
    """Sixty-four clients that want to read a device which takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", site.ports[0]), backlog=64)
    request = b'{"command": "read", "arguments": {"device": "silent", "tags": ["tag_00"]}}\n'
    together(64, lambda: ask(site, request) and None)
    listener.close()


@beside()
def connect_storm(site: Site) -> None:
    """Connections that are made and closed, as fast as four threads can."""
    together(4, lambda: dial(site).close())


@beside(large)
def status_storm(site: Site) -> None:
    """Eight clients that ask for status and tags as fast as they can."""
    together(8, lambda: [ask(site, b'{"command": "%s"}\n' % each) for each in (b"status", b"tags")] and None)


@beside()
def requests_without_end(site: Site) -> None:
    """Requests of a megabyte and more, without an end of the line."""

    def pour() -> None:
        with dial(site) as sock:
            for _ in range(1000):
                sock.sendall(b"[" * 65536)

    together(8, pour)


@beside()
def deep_requests(site: Site) -> None:
    """Requests nested 200,000 deep, in every place of a request."""
    deep = b"[" * 200_000 + b"]" * 200_000
    table = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    forms = [b"%s\n", b'{"command": %s}\n', b'{"command": "status", "arguments": %s}\n']
    requests = [form % each for form in forms for each in (deep, table)]
    requests += [b'{"command": "tags", "arguments": {"device": %s}}\n' % deep]
    together(2, lambda: [ask(site, each) for each in requests] and None)


ODD = [
    None, True, -1, 0, 1e308, -1e308, 2**63, 2**64, 10**400, "", " ", "x" * 5000, "\0", "..", "/etc/passwd", "press",
    "\ud800", "press/tag_00", "../" * 50, [], [[]], [None], {}, {"a": {}}, [1, "2"], "\x1b[2J\n", "NaN", float("nan"),
    float("inf"), "9" * 4400,
]  # fmt: skip


@beside(large)
def odd_arguments(site: Site) -> None:
    """Every command that the gateway names, with arguments of every odd kind; at the end none has changed anything."""
    known = json.loads(ask(site, b'{"command": "?"}\n'))["error"].partition("knows: ")[2].split(", ")
    names = [
        "device", "name", "tag", "tags", "reason", "why", "id", "who", "value", "address", "count", "target", "method",
        "object", "arguments", "seconds", "comment", "sink", "lane", "first", "last", "options", "since", "until", "limit",
    ]  # fmt: skip
    source = random.Random(8)

    def odd() -> None:
        chosen = source.sample(names, source.randrange(0, 6))
        arguments = {each: source.choice(ODD) for each in chosen}
        request = json.dumps({"command": source.choice(known), "arguments": arguments})
        ask(site, request.encode("utf-8", "surrogatepass") + b"\n")

    together(4, odd)


@beside()
def odd_bytes(site: Site) -> None:
    """Requests of random bytes, of half a UTF-8 letter, of NUL, of numbers of 100,000 digits."""
    source = random.Random(9)
    digits = b'{"command": "status", "arguments": {"x": ' + b"9" * 100_000 + b"}}\n"
    together(
        4,
        lambda: (
            [ask(site, each) for each in (source.randbytes(3000) + b"\n", digits, b"\xc3\n", b"\0" * 9000)] and None
        ),
    )


@beside(large)
def reload_storm(site: Site) -> None:
    """Two members of the group who reload a configuration that changes each time."""
    before = site.config.read_text()
    count = iter(range(10**9))

    def reload() -> None:
        changed = before.replace("x" * 100, f"{next(count):0100d}")
        new = site.config.with_suffix(f".{threading.get_ident()}")
        new.write_text(changed)
        new.replace(site.config)
        ask(site, b'{"command": "reload"}\n')

    together(2, reload)


@beside(soak=False, seconds=8.0)
def reload_of_what_is_no_file(site: Site) -> None:
    """Reloads while the configuration is a FIFO, a link to zeros, 60 MB of tables, or nested 100,000 deep."""
    good = site.config.read_bytes()
    kinds: list[Callable[[], object]] = [
        lambda: os.mkfifo(site.config),
        lambda: site.config.symlink_to("/dev/zero"),
        lambda: site.config.symlink_to(site.config.name),
        site.config.mkdir,
        lambda: site.config.write_bytes(good + b'[[device]]\nname = "x"\n' * 3_000_000),
        lambda: site.config.write_bytes(good + b"x = " + b"[" * 100_000),
        lambda: site.config.write_bytes(good + b"x = " + b"{a=" * 100_000),
        lambda: site.config.write_bytes(b"x" + b".x" * 100_000 + b" = 1\n"),
        lambda: site.config.write_bytes(good + b"x = " + b"9" * 200_000 + b"\n"),
        lambda: site.config.write_bytes(good + b"\xb0C = 1\n"),
    ]
    going = ending()
    while going():
        for kind in kinds:
            site.config.rmdir() if site.config.is_dir() else site.config.unlink()
            kind()
            with contextlib.suppress(OSError):
                dial(site).sendall(b'{"command": "reload"}\n')
            time.sleep(0.6)


def daemon_pid(site: Site) -> int:
    with dial(site) as sock:
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


@beside(soak=False)
def no_more_files(site: Site) -> None:
    """The gateway may open no further file; then clients come all the same."""
    pid = daemon_pid(site)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, most))
    together(30, lambda: dial(site).close() or time.sleep(0.05))


@beside(soak=False, seconds=8.0)
def state_removed(site: Site) -> None:
    """The state folder is removed while the gateway runs: what is read goes out from memory."""
    shutil.rmtree(site.state, ignore_errors=True)
    time.sleep(SECONDS)


@beside(soak=False)
def state_emptied_again_and_again(site: Site) -> None:
    """The files of the state folder are removed and cut to nothing, again and again."""
    going = ending()
    while going():
        for path in sorted(site.state.rglob("*"), key=lambda _: random.random()):
            with contextlib.suppress(OSError):
                path.unlink() if random.random() < 0.5 else os.truncate(path, 0)
        time.sleep(0.1)


@beside()
def signals(site: Site) -> None:
    """SIGHUP and SIGWINCH a hundred times a second."""
    pid = daemon_pid(site)
    going = ending()
    while going():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)
            os.kill(pid, signal.SIGWINCH)
        time.sleep(0.01)
