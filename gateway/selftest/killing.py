"""kill -9 at random moments under load: no accepted record is lost, no number names two things, no start is refused."""

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.core.errors import GatewayError
from gateway.core.record import Lane
from gateway.outbox.format import IntervalSet
from gateway.outbox.inspect import LogFiles, verify, verify_receipts
from gateway.outbox.receipts import kept
from gateway.selftest.check import Check, Progress
from gateway.selftest.logs import CLOCK, ROWS, SINKS
from gateway.selftest.process import STARTED, BalanceSaid, Child, SaidLine, answer, child
from gateway.selftest.runs import Named

_SHORT_LIFE = (0.005, 0.25)
_LONG_LIFE = (1.0, 2.5)
"""Long enough that the log writes cursors and removes files, which it does every second."""
_OPENING = (0.0, 0.02)
_WORK = (50, 300)
"""Records that a life accepts before it may be killed, so that a slow machine proves as much as a quick one."""
_DRAIN = 300.0
_DAY_NS = 86_400_000_000_000


class Ledger:
    """What the far side of every sink knows. Fed with what the children say."""

    def __init__(self) -> None:
        self.named = {lane.word: Named() for lane in Lane}
        self.next = {lane.word: 0 for lane in Lane}
        """One above the greatest value that was accepted."""
        self.delivered = {sink: {lane.word: IntervalSet() for lane in Lane} for sink in SINKS}
        """Values that the sink has acknowledged."""
        self.logs: set[str] = set()
        self.balances: Mapping[str, Mapping[str, BalanceSaid]] = {}

    def take(self, said: SaidLine) -> None:
        """Take one line."""
        if "started" in said:
            self.logs.add(said["started"])
        for lane, found in said.get("got", {}).items():
            for seq, value, count in found:
                self.named[lane].add((seq, value, count))
                self.next[lane] = max(self.next[lane], value + count)
        for lane, found in said.get("done", {}).items():
            for _, value, count in found:
                self.delivered[said["sink"]][lane].add(max(0, value), max(0, value + count))
        self.balances = said.get("balances", self.balances)

    def judge(self, check: Check) -> None:
        """After everything was drained."""
        check.expect(len(self.logs) == 1, f"the log changed its id: {sorted(self.logs)}")
        for lane in Lane:
            named = self.named[lane.word]
            check.add("records accepted", named.count)
            check.add("numbers reused", named.reused)
            if named.reused:
                check.fail(f"{named.reused} numbers of lane {lane.word} name two things", named.reused)
            for sink in SINKS:
                self._judge_sink(check, sink, lane)

    def _judge_sink(self, check: Check, sink: str, lane: Lane) -> None:
        missing = self.delivered[sink][lane.word].missing(0, self.next[lane.word])
        lost = sum(high - low for low, high in missing)
        check.add("accepted records lost", lost)
        if lost:
            check.fail(f"{sink}: {lost} accepted records of lane {lane.word} are gone: {missing[:5]}", lost)
        balance = self.balances.get(sink, {}).get(lane.word)
        accepted = self.named[lane.word].count * (ROWS if lane is Lane.DATA else 1)
        expected = {"accepted": accepted, "acknowledged": accepted, "pending": 0, "dropped": {}}
        said = {key: balance and balance.get(key) for key in expected}
        check.add("balances exact to the reading", said == expected)
        check.expect(said == expected, f"{sink}: the balance of lane {lane.word} is {said}, and should be {expected}")


def kill_loop(directory: Path, cycles: int, chance: random.Random, progress: Progress) -> Check:
    """The check; the log is made in `directory`."""
    check = Check("kill -9 under load")
    check.figures = {"kills": 0, "kills while it started": 0, "starts refused": 0}
    ledger = Ledger()
    log = directory / "killed"
    for cycle in range(cycles):
        progress(check.name, cycle, cycles)
        _live(log, ledger, check, chance, early=cycle > 0 and chance.random() < 0.2)
        _verify(log, check, cycle)
    _drain(log, ledger, check)
    ledger.judge(check)
    _judge_receipts(log, ledger.named[Lane.DATA.word].count, check)
    return check.done()


def _live(log: Path, ledger: Ledger, check: Check, chance: random.Random, *, early: bool) -> None:
    """One life: from the start to a kill at a random moment, `early` while it still starts."""
    number, event = ledger.next[Lane.DATA.word], ledger.next[Lane.ALARM.word]
    wanted = number + chance.randint(*_WORK)
    with child(["write", str(log), str(number), str(event)], log.parent) as running:
        started = running.wait_until(lambda said: bool(said) if early else _accepted(said) >= wanted)
        time.sleep(_life(chance, early))
        ended = running.process.poll() is not None
        running.kill()
        if ended or not started:
            check.add("starts refused", 1)
            check.fail(f"{_what_was_wrong(running, ended)}: {running.complaint()}; of {wanted}: {running.heard()[-1:]}")
        check.add("kills while it started" if early else "kills", 1)
        for said in running.heard():
            ledger.take(said)


def _what_was_wrong(running: Child, ended: bool) -> str:
    if ended:
        return f"a start was refused, or the process ended by itself with code {running.process.returncode}"
    return f"the process did not get as far as wanted within {STARTED:g} s"


def _accepted(said: Sequence[SaidLine]) -> int:
    """One above the greatest value that a sink was handed."""
    return max((value + count for each in said for _, value, count in each.get("got", {}).get("data", ())), default=0)


def _life(chance: random.Random, early: bool) -> float:
    if early:
        return chance.uniform(*_OPENING)
    return chance.uniform(*(_LONG_LIFE if chance.random() < 0.15 else _SHORT_LIFE))


def _verify(log: Path, check: Check, cycle: int) -> None:
    try:
        found = verify(LogFiles(log))
    except GatewayError as error:
        if cycle:
            check.fail(str(error))
        return
    for problem in found.problems:
        check.fail(f"after kill {cycle + 1}: {problem}")


def _judge_receipts(log: Path, records: int, check: Check) -> None:
    """The receipts of all lives together count every record once; where their records are still there, the hashes match."""
    receipts = kept(log / "receipts", 0, CLOCK.wall_ns() + _DAY_NS)
    counted = sum(receipt["records"] for receipt in receipts)
    readings = sum(receipt["readings"] for receipt in receipts)
    wrong = [found.words for found in verify_receipts(LogFiles(log), receipts, lambda _: None) if found.wrong]
    check.figures |= {"receipts": len(receipts), "records in them": counted}
    expected = (records, records * ROWS)
    said = (counted, readings)
    check.expect(said == expected, f"the receipts count {said} records and readings, and there are {expected}")
    check.expect(
        not any(receipt["incomplete"] for receipt in receipts), "a receipt is incomplete, and nothing was damaged"
    )
    check.expect(not wrong, f"{len(wrong)} receipts do not match the log: {wrong[:1]}")


def _drain(log: Path, ledger: Ledger, check: Check) -> None:
    told = answer(["drain", str(log)], log.parent, _DRAIN)
    if isinstance(told, str):
        check.fail(f"what was left could not be read: {told}")
        return
    for said in told:
        ledger.take(said)
