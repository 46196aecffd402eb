"""`check --connect`: whether every device and every destination answers, and whom services depend on. Nothing is written,
sent or kept.

Devices that the running gateway reads are not dialled: many take few connections, and a second client would throw the
gateway off. It is asked instead.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from gateway.acquire.acquirer import by_line
from gateway.acquire.probe_devices import Answer, probe
from gateway.cli.frame.client import AnswerError, NoGatewayError, call
from gateway.cli.frame.terminal import number
from gateway.config.base import Section, ServiceConfig
from gateway.config.model import Config
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError, LinkError
from gateway.core.text import cleaned
from gateway.operate.device_answers import ReadAnswer, readings
from gateway.plugin.discovery import Plugins
from gateway.publish.probe_sinks import probe as probe_sink
from gateway.supervise import Foreign
from gateway.supervise.keep_running import told

AT_ONCE = 32
SHOWN_BAD = 8
SERVICE = 60.0
"""Seconds for whom a service depends on."""

Result = dict[str, Any]
"""name, kind (device, sink or service), address, by (gateway or dialled), ok, reason, and of a device its tags; as JSON.
What a device calls itself stands
under says. What the gateway said has same_file: whether it has loaded this very configuration."""


async def results(config: Config, plugins: Plugins, socket: Path, state_dir: Path) -> AsyncIterator[Result]:
    """One for each device and sink, and for each service that depends on somebody, in the order of the file, as soon as it
    and those before it are known."""
    read = await asyncio.to_thread(asked, config, socket)
    dialling = asyncio.Semaphore(AT_ONCE)
    devices: dict[str, asyncio.Future[Result]] = {}
    for specs in by_line([spec for spec in config.devices if spec.config.name not in read], plugins).values():
        line = asyncio.create_task(_dial(specs, plugins, dialling, state_dir))
        devices |= {spec.config.name: asyncio.create_task(_part(line, spec.config.name)) for spec in specs}
    sinks = [asyncio.create_task(_sink(config, sink, plugins)) for sink in config.sinks]
    for spec in config.devices:
        name = spec.config.name
        found = read[name] if name in read else await devices[name]
        yield {"name": name, "kind": "device", "address": address(spec.config), **found}
    for task in sinks:
        yield await task
    for service in config.services:
        if (result := await _service(service, plugins)) is not None:
            yield result


def asked(config: Config, socket: Path) -> Mapping[str, Result]:
    """What the running gateway of this name says of the devices that it reads; nothing when none is running."""
    try:
        status = call(socket, "status")
        if status["gateway"] != config.gateway.name:
            return {}
        same = status["config"]["hash"] == config.short_hash
        wanted = {spec.config.name for spec in config.devices}
        devices = [device for device in status["devices"] if device["name"] in wanted]
        return {device["name"]: {**_asked(device, socket), "same_file": same} for device in devices}
    except (NoGatewayError, AnswerError):
        return {}


def _asked(device: Mapping[str, Any], socket: Path) -> Result:
    if device["state"] != "up":
        return _told("gateway", [], device["reason"] or f"is {device['state']}")
    return _told("gateway", call(socket, "tags", device=device["name"]), "", remarks=device.get("remarks", ()))


async def _dial(
    specs: Sequence[Any], plugins: Plugins, dialling: asyncio.Semaphore, state_dir: Path
) -> dict[str, Result]:
    async with dialling:
        answers = await probe(specs, plugins.driver(specs[0].config.driver), SystemClock(), state_dir)
    return {
        answer.device: _told("dialled", _tags(answer), answer.reason, answer.says, answer.remarks) for answer in answers
    }


async def _part(line: asyncio.Task[dict[str, Result]], name: str) -> Result:
    return (await asyncio.shield(line))[name]


def _tags(answer: Answer) -> Sequence[ReadAnswer]:
    return readings(answer.readings) if answer.readings is not None else []


def _told(
    by: str, tags: Sequence[Mapping[str, Any]], reason: str, says: str = "", remarks: Sequence[str] = ()
) -> Result:
    bad = {tag["tag"]: tag["quality"] for tag in tags if tag["quality"].startswith("bad")}
    kept = [{key: tag[key] for key in ("tag", "value", "unit", "quality")} for tag in tags]
    if bad:
        reason = f"{len(bad)} of {len(tags)} tags cannot be read"
    told = {"by": by, "ok": not reason, "reason": reason, "tags": kept, **({"says": says} if says else {})}
    return told | ({"remarks": list(remarks)} if bad and remarks else {})


async def _sink(config: Config, sink: Any, plugins: Plugins) -> Result:
    begin = time.monotonic()
    result = {"name": sink.name, "kind": "sink", "address": address(sink), "by": "dialled"}
    try:
        found = await probe_sink(sink, plugins.sink(sink.plugin), config.gateway, SystemClock())
    except LinkError as error:
        return {**result, "ok": False, "reason": str(error)}
    return {**result, "ok": True, "reason": "", "found": found, "seconds": round(time.monotonic() - begin, 3)}


async def _service(service: ServiceConfig, plugins: Plugins) -> Result | None:
    """None where it depends on nobody."""
    begin = time.monotonic()
    result = {"name": service.name, "kind": "service", "address": address(service), "by": "dialled"}
    try:
        async with asyncio.timeout(SERVICE):
            found = await Foreign(structlog.get_logger()).call(lambda: plugins.service(service.plugin).check(service))
    except TimeoutError:
        return {**result, "ok": False, "reason": f"no answer within {SERVICE:g} s"}
    except Exception as error:  # noqa: BLE001 - a service can raise anything, and the person is to see it
        said = cleaned(error) if isinstance(error, GatewayError | OSError) else f"{cleaned(told(error))} (a bug)"
        return {**result, "ok": False, "reason": said}
    if not found:
        return None
    return {**result, "ok": True, "reason": "", "found": cleaned(found), "seconds": round(time.monotonic() - begin, 3)}


def address(options: Section) -> str:
    """Where it is reached, as far as its options say."""
    known = dict(options)
    port = f":{known['port']}" if known.get("port") else ""
    return str(known.get("url") or known.get("endpoint") or f"{known.get('host', '')}{port}")


def lines(result: Result, widths: tuple[int, int, int]) -> list[str]:
    """A result for a person: one line, and one for each tag that cannot be read."""
    verdict = "ok  " if result["ok"] else "FAIL"
    said = _value(result) if result["ok"] else result["reason"]
    kind, name, address = widths
    head = f"  {result['kind']:{kind}}  {result['name']:{name}}  {result['address']:{address}}  {verdict}  {said}"
    bad = [tag for tag in result.get("tags", ()) if tag["quality"].startswith("bad")]
    below = [f"{'':11}{tag['tag']}: {tag['quality']}" for tag in bad[:SHOWN_BAD]]
    if len(bad) > SHOWN_BAD:
        below.append(f"{'':11}and {len(bad) - SHOWN_BAD} more")
    below += [f"{'':11}{remark}" for remark in result.get("remarks", ())]
    return [head.rstrip(), *below]


def _value(result: Result) -> str:
    """What shows that it works: a value of a device; what a destination said."""
    if result["kind"] != "device":
        return ", ".join(part for part in (result["found"], f"{result['seconds'] * 1000:.0f} ms") if part)
    known = [tag for tag in result["tags"] if tag["value"] is not None]
    says = f"  ({result['says']})" if "says" in result else ""
    if not known:
        return f"connected, no value yet{says}"
    return f"{known[0]['tag']} = {number(known[0]['value'])} {known[0]['unit']}".rstrip() + says


def notes(results: Sequence[Result]) -> list[str]:
    """What a person should know of how they were found."""
    of_gateway = [result for result in results if result["by"] == "gateway"]
    if not of_gateway:
        return []
    told = "the running gateway was asked for its devices, so that none gets a second connection"
    if not of_gateway[0]["same_file"]:
        told += "; it has another version of this file, whose changes to them are tried after a reload"
    return [f"  note    {told}"]
