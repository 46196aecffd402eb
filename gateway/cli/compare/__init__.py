"""`edge-gateway compare`: whether this gateway says the same as another one that reads the same devices.

Both publish; for some time both are heard, and each value of one is looked for among the other's. It only listens.
"""

import argparse
import asyncio
import csv
import getpass
import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.cli.compare.differences import Comparison, TagDifferences
from gateway.cli.compare.layouts import LAYOUTS, HeardValue, Layout, Topic, samples
from gateway.cli.frame.screen import CLEAR, control
from gateway.cli.frame.terminal import colour, count, fail, in_words, joined, number, table
from gateway.core.amounts import format_duration, parse_duration
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError, RefusedError
from gateway.core.text import cleaned
from gateway.mqtt import MqttOptions, MqttSession, Received, TlsOptions
from gateway.operate.logs import only_errors
from gateway.places.regular import read_regular
from gateway.supervise import Backoff, Health, keep_running

_LONGEST_FILE = 16 * 1024 * 1024
_MOST_TAGS = 100_000
_SHOWN = 50
_LATE = 2.0
"""Seconds that a message may be under way, before its values are judged."""


class CompareError(GatewayError):
    """It cannot be begun; says what to write."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to hear, for how long, and what counts as the same."""
    parser.add_argument("--broker", required=True, metavar="HOST[:PORT]", help="where both publish")
    parser.add_argument("--ours", required=True, metavar="TOPIC", help='topics of this gateway, such as "north/#"')
    theirs = 'topics of the other one; "{device}" and "{tag}" may stand for a level, as in "plant/{device}/{tag}"'
    parser.add_argument("--theirs", required=True, metavar="TOPIC", help=theirs)
    layout = f"how its messages are written: {', '.join(LAYOUTS)} (default: plain)"
    parser.add_argument("--layout", choices=LAYOUTS, default="plain", metavar="NAME", help=layout)
    names = "a CSV file with the columns theirs and ours, each as device/tag, for tags that are called otherwise there"
    parser.add_argument("--map", type=Path, metavar="FILE", help=names)
    parser.add_argument("--for", dest="span", type=_span, default=86_400.0, metavar="TIME", help="default: 24h")
    within = "the same value may come so much earlier or later (default: 5s)"
    parser.add_argument("--within", type=_span, default=5.0, metavar="TIME", help=within)
    tolerance = 'numbers may differ by so much, such as "0.1%%" (default: 0.0001%%, what a float32 rounds)'
    parser.add_argument("--tolerance", type=_share, default=1e-6, metavar="PERCENT", help=tolerance)
    parser.add_argument("--user", metavar="NAME", help="of the broker")
    password = "take the password from the first line of this file in place of asking"
    parser.add_argument("--password-file", type=Path, metavar="FILE", help=password)
    parser.add_argument("--tls", action="store_true", help="connect by TLS (port 8883)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates that may have signed the broker's (PEM)")


@only_errors()
def run(args: argparse.Namespace) -> int:
    """0 when both say the same, 1 when they differ or one lacks tags, 2 when it could not be begun."""
    try:
        comparison = Comparison(args.within, args.tolerance, _names(args.map))
        hearing = _Hearing(_options(args), Topic(args.ours), Topic(args.theirs), LAYOUTS[args.layout], comparison)
        asyncio.run(_hear(hearing, args.span))
    except GatewayError as error:
        fail(str(error))
        return 2
    except OSError as error:
        fail(in_words(error))
        return 2
    tags = sorted(comparison.tags.values(), key=lambda tag: (-_different(tag), tag.name))
    print(
        json.dumps(_told(tags, hearing), ensure_ascii=False, indent=2) if args.json else joined(_lines(tags, hearing))
    )
    return 0 if tags and all(_is_same(tag) for tag in tags) else 1


def _span(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f'{text!r}: write a percentage, such as "0.1%"')
    return share


def _names(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        rows = list(csv.DictReader(io.StringIO(read_regular(path, _LONGEST_FILE).decode("utf-8-sig"))))
        return {row["theirs"].strip(): row["ours"].strip() for row in rows}
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error):
        raise CompareError(f"{path}: write two columns, theirs and ours, in UTF-8; the first row names them") from None


def _options(args: argparse.Namespace) -> MqttOptions:
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?", args.broker)
    if found is None:
        raise CompareError(
            f'--broker {args.broker}: write a host and a port, such as "broker.plant:1883" or "[::1]:1883"'
        )
    host, port = found.groups()
    tls = TlsOptions(ca=args.ca.absolute() if args.ca else None) if args.tls or args.ca else None
    password = None
    if args.password_file:
        password = read_regular(args.password_file, 4096).decode().splitlines()[0]
    elif args.user and sys.stdin.isatty():
        password = getpass.getpass("Password of the broker (not shown): ")
    chosen = int(port) if port else 8883 if tls else 1883
    return MqttOptions(host.strip("[]"), chosen, f"compare-{os.getpid()}", args.user, password, tls)


