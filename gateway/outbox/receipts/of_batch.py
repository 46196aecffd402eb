"""What the receipts of one production batch come to. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_COUNTS = ("records", "readings", "not_accepted", "missed_polls")


def batch_receipt(
    batch: str, receipts: Sequence[Mapping[str, Any]], counted_ns: int, *, is_open: bool, is_over: bool
) -> dict[str, Any]:
    """The batch as a whole, and by device. `receipts`: those that name it, at least one, oldest first; an account with
    something pending may say `pending_from`, since when (ms). `counted_ns`: up to when all that came in is counted in them.
    `is_open`: devices work for it now; `is_over`: none does, and all of it is counted."""
    counted_ms = counted_ns // 1_000_000
    devices = sorted({each["device"] for each in receipts})
    counts = _sum(receipts)
    sinks = sorted({sink for each in receipts for sink in each["sinks"]})
    accounts = {sink: _account(sink, receipts, counted_ms) for sink in sinks}
    return {
        "batch": batch,
        "open": is_open,
        "from": min(each["from"] for each in receipts),
        "to": max(each["to"] for each in receipts),
        **counts,
        "sinks": accounts,
        "complete_to": min((each["complete_to"] for each in accounts.values()), default=None),
        "complete": bool(accounts) and is_over and all(map(_is_done, accounts.values())) and _is_whole(counts),
        "devices": {device: _device(device, receipts, counted_ms) for device in devices},
    }


def _device(device: str, receipts: Sequence[Mapping[str, Any]], counted_ms: int) -> dict[str, Any]:
    own = [each for each in receipts if each["device"] == device]
    sinks = sorted({sink for each in own for sink in each["sinks"]})
    return {
        "from": min(each["from"] for each in own),
        "to": max(each["to"] for each in own),
        "first": min((each["first"] for each in own if each["records"]), default=0),
        "last": max(each["last"] for each in own),
        **_sum(own),
        "gaps": _gaps(own),
        "sinks": {sink: _account(sink, own, counted_ms) for sink in sinks},
        "contexts": _contexts(own),
    }


def _sum(receipts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    read = [each["read"] for each in receipts]
    return {
        "read": None if None in read else sum(read),
        **{name: sum(each[name] for each in receipts) for name in _COUNTS},
        "interrupted": any(each["interrupted"] for each in receipts),
        "incomplete": any(each["incomplete"] for each in receipts),
    }


def _account(sink: str, receipts: Iterable[Mapping[str, Any]], counted_ms: int) -> dict[str, Any]:
    """What became of the readings at one sink. Of what was accepted before `complete_to` nothing is pending there: it is
    delivered, or given up and counted as dropped. It is the earliest moment from which anything may be pending, never a
    later one; 0 where nobody can say."""
    dropped: dict[str, int] = {}
    others = dict.fromkeys(("acknowledged", "pending", "before_sink", "left_out"), 0)
    complete_to = counted_ms
    for receipt in receipts:
        account = receipt["sinks"].get(sink)
        if account is None:
            complete_to = min(complete_to, receipt["from"])
            continue
        for name in others:
            others[name] += account.get(name, 0)
        for reason, rows in account["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + rows
        if account["pending"]:
            complete_to = min(complete_to, account.get("pending_from", receipt["from"]))
    return {**others, "dropped": dropped, "complete_to": complete_to}


def _is_done(account: Mapping[str, Any]) -> bool:
    return not account["pending"] and not account["dropped"]


def _is_whole(counts: Mapping[str, Any]) -> bool:
    return not (counts["not_accepted"] or counts["incomplete"])


def _gaps(receipts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Without those that several receipts tell; one that goes on into the next hour is one."""
    found: list[dict[str, Any]] = []
    for gap in sorted((gap for each in receipts for gap in each["gaps"]), key=lambda gap: gap["from"]):
        last = found[-1] if found else None
        if last is not None and last["reason"] == gap["reason"] and (last["to"] is None or last["to"] >= gap["from"]):
            last["to"] = None if gap["to"] is None else max(last["to"] or 0, gap["to"])
        else:
            found.append(dict(gap))
    return found


def _contexts(receipts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What it worked for beside the batch, as often as it changed."""
    found: list[Mapping[str, Any]] = []
    for receipt in receipts:
        if receipt["context"] not in found:
            found.append(receipt["context"])
    return found
