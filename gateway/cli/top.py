"""`edge-gateway top`: the page's first screen in a terminal. Is all well; what is wrong; is data leaving; alarms; devices."""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.cli.frame.asking import UNREACHABLE
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.live_screen import cut, keys, taken_over, wrapped
from gateway.cli.frame.terminal import colour, count, fail, joined, redrawn, sentence, table
from gateway.cli.sink_status import acknowledged, waiting
from gateway.cli.status import room
from gateway.core.amounts import format_duration
from gateway.operate.headline import Trouble, troubles
from gateway.status import full_in

EVERY = 1.0
"""Seconds between two looks."""
LATE = 3.0
"""Seconds without an answer after which what is shown is said to be old."""
PATIENCE = 15.0
"""Seconds without an answer after which it ends: a restart of the gateway takes less."""
SHARE = 3
"""The troubles have one part in so many of a terminal's lines; the first of them are the worst."""

Status = dict[str, Any]
Line = tuple[str, str]
"""A text, and its colour or nothing."""
_ORDER = {"raised": 0, "latched": 1, "cleared": 2}
_COLOURS = {"raised": "red", "latched": "red", "cleared": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--once", action="store_true", help="show it once and end; so it does without a terminal")


def run(args: argparse.Namespace) -> int:
    """Show it until q, or once: then 1 if anything is not as it should be."""
    asking = _Asking(socket_path(args.socket))
    try:
        status = asking.ask()
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    if not (args.once or args.json) and sys.stdout.isatty():
        return _live(asking)
    if args.json:
        print(json.dumps(told(status), ensure_ascii=False, indent=2))
    else:
        columns = shutil.get_terminal_size((sys.maxsize, 0)).columns if sys.stdout.isatty() else sys.maxsize
        print(joined(_painted([*head(status, columns), *body(status, time.time(), columns)])))
    return 1 if _troubles(status) else 0


class _Asking(threading.Thread):
    """Asks again and again, so that the screen and its keys wait for no answer."""

    def __init__(self, path: Any) -> None:
        super().__init__(daemon=True)  # an answer that never comes holds up no end
        self._path = path
        self.status: Status = {}
        self.came = time.monotonic()
        """When the last answer came."""
        self.error = ""
        """Why there is none since."""

    def ask(self) -> Status:
        """Raises NoGatewayError or AnswerError."""
        self.status = call(self._path, "status")
        self.came, self.error = time.monotonic(), ""
        return self.status

    def run(self) -> None:
        while True:
            try:
                self.ask()
            except (NoGatewayError, AnswerError) as error:
                self.error = str(error)
            time.sleep(EVERY)


def _live(asking: _Asking) -> int:
    first, silent = 0, 0.0  # the line of the body that is shown first
    asking.start()
    try:
        with taken_over():
            while (silent := time.monotonic() - asking.came) < PATIENCE:
                size = shutil.get_terminal_size()
                shown, last = _screen(asking.status, silent, size.columns, size.lines, first)
                print(joined(redrawn(shown, size.lines)), end="", flush=True)
                for key in keys(EVERY / 2):
                    if key == "quit":
                        return 0
                    step = {"up": -1, "down": 1, "page up": -size.lines // 2, "page down": size.lines // 2}[key]
                    first = max(0, min(first + step, last))
    except KeyboardInterrupt:
        return 0
    fail(
        f"no answer since {_clock(silent)}\n{asking.error or 'the gateway takes the question and says nothing: see its log'}"
    )
    return UNREACHABLE


def _clock(ago: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() - ago))


def _screen(status: Status, silent: float, columns: int, height: int, first: int) -> tuple[list[str], int]:
    """The lines, and the last line of the body from which on it may be shown; `silent`: seconds since the answer."""
    top = head(status, columns)
    if silent >= LATE:
        top[1] = (cut(f"no answer since {_clock(silent)}: what is below is as of then", columns), "red")
    most = max(3, height // SHARE)
    below = body(status, time.time(), columns, most)
    if silent >= LATE:
        below = [(text, "grey") for text, _ in below]
    room_for = max(1, height - len(top) - 1)
    last = max(0, len(below) - room_for)
    first = min(first, last)
    foot = "q ends" + (f", arrows scroll: {first} lines above, {last - first} below" if last else "")
    return list(_painted([*top, *below[first : first + room_for], (cut(foot, columns), "grey")])), last


def _painted(lines: Sequence[Line]) -> Iterator[str]:
    return (colour(text, name) if name else text for text, name in lines)


def head(status: Status, columns: int) -> list[Line]:
    """Which gateway it is, and the one sentence."""
    clock = status["clock"]["state"]
    said = [f"running {format_duration(status['uptime_s'])}", f"clock {clock}"]
    yours = cut(f"{status['gateway']} {status['version']}, {sentence(said)}", columns)
    wrong = _troubles(status)
    if not wrong:
        return [(yours, "bold"), ("all is well", "green")]
    severe = sum(each.severe for each in wrong)
    more = f", {severe} of them serious" if severe else ""
    return [(yours, "bold"), (cut(f"{count(len(wrong), 'thing')} to look at{more}", columns), "red")]


def body(status: Status, now: float, columns: int, most: int = sys.maxsize) -> list[Line]:
    """All below the sentence; of what is wrong `most` lines. `now` in seconds since 1970."""
    wrong = _wrong(_troubles(status), columns)
    if len(wrong) > most:
        wrong = [*wrong[: most - 1], ("  … and more: edge-gateway status", "")]
    return [*wrong, *_leaving(status, now, columns), *_alarms(status["alarms"], columns), *_devices(status, columns)]


def _troubles(status: Status) -> list[Trouble]:
    """What costs data stands before all else, since a screen may not show all."""
    return sorted(troubles(status), key=lambda each: not each.severe)


def _wrong(found: Sequence[Trouble], columns: int) -> list[Line]:
    return [
        (line, "red" if each.severe else "")
        for each in found
        for line in wrapped(f"{'serious: ' if each.severe else ''}{each.text}", columns, "  ", "    ")
    ]


def _leaving(status: Status, now: float, columns: int) -> Iterator[Line]:
    yield "", ""
    yield "Is data leaving?", "bold"
    for sink in status["sinks"]:
        said = f"{sink['name']} {sink['state']}: {sentence([acknowledged(sink), waiting(sink, now)])}"
        name = "" if sink["state"] == "up" else "red"
        yield from ((line, name) for line in wrapped(said, columns, "  ", "    "))
    yield from ((line, "") for line in wrapped(f"outbox: {sentence(room(status))}", columns, "  ", "    "))


def _alarms(alarms: Sequence[Status], columns: int) -> Iterator[Line]:
    yield "", ""
    yield "Alarms" if alarms else "No alarms", "bold" if alarms else ""
    for alarm in sorted(alarms, key=lambda each: (bool(each["shelved"]), _ORDER.get(each["state"], 3))):
        state = f"{alarm['state']}, shelved" if alarm["shelved"] else alarm["state"]
        since = time.strftime(" since %H:%M", time.localtime(alarm["raised"] / 1000)) if alarm.get("raised") else ""
        said = f"  {state}{since}: {alarm['name']}, {alarm.get('severity', '')}: {alarm['message']}"
        yield cut(said, columns), "grey" if alarm["shelved"] else _COLOURS.get(alarm["state"], "")


def _devices(status: Status, columns: int) -> Iterator[Line]:
    found = worst_first(status["devices"])
    yield "", ""
    yield "Devices" if found else "No devices", "bold" if found else ""
    cells = [
        (
            each["name"],
            each["state"],
            format_duration(each["since_s"]),
            f"{each['good']}/{each['tags']} good",
            each["reason"],
        )
        for each in found
    ]
    for line, each in zip(table(cells, right=(2,)), found, strict=True):
        name = "red" if each["state"] != "up" else "yellow" if each["good"] < each["tags"] else ""
        yield cut(f"  {line}", columns), name


def worst_first(devices: Sequence[Status]) -> list[Status]:
    """Those that are not up, then those of which tags are not good, then all others."""
    return sorted(devices, key=lambda each: (each["state"] == "up", each["good"] == each["tags"]))


def told(status: Status) -> Status:
    """The same for scripts."""
    wrong = _troubles(status)
    return {
        "gateway": status["gateway"],
        "version": status["version"],
        "uptime_s": status["uptime_s"],
        "clock": status["clock"]["state"],
        "well": not wrong,
        "troubles": [{"text": each.text, "severe": each.severe} for each in wrong],
        "sinks": [
            {
                "name": sink["name"],
                "state": sink["state"],
                "last_acknowledged_s": sink["last_acknowledged_s"],
                "pending": sum(lane["pending"] for lane in sink["outbox"]["lanes"].values()),
                "drained_in_s": sink.get("drained_in_s"),
            }
            for sink in status["sinks"]
        ],
        "outbox_full_in_s": full_in(status),
        "alarms": status["alarms"],
        "devices": worst_first(status["devices"]),
    }
