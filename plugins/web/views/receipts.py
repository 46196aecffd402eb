"""Did we lose anything on that day? Answered by the receipts of each device and hour, and how to check them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from gateway.plugin import format_duration, listed

from ..html import Html, joined, table, tag
from ..screen import device_address, moment
from ..words import Words

Receipt = Mapping[str, Any]
SECOND = 1000
"""Milliseconds; a hole between receipts that is shorter is none."""
GAPS = 200
"""Of a page, at most."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the gateway's own clock, as far as it is over; times in milliseconds since 1970."""

    date: date
    device: str
    """The only one; empty: all."""
    now: int

    @property
    def start(self) -> int:
        return _ms(self.date)

    @property
    def end(self) -> int:
        """When the day is over, or now."""
        return min(_ms(self.date + timedelta(days=1)), max(self.now, self.start))

    def address(self, device: str | None = None, days: int = 0) -> str:
        """Of another device, or of a day so many later."""
        asked = {
            "day": (self.date + timedelta(days=days)).isoformat(),
            "device": self.device if device is None else device,
        }
        return f"/receipts?{urlencode({key: value for key, value in asked.items() if value})}"


def _ms(day: date) -> int:
    return round(datetime.combine(day, time()).astimezone().timestamp() * 1000)


def day_of(query: Mapping[str, str], now: int) -> Day:
    """What an address asks for; without a day, or one that makes no sense, yesterday."""
    today = datetime.fromtimestamp(now / 1000).astimezone().date()
    try:
        asked = date.fromisoformat(query.get("day", ""))
    except ValueError:
        asked = today - timedelta(days=1)
    return Day(min(max(asked, date(2000, 1, 1)), today), query.get("device", ""), now)


def receipts_page(word: Words, day: Day, receipts: Sequence[Receipt], devices: Sequence[str]) -> Html:
    """All of it, from the answer of `receipts`; `devices`: those of the configuration."""
    of: dict[str, list[Receipt]] = {name: [] for name in devices if day.device in ("", name)}
    for each in receipts:
        if each["to"] > day.start and each["from"] < day.end and day.device in ("", each["device"]):
            of.setdefault(each["device"], []).append(each)
    told = [Account(name, day, some) for name, some in of.items()]
    return joined(
        (
            tag("h2", f"{word('receipts of', day.date.isoformat())}{f' · {day.device}' if day.device else ''}"),
            _ways(word, day),
            _verdict(word, told),
            _devices(word, day, told),
            _gaps(word, told),
            _hours(word, told[0]) if day.device and told else None,
            _checking(word, day),
        )
    )


