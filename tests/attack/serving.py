"""Listens for the gateway and gives each connection to an attack, in a thread."""

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from tests.attack.attacks import Link

AT_ONCE = 64
"""Connections that are served at a time; further ones wait."""


def serve(ports: Sequence[int], attack: Callable[[Link], None]) -> None:
    """Until the process is ended."""
    threads = [threading.Thread(target=_listen, args=(port, number, attack)) for number, port in enumerate(ports)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


def _listen(port: int, number: int, attack: Callable[[Link], None]) -> None:
    room = threading.Semaphore(AT_ONCE)
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            room.acquire()
            threading.Thread(target=_serve, args=(Link(sock, number), attack, room), daemon=True).start()


def _serve(link: Link, attack: Callable[[Link], None], room: threading.Semaphore) -> None:
    try:
        with link.sock, contextlib.suppress(OSError, EOFError):
            attack(link)
    finally:
        room.release()
