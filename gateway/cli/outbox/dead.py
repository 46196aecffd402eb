"""`edge-gateway outbox dead`: records that a far side refused for good. Looking needs no running gateway, acting does."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.asking import ask
from gateway.cli.frame.terminal import colour, count, fail, joined, table
from gateway.cli.outbox.peek import lines, plain
from gateway.core.times import rfc3339
from gateway.outbox.deliver import letters
from gateway.outbox.format import Letter


def arguments(parser: argparse.ArgumentParser, log: argparse.ArgumentParser) -> None:
    """What to do, with which letters."""
    do = parser.add_subparsers(dest="do", metavar="DO", required=True)
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--sink", metavar="NAME", help="only those of this sink")
    do.add_parser("list", parents=[shared(), log, which], help="all of them, the oldest first")
    show = do.add_parser("show", parents=[shared(), log, which], help="one of them, whole")
    show.add_argument("ids", nargs=1, metavar="ID", help="its id, as list shows it")
    for name, words in (
        ("retry", "send them again, once, by the running gateway; those that are taken now are dead no more"),
        ("drop", "keep them no longer"),
    ):
        act = do.add_parser(name, parents=[shared(), which], help=words)
        act.add_argument("ids", nargs="*", metavar="ID", help="their ids, as list shows them")
        act.add_argument("--all", action="store_true", help="all of them, or all of --sink")


def run(args: argparse.Namespace, directory: Path | None) -> int:
    """Look at them in this directory, or have the running gateway act; 1 if it does not work, or a letter is damaged."""
    if directory is not None:
        found = [
            (path, letter)
            for path, letter in letters(directory)
            if not isinstance(letter, Letter) or args.sink in (None, letter.sink)
        ]
        return _list(found, args.json) if args.do == "list" else _show(found, args.ids[0], args.json)
    if bool(args.ids) == args.all:
        fail(f"name the ids, or say --all: edge-gateway outbox dead {args.do} --help")
        return 2
    return ask(args, f"dead_{args.do}", _acted, ids=args.ids, sink=args.sink)


def _acted(answer: dict[str, Any]) -> Iterator[str]:
    if "dropped" in answer:
        yield f"{count(answer['dropped'], 'dead letter')} dropped"
        return
    yield f"{count(len(answer['retried']), 'dead letter')} sent again; those that the far side takes leave the list"


def _list(found: Iterable[tuple[Path, Letter | str]], as_json: bool) -> int:
    sound = [letter for _, letter in found if isinstance(letter, Letter)]
    damaged = {str(path): letter for path, letter in found if not isinstance(letter, Letter)}
    if as_json:
        told = {"letters": [letter.summary() for letter in sound], "damaged": damaged}
        print(json.dumps(told, ensure_ascii=False, indent=2))
        return 1 if damaged else 0
    rows = [("ID", "SINK", "ABOUT", "READINGS", "REFUSED", "REASON")]
    rows += [
        (
            letter.record.id,
            letter.sink,
            letter.about,
            str(letter.record.rows),
            rfc3339(letter.died_ns)[:19],
            letter.reason,
        )
        for letter in sound
    ]
    print(joined(table(rows, right=[3])) if sound else "no dead letters")
    for path, problem in damaged.items():
        print(colour(f"{path}: {problem}", "red"))
    return 1 if damaged else 0


def _show(found: Iterable[tuple[Path, Letter | str]], wanted: str, as_json: bool) -> int:
    chosen = [letter for _, letter in found if isinstance(letter, Letter) and letter.record.id == wanted]
    if not chosen:
        fail(f"no dead letter has the id {wanted}: edge-gateway outbox dead list")
        return 1
    if as_json:
        print(
            json.dumps([{**letter.summary(), "record": plain(letter.record)} for letter in chosen], ensure_ascii=False)
        )
        return 0
    for letter in chosen:
        print(f"refused by {letter.sink} at {rfc3339(letter.died_ns)}: {letter.reason}")
        print(joined(lines(letter.record)))
    return 0
