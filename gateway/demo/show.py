"""How the demonstration looks: a table that refreshes on a terminal, plain lines elsewhere."""

import os
import shutil
import sys
from datetime import datetime

from gateway.core.amounts import format_duration
from gateway.demo.arrivals import Arrivals, EventMessage, Value

_BOLD, _RED, _GREEN, _GREY, _PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[90m", "\033[0m"


class Show:
    """Writes to standard output."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        """Whether it can be redrawn."""
        self._colours = self.live and not os.environ.get("NO_COLOR")
        self._drawn = 0
        self._next_line = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._wipe()
        print(text, flush=True)

    def event(self, body: EventMessage) -> None:
        """An event, explained."""
        at = datetime.fromtimestamp(body["ts"] / 1000).strftime("%H:%M:%S")
        colour = _RED if body["state"] == "raised" else _GREEN
        head = f"{at}  {body['kind']} {body['state']}:"
        self.say(f"{self._paint(colour, head)} {body['message']}")
        if body["state"] != "raised":
            return
        for part in body.get("contributions", ())[:3]:
            self.say(
                f"          {part['share']:4.0%}  {part['tag']:<20} {part['value']:>8.6g}, expected {part['expected']:.6g}"
            )
        if "model" in body:
            said = f"{body['model']} {body['model_version']}, sha256 {body['model_sha256'][:12]}…"
            self.say(f"          model {said}; score {body['score']:.3g}, threshold {body['threshold']:.3g}")

    def values(self, arrived: Arrivals, now: float, note: str) -> None:
        """The live values: redrawn on a terminal, one line per device every five seconds elsewhere."""
        if self.live:
            self._wipe()
            height = shutil.get_terminal_size().lines - 3  # the note, the line above it, and the cursor's own
            lines = [*self._table(arrived, now)[: max(1, height)], "", self._paint(_GREY, note)]
            print("\n".join(lines), flush=True)
            self._drawn = len(lines)
        elif now >= self._next_line and arrived.latest:
            self._next_line = now + 5
            for device, (values, _) in sorted(arrived.latest.items()):
                said = "  ".join(
                    f"{tag}={_number(value)}{arrived.units.get((device, tag), '')}" for tag, value in values.items()
                )
                print(f"{device}: {said}", flush=True)

    def _table(self, arrived: Arrivals, now: float) -> list[str]:
        lines = []
        for device, (values, came) in sorted(arrived.latest.items()):
            lines.append(self._paint(_BOLD, device) + self._paint(_GREY, f"   {format_duration(now - came)} ago"))
            for tag, value in values.items():
                unit = arrived.units.get((device, tag), "")
                quality = arrived.qualities.get((device, tag), "good")
                line = f"  {tag:<22}{_number(value):>12} {unit:<7}"
                lines.append(line.rstrip() if quality == "good" else self._paint(_RED, f"{line}{quality}"))
        return lines

    def _wipe(self) -> None:
        if self._drawn:
            print(f"\033[{self._drawn}F\033[J", end="")
            self._drawn = 0

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colours else text


def _number(value: Value) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
