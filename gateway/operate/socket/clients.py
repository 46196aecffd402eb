"""Who is connected to the control socket, and who has to go when there is no more room.

A place is held from connect to the last byte of the answer. When all are taken, whoever has been the slowest to ask or to
read loses his to the one who comes, among the users who hold the most of them: nobody locks another user out. A command that
runs is never broken off. Root and the gateway's own user have some places that no one else gets.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

PLACES = 32
RESERVED = 8
"""Places beyond those, for root and the gateway's own user."""
RUNNING = 8
"""Commands of one user that run at the same time, of those that wait for a device or a disk; further ones wait."""
HELD = 32 * 1024 * 1024
"""Bytes of answers that are not taken yet, of all clients together."""


@dataclass(eq=False, slots=True)
class Client:
    """A connection that has a place."""

    uid: int
    task: asyncio.Task[None]
    moved: float
    """When it last sent or took something (the loop's time)."""
    running: bool = False
    held: int = 0
    """Bytes of its answer that it has not taken."""
    put_out: bool = False


class Clients:
    """All connections that have a place."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._turns: dict[int, asyncio.Semaphore] = {}
        self._favoured = {0, os.geteuid()}

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def held(self) -> int:
        """Bytes of answers that are not taken yet."""
        return sum(client.held for client in self._clients)

    def tasks(self) -> list[asyncio.Task[None]]:
        """One for each connection."""
        return [client.task for client in self._clients]

    def admit(self, uid: int, task: asyncio.Task[None]) -> Client | None:
        """Give it a place, or None when all are taken by commands that run."""
        places = PLACES + (RESERVED if uid in self._favoured else 0)
        if len(self._clients) >= places and not self._make_room(uid):
            return None
        client = Client(uid, task, asyncio.get_running_loop().time())
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """It is gone."""
        self._clients.discard(client)
        if not any(other.uid == client.uid for other in self._clients):
            self._turns.pop(client.uid, None)

    @asynccontextmanager
    async def turn(self, client: Client) -> AsyncIterator[None]:
        """While its command runs."""
        async with self._turns.setdefault(client.uid, asyncio.Semaphore(RUNNING)):
            client.running = True
            try:
                yield
            finally:
                client.running = False
                client.moved = asyncio.get_running_loop().time()

    def hold(self, client: Client, size: int) -> bool:
        """Keep so many bytes for it until it takes them; others who do not take theirs have to go for that. False for more
        than may be held at all."""
        if size > HELD:
            return False
        client.held = size
        while self.held > HELD:
            self._put_out(min((other for other in self._clients if other.held and other is not client), key=_since))
        return True

    def _make_room(self, uid: int) -> bool:
        places = Counter(client.uid for client in self._clients)
        idle = [client for client in self._clients if not client.running and places[client.uid] >= places[uid]]
        if not idle:
            return False
        self._put_out(min(idle, key=lambda client: (-places[client.uid], client.moved)))
        return True

    def _put_out(self, client: Client) -> None:
        client.put_out = True
        client.held = 0
        client.task.cancel()
        self._clients.discard(client)


def _since(client: Client) -> float:
    return client.moved
