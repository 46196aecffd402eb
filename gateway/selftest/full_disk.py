"""A disk that takes nothing, and one that is full."""

import asyncio
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.core.record import Kind, Lane, Record
from gateway.outbox import Reader
from gateway.outbox.format import IntervalSet
from gateway.selftest.check import Check, Progress
from gateway.selftest.logs import ROWS, bind, block, event, number_of, opened
from gateway.selftest.process import AccountsSaid, BalanceSaid, SaidLine, answer
from gateway.status import rendered

_RECORDS = 10_000
_TMPFS = 3 * 1024 * 1024
_DEADLINE = 120.0
_MOUNTED = ("unshare", "--user", "--mount", "--map-root-user", "sh", "-c")


def quota(directory: Path, progress: Progress) -> Check:
    """Files may not grow by a byte for a while: everything waits in memory, and nothing is lost."""
    check = Check("a disk that refuses writes for a while")
    progress(check.name, 0, 1)
    said = _told(check, ["quota", str(directory / "quota"), str(_RECORDS)], directory)
    if said is not None:
        check.figures = {"records accepted": said["records"], "writes refused": "yes" if said["refused"] else "no"}
        check.expect(said["refused"], "no write was refused: the check proves nothing here")
        check.expect(said["complete"], "not all records were delivered, once each and in order")
        _balanced(check, said["balance"], said["records"] * ROWS)
    return check.done()


def full(directory: Path, progress: Progress) -> Check:
    """A real full disk, as small as it can be had: a memory disk of a few MiB in a namespace of its own."""
    check = Check("a full disk")
    progress(check.name, 0, 1)
    place = directory / "full"
    place.mkdir()
    mount = [*_MOUNTED, f'mount -t tmpfs -o size={_TMPFS} tmpfs "$0" && exec "$@"', str(place)]
    if not _may_mount(mount):
        check.note = "not tried: this user may not mount a small disk (unshare --user --mount)"
        return check.done()
    check.note = f"on a memory disk of {_TMPFS // 2**20} MiB"
    said = _told(check, ["full", str(place / "log"), "60000"], directory, mount)
    if said is not None:
        _judge_full(check, said)
    return check.done()


def _judge_full(check: Check, said: SaidLine) -> None:
    found = said["accounts"]
    check.figures = {
        "records offered": said["offered"],
        "delivered": found["delivered"],
        "given up, oldest first": found["given_up"],
        "not accepted": said["turned_away"] // ROWS,
        "loss records": found["losses"],
    }
    check.expect(found["given_up"] > 0, "nothing was given up: the check proves nothing here")
    check.expect(not found["unnamed"], f"{found['unnamed']} records are gone, and no loss record names them")
    check.expect(found["oldest_first"], "newer records were given up before older ones")
    check.expect(found["events"], "an event was given up before readings were")
    accepted = (found["delivered"] + found["given_up"]) * ROWS
    _balanced(check, found["balance"], accepted)
    check.expect(
        accepted + said["turned_away"] == said["offered"] * ROWS,
        "accepted and not accepted do not add up to what was offered",
    )


def _may_mount(mount: list[str]) -> bool:
    if shutil.which(mount[0]) is None:
        return False
    return subprocess.run([*mount, "true"], capture_output=True, check=False).returncode == 0


def _told(check: Check, arguments: list[str], directory: Path, before: Sequence[str] = ()) -> SaidLine | None:
    told = answer(arguments, directory, _DEADLINE, before)
    if isinstance(told, str):
        check.fail(told)
        return None
    return told[-1]


def _balanced(check: Check, balance: BalanceSaid, accepted: int) -> None:
    said = balance["acknowledged"] + balance["pending"] + sum(balance["dropped"].values())
    check.expect(balance["accepted"] == accepted, f"accepted: {balance['accepted']} readings, and should be {accepted}")
    check.expect(said == balance["accepted"], f"the balance does not add up: {balance}")


# In the child:


async def run_into_quota(directory: Path, records: int) -> SaidLine:
    """Offer records, in the middle of it to files that may not grow by a byte; then lift that, and take all of them."""
    async with opened(directory) as outbox:
        device, reader = bind(outbox), outbox.reader("prompt", "strict")
        await _offer(range(records // 4), lambda number: outbox.append(block(device, number)))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        await _offer(range(records // 4, records), lambda number: outbox.append(block(device, number)))
        refused = await within(lambda: outbox.status().disk != "ok", 30)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await outbox.written_out(60)
        taken = await _take_all(reader)
        values = [number_of(record) for record in taken if record.kind is Kind.READINGS]
        balance = reader.status().lanes["data"]
    return {
        "records": records,
        "refused": refused,
        "complete": values == list(range(records)),
        "balance": rendered(balance),
    }


async def fill_up(directory: Path, records: int) -> SaidLine:
    """Offer more than the disk holds while the sink takes nothing, then take what is left."""
    async with opened(directory) as outbox:
        device, reader = bind(outbox), outbox.reader("prompt", "strict")
        for number in range(10):
            outbox.append_event(event(number))
        await _offer(range(records), lambda number: outbox.append(block(device, number)))
        await outbox.written_out(60)
        taken = await _take_all(reader)
        return {
            "offered": records,
            "turned_away": outbox.status().room.not_accepted,
            "accounts": _accounts(taken, reader),
        }


def _accounts(taken: list[Record], reader: Reader) -> AccountsSaid:
    data = [record for record in taken if record.kind is Kind.READINGS]
    losses = [record.body for record in taken if record.kind is Kind.LOSS and record.body is not None]
    named = IntervalSet()
    for body in losses:
        for low, high in body["ranges"] if body["lane"] == Lane.DATA.word else ():
            named.add(low, high + 1)
    seqs = IntervalSet((record.seq, record.seq + 1) for record in data)
    gone = seqs.missing(1, seqs.end)
    return {
        "delivered": len(data),
        "given_up": named.count,
        "losses": len(losses),
        "unnamed": sum(high - low for low, high in gone if not named.covers(low, high)),
        "oldest_first": all(high <= data[0].seq for _, high in named.pairs()) if data else True,
        "events": [number_of(record) for record in taken if record.kind is Kind.EVENT] == list(range(10)),
        "balance": rendered(reader.status().lanes["data"]),
    }


async def _offer(numbers: range, put: Callable[[int], None]) -> None:
    for number in numbers:
        put(number)
        if number % 100 == 99:
            await asyncio.sleep(0.001)


async def within(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to hold in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        if loop.time() > end:
            return False
        await asyncio.sleep(0.01)
    return True


async def _take_all(reader: Reader) -> list[Record]:
    taken: list[Record] = []
    while any(reader.pending.values()):
        async with asyncio.timeout(30):
            await reader.wait()
        records = await reader.take(1000)
        reader.acknowledged(records)
        taken += records
    return taken
