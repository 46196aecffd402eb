"""Whether all is well: the one answer for the head of `status`, its exit code and the line that systemd shows.

Reads the status as it is answered on the control socket, and nothing else; what a gateway of another version does not tell is
passed over.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.core.amounts import format_duration, format_size

QUIET = 60.0
"""Seconds for which a sink that is up, and has something to send, may acknowledge nothing."""
FEW_INODES = 8
"""With fewer, a disk soon has no room for a new file, whatever it has for bytes."""
RENEW = 30 * 86_400
"""Seconds before its end at which a certificate is trouble."""
WAITING = ("raised", "latched", "cleared")
"""States of an alarm that waits for a person."""

Part = Mapping[str, Any]


class Trouble(NamedTuple):
    """One thing that is not as it should be, with what to do."""

    text: str
    severe: bool = False
    """Data is lost, or nobody will be told."""


def troubles(status: Part) -> Iterator[Trouble]:
    """All of them, the worst first."""
    yield from _outbox(status["outbox"])
    yield from _audit(status.get("audit", {}))
    yield from (Trouble(f"left out, its plugin does not load: {problem}", True) for problem in status["parked"])
    for kind in ("device", "sink", "model"):
        yield from (_not_up(kind, part) for part in status[f"{kind}s"] if part["state"] != "up")
    for part in status.get("parts", ()):
        yield Trouble(f"{part['name']} {part['state']}{': ' if part['reason'] else ''}{part['reason']}")
    yield from (_blocked(stall) for stall in status.get("stalls", ()) if stall["recent"])
    for device in status["devices"]:
        yield from _device(device)
    for sink in status["sinks"]:
        yield from _sink(sink)
    for model in status["models"]:
        yield from _model(model, {device["name"] for device in status["devices"] if device["state"] == "up"})
    for watch in status.get("watches", ()):
        if watch["state"] != "up":
            yield Trouble(f"alarm {watch['name']} (plugin {watch['plugin']}) {watch['state']}: {watch['reason']}")
    for certificate in status.get("certificates", ()):
        if certificate["left_s"] < RENEW:
            yield _certificate(certificate)
    yield from _log(status["outbox"])
    yield from _alarms(status["limits"], status["alarms"])


def summary(status: Part) -> str:
    """One line for `systemctl status`."""
    devices = status["devices"]
    up = sum(device["state"] == "up" for device in devices)
    said = [f"{up}/{len(devices)} devices up", *(f"{sink['name']} {sink['state']}" for sink in status["sinks"])]
    wrong = list(troubles(status))
    head = f"{_things(len(wrong))} to look at (edge-gateway status): {wrong[0].text}" if wrong else "all is well"
    return f"{', '.join(said)}; {head}"


def _things(number: int) -> str:
    return f"{number} thing{'' if number == 1 else 's'}"


def _many(number: int, word: str) -> str:
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") + f" {word}{'' if number == 1 else 's'}"


def _outbox(outbox: Part) -> Iterator[Trouble]:
    if outbox["disk"] != "ok":
        yield Trouble(f"outbox: the disk does not take what is read: {outbox['disk']}", True)
    floor = outbox.get("min_free", 0)
    if outbox["free"] < floor:
        free, kept = format_size(outbox["free"]), format_size(floor)
        yield Trouble(f"outbox: {free} free on its disk, and {kept} are to stay free ([outbox] min_free): make room")
    if outbox["not_accepted"]:
        yield Trouble(f"outbox: {_many(outbox['not_accepted'], 'reading')} not accepted and lost", True)


def _audit(audit: Part) -> Iterator[Trouble]:
    if failing := audit.get("failing"):
        yield Trouble(f"{failing}: what must be audited is refused until that is mended", True)
    if damage := audit.get("damage"):
        yield Trouble(f"the audit trail was found damaged: {damage}: edge-gateway audit verify", True)


def _certificate(certificate: Part) -> Trouble:
    left = certificate["left_s"]
    when = "has expired" if left < 0 else f"expires in {format_duration(left)}"
    return Trouble(f"{certificate['where']}: {certificate['name']} {when}: renew it", left < 0)


def _not_up(kind: str, part: Part) -> Trouble:
    since = f" for {format_duration(part['since_s'])}" if part.get("since_s") is not None else ""
    reason = f": {part['reason']}" if part["reason"] else ""
    soon = part.get("next_attempt_s")
    again = "" if soon is None else f"; next attempt in {format_duration(soon)}" if soon >= 0.1 else "; trying now"
    return Trouble(f"{kind} {part['name']} {part['state']}{since}{reason}{again}")


def _blocked(stall: Part) -> Trouble:
    whose = f"plugin {stall['plugin']}" if stall["plugin"] else "the gateway's own code"
    part = f" of {stall['part']}" if stall["part"] else ""
    times = f", {stall['times']} times, last {format_duration(stall['last_s'])} ago" if stall["times"] > 1 else ""
    return Trouble(
        f"{whose}{part} blocked everything for {format_duration(stall['longest_s'])} at {stall['at']}{times}", True
    )


def _device(device: Part) -> Iterator[Trouble]:
    bad = device["tags"] - device["good"]
    if device["state"] == "up" and bad:
        name = device["name"]
        yield Trouble(f"device {name}: {bad} of {_many(device['tags'], 'tag')} not good: edge-gateway tags {name}")
    if doubt := device.get("doubt"):
        yield Trouble(f"device {device['name']}: {doubt}")
    if clock := device.get("clock"):
        yield Trouble(f"device {device['name']}: its clock is {clock}: set it (max_clock_offset)")


def _sink(sink: Part) -> Iterator[Trouble]:
    name, lanes = f"sink {sink['name']}", sink["outbox"]["lanes"].values()
    dropped: dict[str, int] = {}
    for lane in lanes:
        for reason, readings in lane["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + readings
    for reason, readings in dropped.items():
        yield Trouble(f"{name}: {_many(readings, 'reading')} will not be delivered: {reason}", True)
    if sink["waiting_after_refusal"]:
        kept = f"{_many(sink['waiting_after_refusal'], 'record')} kept and sent again"
        if barred := sink.get("barred"):
            more = f" and of {len(barred) - 1} more" if len(barred) > 1 else ""
            kept += f", and all of {barred[0]}{more} waits"
        yield Trouble(f"{name}: the far side refuses data: {sink['last_refusal']}; {kept}", True)
    if sink["refused_for_good"] and not dropped:
        told = f"{_many(sink['refused_for_good'], 'record')} refused for good: {sink['last_refusal']}"
        yield Trouble(f"{name}: {told}", True)
    pending = sum(lane["pending"] for lane in lanes)
    if sink["state"] == "up" and pending and (silent := _silent(sink)) >= _patience(sink):
        yield Trouble(
            f"{name}: up, and has acknowledged nothing for {format_duration(silent)} while {_many(pending, 'reading')} wait: "
            "does the far side take what is published there? Look into its log",
            True,
        )


def _patience(sink: Part) -> float:
    """Seconds without an acknowledgement that are no trouble."""
    return QUIET + 2.0 * (sink.get("commits_every_s") or 0.0)


def _silent(sink: Part) -> float:
    """Seconds without an acknowledgement in this connection."""
    up, last = sink.get("since_s"), sink.get("last_acknowledged_s")
    known = [float(seconds) for seconds in (up, last) if seconds is not None]
    return min(known, default=0.0)


def _model(model: Part, up: Container[str]) -> Iterator[Trouble]:
    blind: dict[str, list[str]] = {}
    for device in model.get("devices", []):
        if device["state"] in ("failed", "degraded") and device["score"] is None and device["device"] in up:
            blind.setdefault(device["reason"], []).append(device["device"])
    for reason, names in blind.items():
        whom = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        yield Trouble(f"model {model['name']} does not watch {whom}: {reason}")


def _log(outbox: Part) -> Iterator[Trouble]:
    if dead := outbox.get("dead", {}).get("letters"):
        yield Trouble(f"outbox: {_many(dead, 'dead letter')}, refused for good and kept: edge-gateway outbox dead list")
    if outbox.get("inodes") is not None and outbox["inodes"] < FEW_INODES:
        free = f"{format_size(outbox['free'])} are free"
        yield Trouble(f"outbox: its disk has {outbox['inodes']} inodes left for new files, though {free}: df -i", True)
    if damaged := [*outbox["recovered"]["damaged"], *outbox["recovered"]["unreadable"]]:
        yield Trouble(f"outbox: damaged files were found at the start, and set aside: {', '.join(damaged)}")
    if removed := outbox.get("removed"):
        what = f"{_many(len(removed), 'file')} removed by somebody while the gateway ran, the last: {removed[-1]}"
        yield Trouble(f"outbox: {what}; what was lost is recorded as losses", True)


def _alarms(limits: Sequence[Part], alarms: Sequence[Part]) -> Iterator[Trouble]:
    yield from (Trouble(f"limit {limit['name']}: {limit['reason']}") for limit in limits if limit.get("reason"))
    waiting = [alarm for alarm in alarms if alarm.get("waits", alarm["state"] in WAITING) and not alarm["shelved"]]
    if waiting:
        told = "1 waits" if len(waiting) == 1 else f"{len(waiting)} wait"
        yield Trouble(f"alarms: {told} for somebody to acknowledge: edge-gateway alarms")