@dataclass(slots=True)
class _Hearing:
    """What is heard of both."""

    options: MqttOptions
    ours: Topic
    theirs: Topic
    layout: Layout
    comparison: Comparison
    messages: int = 0
    unread: int = 0
    """Messages of the other gateway that are not of its layout."""
    why: str = ""
    """Of the first of them."""
    breaks: int = 0
    """How often the connection to the broker was lost."""

    def message(self, message: Received) -> None:
        """One more. What the broker has kept from earlier says nothing of now."""
        if message.retained:
            return
        topic, payload = message.topic, message.payload
        self.messages += 1
        now = time.time() * 1e3
        if (names := self.ours.names(topic)) is not None and not topic.rpartition("/")[2].startswith("_"):
            self._take(LAYOUTS["edge-gateway"], payload, names, self.comparison.ours, now)
        if (names := self.theirs.names(topic)) is not None:
            self._take(self.layout, payload, names, self.comparison.theirs, now)

    def _take(
        self, layout: Layout, payload: bytes, names: Any, add: Callable[[HeardValue, float], None], now: float
    ) -> None:
        try:
            found = samples(layout, payload, names)
        except ValueError as error:
            self.unread += 1
            self.why = self.why or f"{cleaned(names['topic'], 80)}: {cleaned(error, 120)}"
            return
        if len(self.comparison.tags) < _MOST_TAGS:
            for sample in found:
                add(sample, now)


async def _hear(hearing: _Hearing, span: float) -> None:
    """Until the time is over, or somebody ends it."""
    end = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, end.set)
    refused: list[RefusedError] = []

    async def session() -> None:
        heard = MqttSession(
            hearing.options, on_acknowledged=lambda _: None, on_refused=lambda *_: None, on_message=hearing.message
        )
        try:
            await heard.connect()
            await heard.subscribe(hearing.ours.filter, hearing.theirs.filter)
            health.up()
            raise await heard.closed()
        except RefusedError as error:
            refused.append(error)
            end.set()
            raise
        finally:
            hearing.breaks += health.state == "up" and not end.is_set()

    health = Health("comparison", SystemClock())
    listening = asyncio.create_task(keep_running(session, health, Backoff(limit=5.0)))
    until = asyncio.get_running_loop().time() + span
    try:
        while not end.is_set() and (left := until - asyncio.get_running_loop().time()) > 0:
            hearing.comparison.judge(time.time() * 1e3 - _LATE * 1e3)
            _progress(hearing, left, health)
            try:
                async with asyncio.timeout(min(1.0, left)):
                    await end.wait()
            except TimeoutError:
                pass
    finally:
        why = health.reason
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        print(control(CLEAR) if sys.stderr.isatty() else "", end="", file=sys.stderr, flush=True)
    hearing.comparison.judge(float("inf"))
    if refused:
        raise CompareError(str(refused[0]))
    if not hearing.messages and why:
        raise CompareError(why)


def _progress(hearing: _Hearing, left: float, health: Health) -> None:
    if sys.stderr.isatty():
        tags = hearing.comparison.tags.values()
        said = (
            f"{count(len(tags), 'tag')}, {sum(map(_different, tags))} values differ; {format_duration(int(left))} to go"
        )
        said += "" if health.state == "up" else f"; {health.reason or 'connecting'}"
        print(f"{control(CLEAR)}{said} (Ctrl-C ends it)", end="", file=sys.stderr, flush=True)


def _different(tag: TagDifferences) -> int:
    return tag.ours.different + tag.theirs.different


def _is_same(tag: TagDifferences) -> bool:
    return bool(tag.ours.values and tag.theirs.values) and not _different(tag)


def _told(tags: list[TagDifferences], hearing: _Hearing) -> dict[str, Any]:
    return {
        "messages": hearing.messages, "unread": hearing.unread, "why": hearing.why, "breaks": hearing.breaks,
        "tags": [
            {
                "tag": tag.name,
                "ours": tag.ours.values, "theirs": tag.theirs.values,
                "ours_different": tag.ours.different, "theirs_different": tag.theirs.different,
                "first": tag.first, "last": tag.last, "largest": tag.largest,
                "example": dict(zip(("ms", "ours", "theirs"), tag.example, strict=True)) if tag.example else None,
            }
            for tag in tags
        ],
    }  # fmt: skip


def _lines(tags: list[TagDifferences], hearing: _Hearing) -> Iterator[str]:
    both = [tag for tag in tags if tag.ours.values and tag.theirs.values]
    differ = [tag for tag in both if _different(tag)]
    if not tags:
        yield f"nothing was heard: {hearing.messages} messages, none with values; are the topics right?"
    elif not differ and len(both) == len(tags):
        yield colour(f"both say the same: {count(len(both), 'tag')}, {hearing.messages} messages", "green")
    else:
        yield colour(
            f"{len(differ)} of {count(len(both), 'tag')} that both have differ", "yellow" if differ else "bold"
        )
    if differ:
        heads = ("tag", "ours", "theirs", "differ", "largest", "first", "for example")
        yield from table([heads, *map(_row, differ[:_SHOWN])])
    for what, lacking in (
        ("only ours", [tag.name for tag in tags if not tag.theirs.values]),
        ("only theirs", [tag.name for tag in tags if not tag.ours.values]),
    ):
        if lacking:
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            yield f"{what}: {', '.join(cleaned(name, 120) for name in lacking[:_SHOWN])}{more}"
    if hearing.unread:
        yield f"{count(hearing.unread, 'message')} could not be read, such as {hearing.why}; is --layout right?"
    if hearing.breaks:
        yield f"the broker was lost {count(hearing.breaks, 'time')}: what came meanwhile was not compared"


def _row(tag: TagDifferences) -> tuple[str, ...]:
    _, ours, theirs = tag.example or (0.0, "", "")
    first = datetime.fromtimestamp((tag.first or 0) / 1e3).strftime("%Y-%m-%d %H:%M:%S")
    return (
        tag.name,
        str(tag.ours.values),
        str(tag.theirs.values),
        str(_different(tag)),
        "" if tag.largest is None else number(tag.largest),
        first,
        f"{_shown(ours)} here, {_shown(theirs)} there",
    )


def _shown(value: object) -> str:
    return number(value) if isinstance(value, float) else cleaned(value, 40)