class Account:
    """What one device gave on a day, and what became of it."""

    def __init__(self, device: str, day: Day, receipts: Sequence[Receipt]) -> None:
        self.device = device
        self.receipts = sorted(receipts, key=lambda each: (each["from"], each["to"]))
        self.readings = sum(each["readings"] for each in receipts)
        self.not_accepted = sum(each["not_accepted"] for each in receipts)
        self.missed = sum(each["missed_polls"] for each in receipts)
        self.delivered = self._of_sinks("acknowledged")
        self.pending = self._of_sinks("pending")
        self.dropped: dict[tuple[str, str], int] = {}
        for each in receipts:
            for sink, account in each["sinks"].items():
                for reason, lost in account["dropped"].items():
                    self.dropped[sink, reason] = self.dropped.get((sink, reason), 0) + lost
        self.uncovered = list(self._uncovered(day))
        self.doubtful = [each for each in receipts if each["interrupted"] or each["incomplete"]]

    def _of_sinks(self, what: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self.receipts:
            for sink, account in each["sinks"].items():
                found[sink] = found.get(sink, 0) + account[what]
        return found

    def _uncovered(self, day: Day) -> Iterator[tuple[int, int]]:
        """When no receipt says anything."""
        at = day.start
        for each in self.receipts:
            if each["from"] - at > SECOND:
                yield at, each["from"]
            at = max(at, day.end if each.get("open") else each["to"])
        if day.end - at > SECOND:
            yield at, day.end

    @property
    def lost(self) -> int:
        return int(self.not_accepted + sum(self.dropped.values()))

    @property
    def gaps(self) -> list[tuple[int, int | None, str]]:
        """When the device or the gateway was away: from, to (None: it lasted on), why."""
        found = {(gap["from"], gap["to"], gap["reason"]) for each in self.receipts for gap in each["gaps"]}
        return sorted(found, key=lambda gap: (gap[0], gap[1] or 0))


def _ways(word: Words, day: Day) -> Html:
    earlier = tag("a", f"← {word('day before')}", href=day.address(days=-1))
    later = tag("a", f"{word('day after')} →", href=day.address(days=1))
    choose = tag(
        "form", tag("input", type="hidden", name="device", value=day.device) if day.device else None,
        tag("label", word("day"), tag("input", type="date", name="day", value=day.date.isoformat())),
        tag("button", word("show")), action="/receipts", class_="act",
    )  # fmt: skip
    every = tag("a", word("all devices"), href=day.address(device="")) if day.device else None
    return joined((tag("nav", earlier, later, every, class_="ways", aria_label=word("day")), choose))


def _verdict(word: Words, told: Sequence[Account]) -> Html:
    """One sentence first; never that all is well where nobody knows."""
    lost, pending = sum(each.lost for each in told), sum(max(each.pending.values(), default=0) for each in told)
    unknown = [each for each in told if each.uncovered or each.doubtful]
    if not any(each.receipts for each in told):
        return tag("p", "? ", word("no receipts"), class_="verdict warn")
    said = []
    if lost:
        said.append(tag("p", tag("span", "✗ ", aria_hidden="true"), word("lost", f"{lost:,}"), class_="verdict severe"))
    if unknown:
        said.append(
            tag(
                "p",
                tag("span", "? ", aria_hidden="true"),
                word("not all known", listed([each.device for each in unknown], 5)),
                class_="verdict warn",
            )
        )
    if pending:
        said.append(
            tag("p", tag("span", "! ", aria_hidden="true"), word("still waits", f"{pending:,}"), class_="verdict warn")
        )
    if not said:
        said = [tag("p", tag("span", "✓ ", aria_hidden="true"), word("nothing lost"), class_="verdict well")]
    if any(each.gaps for each in told):
        said.append(tag("p", word("gaps are"), class_="quiet"))
    return joined(said)


def _devices(word: Words, day: Day, told: Sequence[Account]) -> Html:
    heads = (
        word("device"), word("accepted"), word("delivered"), word("waiting"), word("lost ones"), word("not read"),
        word("not known"),
    )  # fmt: skip
    rows = (
        (
            tag("th", tag("a", each.device, href=day.address(device=each.device)), scope="row"),
            tag("td", f"{each.readings:,}", class_="number"),
            tag("td", _by_sink(each.delivered), class_="number"),
            tag("td", _by_sink(each.pending), class_="number"),
            tag("td", "; ".join(_lost(word, each)) or "0", class_="severe" if each.lost else None),
            tag("td", str(len(each.gaps)) if each.gaps else "–", class_="warn" if each.gaps else None),
            tag("td", _uncovered(each), class_="text warn" if each.uncovered or each.doubtful else None),
        )
        for each in told
    )
    return table(heads, rows, word("receipts"), stacked="rows") if told else Html("")


def _by_sink(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{sink}: {count:,}" for sink, count in counts.items()) or "–"


def _lost(word: Words, account: Account) -> Iterator[str]:
    if account.not_accepted:
        yield word("not accepted", f"{account.not_accepted:,}")
    for (sink, reason), lost in account.dropped.items():
        yield f"{sink}: {lost:,} ({reason})"


def _uncovered(account: Account) -> Html:
    said = [tag("p", moment(start), " … ", moment(end)) for start, end in account.uncovered[:5]]
    more = [tag("p", f"+ {len(account.uncovered) - 5}")] if len(account.uncovered) > 5 else []
    doubtful = [tag("p", f"{each['hour']} (!)") for each in account.doubtful[:5]]
    return joined([*said, *more, *doubtful]) or Html("–")


def _gaps(word: Words, told: Sequence[Account]) -> Html:
    every = [(each.device, *gap) for each in told for gap in each.gaps]
    if not every:
        return Html("")
    heads = (word("device"), word("from"), word("to"), word("lasted"), word("reason"))
    rows = (
        (
            tag("th", tag("a", device, href=device_address(device)), scope="row"),
            tag("td", moment(start)),
            tag("td", moment(end) if end is not None else word("lasts on")),
            format_duration((end - start) / 1000) if end is not None else "",
            tag("td", reason, class_="text"),
        )
        for device, start, end, reason in every[:GAPS]
    )
    return joined((tag("h2", word("not read")), table(heads, rows, word("not read"), stacked="rows")))


def _hours(word: Words, account: Account) -> Html:
    heads = (
        word("time"),
        word("read"),
        word("accepted"),
        word("delivered"),
        word("waiting"),
        word("lost ones"),
        word("state"),
    )
    rows = (
        (
            tag("th", moment(each["from"]), " … ", moment(each["to"]), scope="row"),
            tag("td", "?" if each["read"] is None else f"{each['read']:,}", class_="number"),
            tag("td", f"{each['readings']:,}", class_="number"),
            tag("td", _by_sink({sink: one["acknowledged"] for sink, one in each["sinks"].items()}), class_="number"),
            tag("td", _by_sink({sink: one["pending"] for sink, one in each["sinks"].items()}), class_="number"),
            f"{each['not_accepted'] + sum(sum(one['dropped'].values()) for one in each['sinks'].values()):,}",
            " · ".join(_state(word, each)),
        )
        for each in account.receipts
    )
    return joined((tag("h2", word("hours")), table(heads, rows, word("hours"), stacked="rows")))


def _state(word: Words, receipt: Receipt) -> Iterator[str]:
    yield word("hour open") if receipt.get("open") else word("final") if receipt["final"] else word("not final")
    if receipt["interrupted"]:
        yield word("interrupted")
    if receipt["incomplete"]:
        yield word("incomplete")


def _checking(word: Words, day: Day) -> Html:
    following = (day.date + timedelta(days=1)).isoformat()
    device = f' --device "{day.device}"' if day.device else ""
    command = f"edge-gateway receipts --from {day.date.isoformat()} --to {following}{device} --verify"
    return joined(
        (
            tag("h2", word("how to check")),
            tag("p", word("check here")),
            tag("p", tag("code", command)),
            tag("p", word("check there")),
        )
    )
